// How long a pixel takes to answer at a steady rate, far from saturation: while events are shipped, and while every audience is built over a large table.

import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { openStore } from '../../src/engine/store.ts'
import { runCommand } from '../support/cli.ts'
import type { Project } from '../support/scratch.ts'

const RATE = 3_000
/** Events in the table before the build, of some 300,000 visitors. */
const ROWS = 4_000_000
const AUDIENCES = 60

type Steady = {
  readonly requests: number
  readonly perSecond: number
  readonly failed: number
  readonly p50: number
  readonly p95: number
  readonly p99: number
  readonly max: number
}

const run = promisify(execFile)
const LOAD = fileURLToPath(new URL('steady-load.ts', import.meta.url))

async function steady(url: string, headers: Readonly<Record<string, string>>, seconds: number): Promise<Steady> {
  const { stdout } = await run(process.execPath, [
    '--import',
    'tsx',
    LOAD,
    url,
    String(RATE),
    String(seconds),
    JSON.stringify(headers),
  ])
  return JSON.parse(stdout) as Steady
}

const show = (what: string, { perSecond, failed, p50, p95, p99, max }: Steady): void =>
  console.log(
    `  ${what.padEnd(34)} ${perSecond}/s, p50 ${p50} ms, p95 ${p95} ms, p99 ${p99} ms, longest ${max} ms, failed ${failed}`,
  )

/** Segments for a build that takes a while, to be part of the configuration from the start. */
export const manySegments = (): string =>
  `segments:\n${Array.from({ length: AUDIENCES }, (_, n) => `  - { id: s${n}, when: { event: page_view, where: { campaign: c${n} }, count: { gte: ${(n % 4) + 1} } } }\n`).join('')}`

async function fill(data: string): Promise<void> {
  const store = openStore({ directory: data })
  try {
    await store.run({
      owner: 'bench.fill',
      sql: `INSERT INTO madeleine.events (batch, ts, received, visitor, event, source, permissions, campaign)
            SELECT 1, now64(3) - toIntervalSecond(cityHash64(number) % 6000000), now64(3),
              toUUID(concat('00000000-0000-4000-8000-', leftPad(lower(hex(cityHash64(number, 1) % 300000)), 12, '0'))),
              'page_view', 'site', 63, concat('c', toString(number % ${AUDIENCES})) FROM numbers(${ROWS})`,
    })
  } finally {
    await store.close()
  }
}

export async function measureSteady(
  project: Project,
  url: string,
  headers: Readonly<Record<string, string>>,
  seconds: number,
): Promise<void> {
  console.log(`a steady ${RATE} requests a second, timed from the moment each is due`)
  await steady(url, headers, 2)
  show('while shipping', await steady(url, headers, seconds))
  await fill(project.data)
  let isBuilding = true
  let builds = 0
  const building = (async () => {
    while (isBuilding) {
      const { exitCode, stderr } = await runCommand(project, ['build'])
      if (exitCode !== 0) throw new Error(stderr)
      builds++
    }
  })()
  const during = await steady(url, headers, seconds)
  isBuilding = false
  await building
  show(`during ${builds} full builds, ${AUDIENCES} audiences`, during)
}
