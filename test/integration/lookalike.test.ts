// Lookalikes as a user has them: commands beside a running server, which trains in a thread of its own, scores whoever comes, and delivers.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { runCommand, runJson } from '../support/cli.ts'
import { makeDice, makePopulation } from '../support/population.ts'
import { OPEN_CONFIG, type Project, scratchProject } from '../support/scratch.ts'
import { API_KEY, metric, postEvents, type Serving, startServe } from '../support/serve.ts'

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })
const WITHIN = { timeout: 60_000, interval: 500 }

type Members = { audiences: { id: string; state: string; members: [string, number][] }[] }
type Report = Record<string, unknown> & {
  features: { name: string; weight: number }[]
  recall: Record<'p1' | 'p5' | 'p10', number>
  lift: Record<'p1' | 'p5' | 'p10', number>
}

let project: Project
let server: Serving
const nowMs = Date.now()
const { visitors, tasteful, events } = makePopulation({ visitors: 2_000, seed: 11, nowMs })
const dice = makeDice(12)
const seed = [...tasteful].filter(() => dice() < 0.5)
const line = ({ visitor, ts, url, device }: { visitor: string; ts: number; url: string; device: string }) =>
  `${JSON.stringify({ visitor, ts, url, device, source: 'site' })}\n`
const membersOf = async (id: string): Promise<[string, number][]> => {
  const { audiences } = (await runJson(project, ['members', id, '--scores'])) as Members
  return audiences[0]?.members ?? []
}

beforeAll(async () => {
  project = scratchProject({
    ...OPEN_CONFIG,
    'config/settings.yaml': 'consent: { no_signal: allow }\nprivacy: { minimum_report: 20, minimum_export: 20 }\n',
    'config/lookalikes/a.yaml': 'lookalikes:\n  - { id: like-fans, seed: fans, reach: 5% }\n',
    'config/destinations/a.yaml':
      'destinations:\n  - { id: dsp, connector: file, settings: { path: out }, audiences: [{ audience: like-fans }] }\n',
  })
  server = await startServe(project)
  const file = project.write('events.ndjson', events.map(line).join(''))
  await runCommand(project, ['import', 'events', file])
})
afterAll(async () => {
  await server?.stop()
  project?.remove()
})

describe('A lookalike, with a server that runs', () => {
  it('waits for its seed, and is trained and kept by the server once it is there', async () => {
    const waiting = (await runJson(project, ['build', 'like-fans'])) as { audiences: { state: string }[] }
    expect(waiting.audiences).toMatchObject([{ id: 'like-fans', state: 'waiting_for_list', size: 0 }])
    await runCommand(project, ['import', 'list', project.write('fans.txt', seed.join('\n')), '--list', 'fans'])
    const size = Math.ceil(0.05 * (visitors.length - seed.length))
    await vi.waitFor(async () => expect(await membersOf('like-fans')).toHaveLength(size), WITHIN)
    expect(await metric(server, 'madeleine_lookalike_trainings_total{outcome="trained"}')).toBe(1)
    const members = await membersOf('like-fans')
    const scores = members.map(([, score]) => score)
    expect(scores).toEqual(scores.toSorted((a, b) => b - a))
    expect(members.filter(([visitor]) => tasteful.has(visitor as never)).length / size).toBeGreaterThan(0.4)
  })

  it('reports how good it is, and tells nothing of few', async () => {
    const report = (await runJson(project, ['report', 'lookalike', 'like-fans'])) as Report
    expect(report).toMatchObject({ id: 'like-fans', seed: seed.length, pool: visitors.length - seed.length, seed_id: 'fans' })
    expect(report.lift.p5).toBeCloseTo(report.recall.p5 / 0.05, 6)
    expect(report.lift.p5).toBeGreaterThan(1.5)
    expect(Object.keys(report)).toEqual(
      expect.arrayContaining(['auc', 'interval', 'baselines', 'reach', 'calibration', 'left_out', 'seconds']),
    )
    expect(
      report.features
        .slice(0, 4)
        .map(({ name }) => name)
        .join(),
    ).toMatch(/garden|seeds/)
    project.write(
      'config/settings.yaml',
      'consent: { no_signal: allow }\nprivacy: { minimum_report: 1000, minimum_export: 20 }\n',
    )
    const quiet = (await runJson(project, ['report', 'lookalike', 'like-fans'])) as Report
    expect(quiet['seed']).toBeNull()
    expect(quiet.features.length).toBeLessThan(report.features.length)
    project.write('config/settings.yaml', 'consent: { no_signal: allow }\nprivacy: { minimum_report: 20, minimum_export: 20 }\n')
  })

  it('says what each feature adds to the score of a member, and of somebody else', async () => {
    const [best] = await membersOf('like-fans')
    const told = (await runJson(project, ['why', best?.[0] ?? '', 'like-fans'])) as {
      member: boolean
      score: number
      base: number
      slope: number
      offset: number
      contributions: { feature: string; has: boolean; weight: number }[]
    }
    expect(told.member).toBe(true)
    expect(told.score).toBeCloseTo(best?.[1] ?? 0, 9)
    const margin = told.contributions.reduce((sum, { weight }) => sum + weight, told.base)
    expect(1 / (1 + Math.exp(-(told.slope * margin + told.offset)))).toBeCloseTo(told.score, 9)
    const text = (await runCommand(project, ['why', seed[0] ?? '', 'like-fans'])).stdout
    expect(text).toMatch(/is not in like-fans/)
    expect(text).toMatch(/score 0\.\d+ by the events up to/)
  })

  it('takes in visitors who come after the training, without a build', async () => {
    const before = new Set((await membersOf('like-fans')).map(([visitor]) => visitor))
    const come = makePopulation({ visitors: 60, seed: 13, nowMs: Date.now(), first: 50_000, tasteful: 1, strength: 7.5 })
    const sent = come.events.map(({ visitor, ts, url, device }) => ({ visitor, ts, url, device }))
    for (let first = 0; first < sent.length; first += 100)
      await postEvents(
        server,
        { source: 'site', events: sent.slice(first, first + 100) },
        { path: '/v1/events', headers: { authorization: `Bearer ${API_KEY}` } },
      )
    await vi.waitFor(async () => {
      const added = (await membersOf('like-fans')).filter(([visitor]) => !before.has(visitor))
      expect(added.length).toBeGreaterThan(10)
      expect(added.every(([visitor]) => come.visitors.includes(visitor as never))).toBe(true)
    }, WITHIN)
  })

  it('is delivered like any audience', async () => {
    const members = (await membersOf('like-fans')).map(([visitor]) => visitor)
    await runJson(project, ['export'])
    const folder = join(project.data, 'out', 'like-fans')
    const [file = ''] = readdirSync(folder).filter((name) => name.endsWith('.csv'))
    const sent = readFileSync(join(folder, file), 'utf8').trim().split('\n').slice(1)
    expect(sent.map((row) => row.split(',')[0]).sort()).toEqual(members.sort())
  })

  it('refuses scores of what is no lookalike, a list under its id, and a report of what there is not', async () => {
    expect((await runCommand(project, ['members', 'fans', '--scores'])).exitCode).toBe(2)
    const list = await runCommand(project, ['import', 'list', project.write('x.txt', `${seed[0]}\n`), '--list', 'like-fans'])
    expect(list).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('is a lookalike') })
    expect(await runCommand(project, ['report', 'lookalike', 'fans'])).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('like-fans'),
    })
  })
})
