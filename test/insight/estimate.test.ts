// An estimate is the true size, or an interval that holds it as often as it says, whatever the ids look like; and never a word about too few visitors.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { DAY_MS } from '../../src/core/duration.ts'
import { type AudienceId, parseVisitorId, type VisitorId } from '../../src/core/ids.ts'
import { SIGNALLED_BIT } from '../../src/core/permissions.ts'
import { makeRandom, type Random } from '../../src/demo/random.ts'
import type { Store } from '../../src/engine/store.ts'
import type { Event } from '../../src/event/event.ts'
import { areEven, type EstimateOptions, estimateSizes, sizeFrom, toldSize } from '../../src/insight/estimate.ts'
import type { Audience } from '../../src/membership/pass.ts'
import { Checker } from '../../src/rules/checker.ts'
import { parseRule } from '../../src/rules/parse.ts'
import { resolveSegment } from '../../src/rules/resolve.ts'
import { runCommand, runJson } from '../support/cli.ts'
import { anEvent, storeEvents, storeSignals, visitorNumber } from '../support/events.ts'
import { OPEN_CONFIG, type Project, scratchProject } from '../support/scratch.ts'
import { openScratchStore, type ScratchStore } from '../support/store.ts'

const nowMs = Date.UTC(2026, 10, 21, 12)
const retentionMs = 90 * DAY_MS
const all: EstimateOptions = { retentionMs, nowMs, minimumReport: 1 }
const sampled = (sampleEvents: number): EstimateOptions => ({ ...all, exactEventsMax: 2 * sampleEvents, sampleEvents })

function audienceOf(id: string, when: unknown): Audience {
  const check = new Checker()
  const parsed = parseRule(check, when, [], { retentionMs })
  const rule = parsed && resolveSegment({ id: id as AudienceId, rule: parsed }, new Map(), (category) => [category])
  if (!rule) throw new Error(JSON.stringify(check.problems))
  return { id: id as AudienceId, rule }
}

const hex = (random: Random, digits: number): string =>
  Array.from({ length: digits }, () => random.between(0, 15).toString(16)).join('')
const visitorOf = (text: string): VisitorId => parseVisitorId(text) as VisitorId
const KINDS = {
  'version 4': (random: Random) =>
    visitorOf(
      `${hex(random, 8)}-${hex(random, 4)}-4${hex(random, 3)}-${'89ab'[random.between(0, 3)]}${hex(random, 3)}-${hex(random, 12)}`,
    ),
  hashes: (random: Random) =>
    visitorOf(`${hex(random, 8)}-${hex(random, 4)}-${hex(random, 4)}-${hex(random, 4)}-${hex(random, 12)}`),
  'one second half': (_: Random, n: number) => visitorNumber(n + 1),
  'numbers at the end': (_: Random, n: number) => visitorOf(`00000000-0000-4000-8000-${n.toString(16).padStart(12, '0')}`),
  'half of them version 4': (random: Random, n: number): VisitorId =>
    n % 2 === 0 ? visitorNumber(n + 1) : KINDS['version 4'](random),
  'of 40 machines': (_: Random, n: number) =>
    visitorOf(
      `${n.toString(16).padStart(8, '0')}-1234-11ee-${hex(makeRandom(n % 40), 4).replace(/^./, '9')}-${hex(makeRandom(n % 40), 12)}`,
    ),
} satisfies Record<string, (random: Random, n: number) => VisitorId>

async function storeParts(store: Store, events: readonly Event[]): Promise<void> {
  for (let first = 0; first < events.length; first += 5_000) await storeEvents(store, events.slice(first, first + 5_000))
}

const VISITORS = 20_000
const AUDIENCES = 200
const audiences = Array.from({ length: AUDIENCES }, (_, n) => audienceOf(`a${n}`, { where: { keyword: `k${n}` } }))

/** One event a visitor, with a keyword for each audience that the visitor is in; each audience's true size, from none to a fifth of all. */
async function fill({ store }: ScratchStore, kind: keyof typeof KINDS, seed: number): Promise<number[]> {
  const random = makeRandom(seed)
  const sizes = audiences.map(() => 0)
  const shares = sizes.map((_, n) => (n < 5 ? 0 : 0.2 * random.next() ** 3))
  const events = Array.from({ length: VISITORS }, (_, n) => {
    const keyword = shares.flatMap((share, a) => {
      if (!random.chance(share)) return []
      sizes[a] = (sizes[a] ?? 0) + 1
      return [`k${a}`]
    })
    return anEvent({ visitor: KINDS[kind](random, n), ts: nowMs - DAY_MS, keyword })
  })
  await storeParts(store, events)
  return sizes
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, n) => total + n, 0)

