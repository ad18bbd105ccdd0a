// A long steady load with builds beside it: memory, open files and the spool must not grow, and every acknowledged event must be stored once.
//   npm run build && npm run soak -- --rate 2000 --minutes 15
// Browsers send beacons of four events; a quarter of them are new, the others have been here before, so that a visitor
// has some sixteen events all the time.

import { readdirSync, readFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { openStore } from '../../src/engine/store.ts'
import { shipSpool } from '../../src/spool/spool.ts'
import { runCommand } from '../support/cli.ts'
import { OPEN_CONFIG, scratchProject } from '../support/scratch.ts'
import { BROWSER_AGENT, metric, startServe } from '../support/serve.ts'
import { writtenSegments } from './audiences.ts'
import { enginePid } from './cpu.ts'
import { VOCABULARY } from './network-data.ts'

const { values: options } = parseArgs({
  options: {
    rate: { type: 'string', default: '2000' },
    minutes: { type: 'string', default: '15' },
    audiences: { type: 'string', default: '100' },
  },
})
const rate = Number(options.rate)
const minutes = Number(options.minutes)
const EVENTS_A_BEACON = 4
const LOOK_EVERY_MS = 15_000
const BUILD_EVERY_MS = 45_000
/** The first minutes fill caches: what grows after them is what is looked for. */
const SETTLED_SHARE = 1 / 3

const say = (line: string) => process.stdout.write(`${line}\n`)
const project = scratchProject({
  ...OPEN_CONFIG,
  'config/sources.yaml': `sources:\n${VOCABULARY.sources.map((id) => `  - { id: ${id} }\n`).join('')}`,
  'config/settings.yaml': 'consent: { no_signal: allow }\ntaxonomy: { allow_sensitive: ["453", "186"] }\n',
  // YAML reads JSON.
  'config/segments/all.yaml': JSON.stringify({ segments: writtenSegments(Number(options.audiences)) }),
})
const server = await startServe(project)
const agent = new Agent({ keepAlive: true, maxSockets: 128 })
const cookies: string[] = []
const answers: number[] = []
let sent = 0
let acknowledged = 0
let refused = 0
let isSending = true

function beacon(n: number, dueMs: number): Promise<void> {
  const source = VOCABULARY.sources[n % VOCABULARY.sources.length] as string
  const events = Array.from({ length: EVENTS_A_BEACON }, (_, k) => ({
    url: `https://${source}.example/section-${(n + k) % 40}/article-${(n * 7 + k) % 3000}`,
    category: [VOCABULARY.categories[(n * 3 + k) % VOCABULARY.categories.length]],
    ...(k === 3 ? { event: 'click' } : {}),
  }))
  const cookie = n % 4 === 0 ? undefined : cookies[(n * 7919) % Math.max(1, cookies.length)]
  const body = JSON.stringify({ source, events })
  const headers = {
    'user-agent': BROWSER_AGENT,
    'sec-fetch-storage-access': 'active',
    'content-type': 'text/plain',
    ...(cookie === undefined ? {} : { cookie }),
  }
  sent += events.length
  return new Promise((resolve) => {
    const asked = request(`${server.origin}/e`, { agent, method: 'POST', headers }, (response) => {
      response.resume()
      response.on('end', () => {
        answers.push(performance.now() - dueMs)
        if (response.statusCode === 204) acknowledged += events.length
        else refused += events.length
        const set = response.headers['set-cookie']?.find((line) => line.startsWith('__Host-mid='))?.split(';')[0]
        if (set !== undefined) cookies.push(set)
        resolve()
      })
    })
    asked.on('error', () => {
      refused += events.length
      resolve()
    })
    asked.end(body)
  })
}

async function load(): Promise<void> {
  const beganMs = performance.now()
  const pending = new Set<Promise<void>>()
  for (let n = 0; isSending; n++) {
    const dueMs = beganMs + (n * 1000 * EVENTS_A_BEACON) / rate
    if (dueMs > performance.now()) await delay(dueMs - performance.now())
    const one = beacon(n, dueMs).finally(() => pending.delete(one))
    pending.add(one)
  }
  await Promise.all(pending)
}

const residentMib = (pid: number): number =>
  Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024
const handles = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length

type Look = {
  readonly minute: number
  readonly serve: number
  readonly engine: number
  readonly files: number
  readonly engineFiles: number
  readonly spool: number
}

async function look(startedMs: number): Promise<Look> {
  const engine = enginePid(project.data)
  return {
    minute: (Date.now() - startedMs) / 60_000,
    serve: residentMib(server.pid),
    engine: residentMib(engine),
    files: handles(server.pid),
    engineFiles: handles(engine),
    spool: (await metric(server, 'madeleine_spool_bytes_waiting')) / 2 ** 20,
  }
}

let builds = 0
async function build(): Promise<void> {
  while (isSending) {
    const endMs = Date.now() + BUILD_EVERY_MS
    const { exitCode, stderr } = await runCommand(project, ['build'])
    if (exitCode !== 0) throw new Error(`a build failed: ${stderr}`)
    builds++
    while (isSending && Date.now() < endMs) await delay(500)
  }
}

const loading = load()
const building = build()
const looks: Look[] = []
const startedMs = Date.now()
for (let n = 1; n * LOOK_EVERY_MS <= minutes * 60_000; n++) {
  await delay(Math.max(0, startedMs + n * LOOK_EVERY_MS - Date.now()))
  const seen = await look(startedMs)
  looks.push(seen)
  if (n % 4 === 0) {
    const { minute, serve, engine, files, engineFiles, spool } = seen
    say(
      `minute ${minute.toFixed(1)}: serve ${serve.toFixed(0)} MiB and ${files} handles, engine ${engine.toFixed(0)} MiB and ${engineFiles} handles, spool ${spool.toFixed(1)} MiB, acknowledged ${acknowledged}`,
    )
  }
}
isSending = false
await Promise.all([loading, building])
agent.destroy()
const exitCode = await server.stop()
const store = openStore({ directory: project.data })
await shipSpool(project.data, store, Date.now)
const [row] = await store.rows<{ n: number; batches: number }>({
  owner: 'bench.soak',
  sql: 'SELECT count() AS n, uniqExact(batch) AS batches FROM madeleine.events',
})
await store.close()

const settled = looks.slice(Math.floor(looks.length * SETTLED_SHARE))
/** Growth an hour of what was seen after the first third, by least squares. */
function growth(of: (seen: Look) => number): string {
  const meanX = settled.reduce((sum, { minute }) => sum + minute, 0) / settled.length
  const meanY = settled.reduce((sum, seen) => sum + of(seen), 0) / settled.length
  const above = settled.reduce((sum, seen) => sum + (seen.minute - meanX) * (of(seen) - meanY), 0)
  const below = settled.reduce((sum, { minute }) => sum + (minute - meanX) ** 2, 0)
  const values = settled.map(of)
  return `${Math.min(...values).toFixed(0)} to ${Math.max(...values).toFixed(0)}, mean ${meanY.toFixed(0)}, ${((60 * above) / below).toFixed(1)} an hour`
}
const sorted = answers.toSorted((a, b) => a - b)
const at = (share: number) => (sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN).toFixed(1)
say(`${minutes} minutes at ${rate} events/s, ${builds} builds of ${options.audiences} audiences; after the first third:`)
say(`  memory of serve, MiB    ${growth(({ serve }) => serve)}`)
say(`  memory of engine, MiB   ${growth(({ engine }) => engine)}`)
say(`  handles of serve        ${growth(({ files }) => files)}`)
say(`  handles of engine       ${growth(({ engineFiles }) => engineFiles)}`)
say(`  spool waiting, MiB      ${growth(({ spool }) => spool)}`)
say(`  answers, ms             p50 ${at(0.5)}, p95 ${at(0.95)}, p99 ${at(0.99)}, longest ${at(1)}`)
const stored = row?.n ?? 0
say(
  `sent ${sent}, acknowledged ${acknowledged}, refused ${refused}, stored ${stored}: lost ${Math.max(0, acknowledged - stored)}, doubled ${Math.max(0, stored - sent)}; serve ended with ${exitCode}`,
)
project.remove()
process.exitCode = stored === acknowledged && exitCode === 0 ? 0 : 1
