// Weeks of trainings (12 with WEEKS=12, some in every run) over visitors whose tastes move: the members change no faster than the budget lets, and it is said what that costs.

import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { DAY_MS, RETENTION_MAX_MS } from '../../src/core/duration.ts'
import type { AudienceId, VisitorId } from '../../src/core/ids.ts'
import { trainLookalikes } from '../../src/lookalike/train.ts'
import { readDue, readTrainingReport } from '../../src/lookalike/trainings.ts'
import { DEFAULT_LIMITS } from '../../src/membership/pass.ts'
import { loadSettings } from '../../src/settings/load.ts'
import { anEvent, storeEvents, storeList, visitorNumber } from '../support/events.ts'
import { makeDice } from '../support/population.ts'
import { OPEN_CONFIG, scratchProject } from '../support/scratch.ts'
import { openScratchStore, type ScratchStore } from '../support/store.ts'

const WEEKS = Number(process.env['WEEKS'] ?? 5)
vi.setConfig({ testTimeout: 60_000 + WEEKS * 20_000 })
const VISITORS = 1_500
const CHURN = 0.04
const WEEK_MS = 7 * DAY_MS

let scratch: ScratchStore
beforeAll(async () => {
  scratch = await openScratchStore()
})
afterAll(() => scratch.close())

it(`stays within its budget over ${WEEKS} weeks, and says what that costs`, async () => {
  const { store } = scratch
  const project = scratchProject({
    ...OPEN_CONFIG,
    'config/lookalikes/a.yaml': `lookalikes:
  - { id: steady, seed: fans, reach: 10%, retrain: 7d, churn: 4% }
  - { id: free, seed: fans, reach: 10%, retrain: 7d, churn: 100% }
`,
  })
  const settings = loadSettings(project.config, {})
  const startMs = Date.now() - (WEEKS - 1) * WEEK_MS
  const dice = makeDice(21)
  const visitors = Array.from({ length: VISITORS }, (_, n) => visitorNumber(n + 1))
  const tasteful = new Set(visitors.filter(() => dice() < 0.2))
  const seed = new Set([...tasteful].filter(() => dice() < 0.5))
  const hidden = [...tasteful].filter((id) => !seed.has(id))
  await storeList(store, 'fans', [...seed])
  const path = (topic: number) => `/topic-${String.fromCharCode(97 + topic)}/story`
  const membersOf = async (list: AudienceId, generation: number): Promise<Set<VisitorId>> => {
    const rows = await store.rows<{ id: VisitorId }>({
      owner: 'test.members',
      sql: 'SELECT toString(visitor) AS id FROM madeleine.list_members WHERE list = {list:String} AND generation = {generation:UInt64}',
      values: { list: `~${list}`, generation },
    })
    return new Set(rows.map(({ id }) => id))
  }
  const before = new Map<AudienceId, Set<VisitorId>>()
  const came = { steady: [] as number[], free: [] as number[] }
  const costs: number[] = []
  /** Of those with the taste who are not in the seed, the share that is found. */
  const found = { steady: [] as number[], free: [] as number[] }
  for (let week = 0; week < WEEKS; week++) {
    const atMs = startMs + week * WEEK_MS
    // What the taste shows in moves from topic to topic; everybody reads something else every week.
    const events = visitors.flatMap((visitor) =>
      Array.from({ length: 4 }, () => {
        const topic = tasteful.has(visitor) && dice() < 0.5 ? week % 6 : Math.floor(dice() * 20)
        const page = {
          origin: 'https://news.example',
          host: 'news.example',
          path: path(topic),
          url: `https://news.example${path(topic)}`,
        }
        return anEvent({ visitor, ts: Math.floor(atMs - dice() * 6 * DAY_MS), event: 'page_view', ...page })
      }),
    )
    await storeEvents(store, events)
    const moment = { nowMs: atMs, retentionMs: RETENTION_MAX_MS }
    const due = await readDue(store, settings.lookalikes.values(), moment)
    expect(due).toHaveLength(2)
    const options = {
      taxonomy: settings.contentTaxonomy,
      retentionMs: moment.retentionMs,
      now: () => atMs,
      limits: DEFAULT_LIMITS,
    }
    for (const training of await trainLookalikes(store, due, options)) {
      expect(training, `week ${week}`).toMatchObject({ outcome: 'trained', detail: '' })
      const { lookalike, generation } = training
      const members = await membersOf(lookalike, generation)
      expect(members.size).toBe(training.size)
      found[lookalike as 'steady' | 'free'].push(hidden.filter((id) => members.has(id)).length / hidden.length)
      const former = before.get(lookalike)
      before.set(lookalike, members)
      if (!former) continue
      const entered = [...members].filter((id) => !former.has(id)).length
      came[lookalike as 'steady' | 'free'].push(entered / members.size)
      if (lookalike !== 'steady') continue
      expect(entered).toBeLessThanOrEqual(Math.floor(CHURN * members.size))
      const change = (await readTrainingReport(store, training))?.change
      expect(change?.entered).toBe(entered)
      costs.push(1 - (change?.liftKept ?? 0))
    }
  }
  const mean = (numbers: readonly number[]) => numbers.reduce((sum, n) => sum + n, 0) / numbers.length
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`
  process.stdout.write(
    `${WEEKS} weeks: replaced a week ${percent(mean(came.steady))} (budget ${percent(CHURN)}), without a budget ${percent(mean(came.free))}; lift given up ${percent(mean(costs))} on average, ${percent(Math.max(...costs))} at most by the scores; found of the hidden half ${percent(mean(found.steady))}, without a budget ${percent(mean(found.free))}\n`,
  )
  // The control: without a budget much more would have been replaced, so the budget was what held.
  expect(mean(came.free)).toBeGreaterThan(2 * CHURN)
  project.remove()
})