describe.each(Object.keys(KINDS) as (keyof typeof KINDS)[])('with ids that are %s', (kind) => {
  let scratch: ScratchStore
  let sizes: number[]
  beforeAll(async () => {
    scratch = await openScratchStore()
    sizes = await fill(scratch, kind, 1)
  })
  afterAll(() => scratch?.close())

  it('few events are counted, all of them', async () => {
    const estimates = await estimateSizes(scratch.store, audiences, all)
    expect(estimates.map(({ size, exact, low, high }) => [size, exact, low, high])).toEqual(
      sizes.map((size) => [size, true, size, size]),
    )
  })

  it.each([4_000, 1_000])('of many, %i are read: 95 of 100 intervals hold the truth, and the mean is right', async (events) => {
    const estimates = await estimateSizes(scratch.store, audiences, sampled(events))
    expect(estimates.every(({ exact, confidence }) => !exact && confidence === 0.95)).toBe(true)
    const held = estimates.filter(({ low, high }, n) => low <= (sizes[n] ?? 0) && (sizes[n] ?? 0) <= high)
    expect(held.length).toBeGreaterThan(0.9 * AUDIENCES)
    expect(Math.abs(sum(estimates.map(({ size }) => size)) / sum(sizes) - 1)).toBeLessThan(0.1)
    expect(estimates.slice(0, 5).map(({ size, low }) => [size, low])).toEqual(new Array(5).fill([0, 0]))
  })

  it('the sample is taken by place where ids are random, else by hash', async () => {
    const [empty] = await estimateSizes(scratch.store, audiences.slice(0, 1), sampled(3_000))
    // By hash it is one visitor of seven, by place 15 of 100.
    const isByPlace = kind === 'version 4' || kind === 'hashes'
    expect(empty?.high).toBe(sizeFrom(0, isByPlace ? 0.15 : 1 / 7).high)
  })
})

describe('what is counted', () => {
  let scratch: ScratchStore
  beforeEach(async () => {
    scratch = await openScratchStore()
  })
  afterEach(() => scratch?.close())
  const random = makeRandom(7)
  const people = Array.from({ length: 6_000 }, () => KINDS['version 4'](random))
  const seen = (visitors: readonly VisitorId[]) => visitors.map((visitor) => anEvent({ visitor, ts: nowMs - DAY_MS }))
  const everybody = audienceOf('everybody', { event: 'page_view' })

  it('only those who permit it, in a sample too', async () => {
    await storeEvents(scratch.store, seen(people))
    const [before] = await estimateSizes(scratch.store, [everybody], sampled(1_500))
    expect(Math.abs((before?.size ?? 0) / 6_000 - 1)).toBeLessThan(0.1)
    const refused = people.slice(0, 3_000)
    const signal = { tsMs: nowMs - 1, source: 'news', permissions: 1 << SIGNALLED_BIT, receivers: [] }
    await storeSignals(
      scratch.store,
      refused.map((visitor) => ({ ...signal, visitor })),
    )
    const [after] = await estimateSizes(scratch.store, [everybody], sampled(1_500))
    expect(Math.abs((after?.size ?? 0) / 3_000 - 1)).toBeLessThan(0.15)
    expect(await estimateSizes(scratch.store, [everybody], all)).toMatchObject([{ size: 3_000, exact: true }])
  })

  it('visitors with more events than the narrow lanes count', async () => {
    const [one] = people as [VisitorId]
    const crowd = Array.from({ length: 33_000 }, (_, n) => anEvent({ visitor: one, ts: nowMs - 1 - n }))
    await storeParts(scratch.store, [...seen(people.slice(1, 11)), ...crowd])
    const often = audienceOf('often', { event: 'page_view', count: { gte: 33_000 } })
    const estimates = await estimateSizes(scratch.store, [everybody, often], all)
    expect(estimates).toMatchObject([{ size: 11 }, { size: 1 }])
  })

  it('nothing that has left retention, and where there are no events, nobody', async () => {
    expect(await estimateSizes(scratch.store, [everybody], all)).toMatchObject([{ size: 0, exact: true }])
    const old = people.slice(0, 100).map((visitor) => anEvent({ visitor, ts: nowMs - 8 * DAY_MS }))
    await storeEvents(scratch.store, [...old, ...seen(people.slice(90, 100))])
    const week = { ...all, retentionMs: 7 * DAY_MS }
    expect(await estimateSizes(scratch.store, [everybody], week)).toMatchObject([{ size: 10, exact: true }])
  })

  it('the same for the same events, each time', async () => {
    await storeEvents(scratch.store, seen(people))
    const first = await estimateSizes(scratch.store, [everybody], sampled(1_500))
    expect(await estimateSizes(scratch.store, [everybody], sampled(1_500))).toEqual(first)
  })
})

describe('the interval', () => {
  const drawn = (random: Random, size: number, share: number): number => {
    let found = 0
    for (let n = 0; n < size; n++) if (random.next() < share) found++
    return found
  }
  it.each([
    [30, 0.5],
    [200, 0.2],
    [1_000, 0.03],
    [3_000, 0.003],
    [5_000, 0.03],
  ])('of a true size of %i, seen by a share of %f, holds it in 95 of 100 draws', (size, share) => {
    const random = makeRandom(size)
    const draws = Array.from({ length: 2_000 }, () => sizeFrom(drawn(random, size, share), share))
    const held = draws.filter(({ low, high }) => low <= size && size <= high).length / draws.length
    expect(held).toBeGreaterThan(0.93)
    expect(held).toBeLessThan(0.995)
    expect(Math.abs(sum(draws.map((draw) => draw.size)) / draws.length / size - 1)).toBeLessThan(0.03)
  })

  it('is never below what was seen, and from nothing seen it ends above 0', () => {
    for (const found of [0, 1, 2, 10, 1_000]) expect(sizeFrom(found, 0.5).low).toBeGreaterThanOrEqual(found)
    expect(sizeFrom(0, 0.01)).toMatchObject({ size: 0, low: 0, high: 381 })
  })
})

describe('the minimum of reports', () => {
  it('hides an exact size below it, none and some alike, and tells the minimum itself', () => {
    const hidden = { size: 0, exact: false, low: 0, high: 49, belowMinimum: true }
    for (const found of [0, 1, 49]) expect(toldSize(found, 1, 50)).toMatchObject(hidden)
    expect(toldSize(50, 1, 50)).toMatchObject({ size: 50, exact: true, low: 50, high: 50, belowMinimum: false })
    expect(toldSize(0, 1, 1)).toMatchObject({ size: 0, exact: true, belowMinimum: false })
  })

  it.each([0.5, 0.1, 0.03, 0.003, 0.0003])(
    'with a share of %f hides all alike what may be below, and one person always',
    (share) => {
      const told = Array.from({ length: 200 }, (_, found) => toldSize(found, share, 50))
      const first = told.findIndex(({ belowMinimum }) => !belowMinimum)
      expect(first).toBeGreaterThanOrEqual(10)
      expect(told.slice(first).every(({ belowMinimum, low }) => !belowMinimum && low >= 50)).toBe(true)
      expect(new Set(told.slice(0, first).map((size) => JSON.stringify(size))).size).toBe(1)
      expect(told[0]).toMatchObject({ size: 0, low: 0, high: sizeFrom(first - 1, share).high })
      expect(toldSize(1, share, 1)).toMatchObject({ size: Math.round(1 / share), belowMinimum: false })
    },
  )
})

it('ids are even inside the quarters of their space, or in lumps', () => {
  const random = makeRandom(3)
  const counts = (ids: number, byte: () => number) => {
    const of = new Array<number>(256).fill(0)
    for (let n = 0; n < ids; n++) {
      const at = byte()
      of[at] = (of[at] ?? 0) + 1
    }
    return of
  }
  const anywhere = () => random.between(0, 255)
  const version4 = () => random.between(0x80, 0xbf)
  for (const ids of [0, 1, 40, 4_000, 60_000])
    for (const byte of [anywhere, version4, () => (random.chance(0.3) ? anywhere() : version4())])
      expect(areEven(counts(ids, byte))).toBe(true)
  expect(areEven(counts(40, () => 0x80))).toBe(false)
  expect(areEven(counts(4_000, () => (random.chance(0.05) ? 0x80 : version4())))).toBe(false)
  expect(areEven(counts(60_000, () => (random.chance(0.02) ? 0x91 : anywhere())))).toBe(false)
})

describe('the command', () => {
  let project: Project
  type Answer = { id: string; size: number; exact: boolean; low: number; high: number; below_minimum: boolean }
  const seen = (id: string, event: string) => `  - { id: ${id}, when: { event: ${event} } }\n`
  beforeAll(async () => {
    project = scratchProject({
      ...OPEN_CONFIG,
      'config/settings.yaml': 'consent: { no_signal: allow }\nprivacy: { minimum_report: 3 }\n',
      'config/segments/a.yaml': `segments:\n${seen('viewers', 'page_view')}${seen('clickers', 'click')}`,
    })
    const row = (n: number, event: string) =>
      JSON.stringify({ visitor: visitorNumber(n), ts: Date.now() - DAY_MS, source: 'site', event })
    const lines = [1, 2, 3, 4].flatMap((n) => [row(n, 'page_view'), ...(n <= 2 ? [row(n, 'click')] : [])])
    await runJson(project, ['import', 'events', project.write('events.ndjson', `${lines.join('\n')}\n`)])
  })
  afterAll(() => project?.remove())

  it('tells the size of an audience of the configuration, and hides one that is too small', async () => {
    const told = { id: 'viewers', size: 4, exact: true, low: 4, high: 4, below_minimum: false }
    expect(await runJson<Answer>(project, ['estimate', 'viewers'])).toMatchObject(told)
    const hidden = { id: 'clickers', size: 0, exact: false, low: 0, high: 2, below_minimum: true }
    expect(await runJson<Answer>(project, ['estimate', 'clickers'])).toMatchObject(hidden)
    expect((await runCommand(project, ['estimate', 'viewers'])).stdout).toBe('viewers: 4\n')
    expect((await runCommand(project, ['estimate', 'clickers'])).stdout).not.toMatch(/2/)
  })

  it('tells the sizes of the segments in a file, which may name others and take the place of some', async () => {
    const one = project.write(
      'draft.yaml',
      'segments:\n  - { id: idle, when: { any: [{ segment: viewers }, { event: click }] } }\n',
    )
    expect(await runJson<Answer>(project, ['estimate', '-f', one])).toMatchObject({ id: 'idle', size: 4, exact: true })
    const text = `segments:\n${seen('clickers', 'page_view')}  - { id: both, when: { all: [{ segment: clickers }, { segment: viewers }] } }\n`
    const both = await runJson<{ estimates: Answer[] }>(project, ['estimate', '--file', project.write('two.yaml', text)])
    expect(both.estimates.map(({ id, size }) => [id, size])).toEqual([
      ['clickers', 4],
      ['both', 4],
    ])
    const own = await runJson<{ estimates: Answer[] }>(project, ['estimate', '-f', `${project.config}/segments/a.yaml`])
    expect(own.estimates.map(({ id }) => id)).toEqual(['viewers', 'clickers'])
  })

  it('tells mistakes in the file by line and column, each once', async () => {
    const text = 'segments:\n  - id: odd\n    when: { event: click, wihtin: 7d }\n  - { id: lost, when: { segment: nobody } }\n'
    const file = project.write('odd.yaml', text)
    const ran = await runCommand(project, ['estimate', '-f', file, '--json'])
    expect(ran).toMatchObject({ exitCode: 2, stdout: '' })
    expect(ran.stderr).toMatch(/^odd\.yaml:3:27: .*wihtin.*\nodd\.yaml:4:34: .*nobody.*\n$/)
    const unknown = project.write('unknown.yaml', 'segments:\n  - { id: lost, when: { segment: viewer } }\n')
    expect(await runCommand(project, ['estimate', '-f', unknown])).toMatchObject({
      exitCode: 2,
      stderr: expect.stringMatching(/unknown\.yaml:2:34: unknown segment `viewer`; did you mean `viewers`\?/),
    })
    const broken = project.write('config/segments/b.yaml', text)
    const inside = await runCommand(project, ['estimate', '-f', broken])
    expect(inside.stderr.match(/wihtin/g)).toHaveLength(1)
    project.write('config/segments/b.yaml', '')
  })

  it.each([
    ['neither an id nor a file', []],
    ['both', ['viewers', '-f', 'draft.yaml']],
    ['an id that nobody defined', ['viewer']],
    ['a file that is not there', ['-f', 'no.yaml']],
    ['a file without segments', ['-f', 'config/segments/b.yaml']],
  ])('refuses %s', async (_, args) => {
    const ran = await runCommand(project, ['estimate', ...args])
    expect(ran).toMatchObject({ exitCode: 2, stdout: '' })
    expect(ran.stderr).not.toBe('')
  })
})
