// What is remembered of memberships: built over days with a moving clock, and told by the command.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { DAY_MS, HOUR_MS, RETENTION_MAX_MS } from '../../src/core/duration.ts'
import type { AudienceId } from '../../src/core/ids.ts'
import { isoOf } from '../../src/core/time.ts'
import { isRemembered, periodsOf, readAudienceHistory, readVisitorHistory } from '../../src/insight/history.ts'
import { buildAudiences } from '../../src/membership/build.ts'
import type { Audience } from '../../src/membership/pass.ts'
import { readState } from '../../src/membership/state.ts'
import { runCommand, runJson } from '../support/cli.ts'
import { anEvent, storeEvents, visitorNumber } from '../support/events.ts'
import { OPEN_CONFIG, type Project, scratchProject } from '../support/scratch.ts'
import { openScratchStore, type ScratchStore } from '../support/store.ts'

const audience = (id: string, event: string, withinMs: number): Audience => ({
  id: id as AudienceId,
  rule: {
    kind: 'events',
    events: [event],
    where: [],
    withinMs,
    measure: { kind: 'count', comparison: [{ operator: 'gte', than: 1 }] },
  },
})
const viewers = audience('viewers', 'page_view', 2 * DAY_MS)
const edited = audience('viewers', 'conversion', 2 * DAY_MS)
const brief = audience('brief', 'page_view', 2 * DAY_MS)
const others = audience('others', 'click', 2 * DAY_MS)
const knownOf = (audiences: readonly Audience[]) => new Map(audiences.map((one) => [one.id, one]))

/** Midnight, UTC, ten days ago. */
const midnight = Math.floor(Date.now() / DAY_MS) * DAY_MS - 10 * DAY_MS
const at = (day: number, hour: number): number => midnight + day * DAY_MS + hour * HOUR_MS

let scratch: ScratchStore
let clock: number

async function build(nowMs: number, audiences: readonly Audience[], retentionMs = RETENTION_MAX_MS): Promise<void> {
  clock = nowMs
  await buildAudiences(scratch.store, { known: knownOf(audiences), audiences, retentionMs, now: () => clock })
}
const happen = (n: number, ts: number, event = 'page_view') =>
  storeEvents(scratch.store, [anEvent({ ts, visitor: visitorNumber(n), event })])
const historyOf = (id: string, known: readonly Audience[], { sinceMs = 0, retentionMs = RETENTION_MAX_MS } = {}) =>
  readAudienceHistory(scratch.store, id as AudienceId, { known: knownOf(known), retentionMs, nowMs: clock, sinceMs })
const historyOfVisitor = (n: number, known: readonly Audience[]) =>
  readVisitorHistory(scratch.store, visitorNumber(n), { known: knownOf(known), nowMs: clock })

describe('over six days', () => {
  /** Two views, a third a day later; the window ends for two; the rule is edited; gone from the configuration; back. */
  beforeAll(async () => {
    scratch = await openScratchStore()
    await happen(1, at(0, 9))
    await happen(2, at(0, 9))
    await build(at(0, 10), [viewers, brief])
    await happen(3, at(1, 9))
    await build(at(1, 10), [viewers])
    await build(at(2, 10), [viewers])
    await happen(4, at(3, 8), 'conversion')
    await build(at(3, 8) + 1, [edited])
    await build(at(4, 10), [others])
    await happen(3, at(5, 9), 'click')
    await build(at(5, 10), [edited, others])
  })
  afterAll(() => scratch.close())
  const known = [edited, others]

  it('an audience tells the versions of its rule and its size by the day, which add up', async () => {
    const { versions, periods, ...rest } = await historyOf('viewers', known)
    expect(rest).toEqual({ id: 'viewers', size: 0, watermarkMs: at(5, 10), state: 'complete', unitMs: DAY_MS })
    expect(versions).toEqual([
      { version: 1, atMs: at(0, 10), what: 'built', size: 2, detail: '' },
      { version: 2, atMs: at(3, 8) + 1, what: 'built', size: 1, detail: '' },
      { version: 2, atMs: at(4, 10), what: 'deleted', size: 1, detail: '' },
      { version: 2, atMs: at(5, 10), what: 'built', size: 0, detail: '' },
    ])
    expect(periods).toEqual([
      { fromMs: at(0, 0), entered: 2, left: 0, size: 2 },
      { fromMs: at(1, 0), entered: 1, left: 0, size: 3 },
      { fromMs: at(2, 0), entered: 0, left: 2, size: 1 },
      { fromMs: at(3, 0), entered: 1, left: 1, size: 1 },
      { fromMs: at(4, 0), entered: 0, left: 0, size: 1 },
      { fromMs: at(5, 0), entered: 0, left: 1, size: 0 },
    ])
    expect((await readState(scratch.store, 0)).sizes.get(viewers.id)).toBe(0)
  })

  it('a shorter span is told by the hour, from the one that it begins in', async () => {
    const { versions, periods } = await historyOf('viewers', known, { sinceMs: at(3, 8) + 30_000 })
    expect(periods[0]).toEqual({ fromMs: at(3, 8), entered: 1, left: 1, size: 1 })
    expect(periods.at(-1)).toEqual({ fromMs: at(5, 10), entered: 0, left: 1, size: 0 })
    expect(periods).toHaveLength(2 * 24 + 3)
    expect(versions.map(({ what }) => what)).toEqual(['deleted', 'built'])
  })

  it('an audience that was deleted has a history, which ends there', async () => {
    expect(await historyOf('brief', known)).toMatchObject({
      state: 'deleted',
      size: 2,
      versions: [{ what: 'built' }, { what: 'deleted', version: 1, atMs: at(1, 10) }],
    })
    expect((await historyOf('brief', known)).periods.at(-1)).toEqual({ fromMs: at(1, 10), entered: 0, left: 0, size: 2 })
    expect(await isRemembered(scratch.store, brief.id)).toBe(true)
    expect(await isRemembered(scratch.store, 'nobody' as AudienceId)).toBe(false)
  })

  it('a visitor has entered and left, in order, and some of it still holds', async () => {
    expect(await historyOfVisitor(3, known)).toEqual({
      visitor: visitorNumber(3),
      watermarkMs: at(5, 10),
      audiences: [
        { id: 'viewers', known: true, member: false },
        { id: 'others', known: true, member: true },
      ],
      transitions: [
        { atMs: at(1, 10), audience: 'viewers', what: 'entered', version: 1 },
        { atMs: at(3, 8) + 1, audience: 'viewers', what: 'left', version: 2 },
        { atMs: at(5, 10), audience: 'others', what: 'entered', version: 1 },
      ],
    })
    expect((await historyOfVisitor(1, known)).audiences).toContainEqual({ id: 'brief', known: false, member: false })
    expect(await historyOfVisitor(9, known)).toMatchObject({ audiences: [], transitions: [] })
  })
})

describe('what is remembered', () => {
  beforeEach(async () => {
    scratch = await openScratchStore()
  })
  afterEach(() => scratch.close())

  it('holds nothing of a tick that was cut off', async () => {
    await happen(1, at(0, 9))
    await build(at(0, 10), [viewers])
    const read = async () => ({
      audience: await historyOf('viewers', [viewers]),
      one: await historyOfVisitor(1, [viewers]),
      two: await historyOfVisitor(2, [viewers]),
    })
    const before = await read()
    const row = { tick: clock + 1, at: clock + 1, audience: 'viewers' }
    const transitions = [
      { visitor: visitorNumber(1), kind: 'left', expires: clock + 91 * DAY_MS },
      { visitor: visitorNumber(2), kind: 'entered', expires: clock + 90 * DAY_MS },
    ].map((one) => JSON.stringify({ ...row, version: 1, ...one }))
    await scratch.store.insertLines({
      owner: 'test.transitions',
      into: 'madeleine.transitions (tick, at, audience, version, visitor, kind, expires)',
      lines: Buffer.from(`${transitions.join('\n')}\n`),
    })
    await scratch.store.insertLines({
      owner: 'test.log',
      into: 'madeleine.audience_log (tick, at, audience, what, version, rule, size)',
      lines: Buffer.from(`${JSON.stringify({ ...row, what: 'built', version: 2, rule: '{}', size: 1 })}\n`),
    })
    expect(before).toMatchObject({ audience: { size: 1 }, one: { transitions: [{ what: 'entered' }] }, two: { transitions: [] } })
    expect(await read()).toEqual(before)
    // The next tick takes its transitions as they are and looks again at whom they are about; what it said of the audience never counts.
    await build(at(0, 12), [viewers])
    const after = await read()
    expect(after.one.transitions.map(({ what }) => what)).toEqual(['entered', 'left', 'entered'])
    expect(after.audience.versions).toEqual(before.audience.versions)
    expect({ size: after.audience.size, last: after.audience.periods.at(-1)?.size }).toEqual({ size: 1, last: 1 })
  })

  it("ends with a visitor's last event, and sizes are told all the same", async () => {
    const retentionMs = 12 * DAY_MS
    const ever = audience('viewers', 'page_view', retentionMs)
    await happen(1, at(0, 9))
    await happen(2, at(0, 9))
    await build(at(0, 10), [ever], retentionMs)
    await happen(3, at(1, 9))
    await build(at(1, 10), [ever], retentionMs)
    expect((await historyOfVisitor(1, [ever])).transitions).toHaveLength(1)
    await build(at(12, 10), [ever], retentionMs)
    expect(await historyOfVisitor(1, [ever])).toMatchObject({ audiences: [], transitions: [] })
    const { periods } = await historyOf('viewers', [ever], { retentionMs })
    expect(periods.filter(({ entered, left }) => entered + left > 0)).toEqual([
      { fromMs: at(0, 0), entered: 2, left: 0, size: 2 },
      { fromMs: at(1, 0), entered: 1, left: 0, size: 3 },
      { fromMs: at(12, 0), entered: 0, left: 2, size: 1 },
    ])
    expect(periods).toHaveLength(13)
  })

  it('of a membership that was renewed is that it holds, though not when it began', async () => {
    const ever = audience('viewers', 'page_view', RETENTION_MAX_MS)
    await happen(1, at(0, 9) - 75 * DAY_MS)
    await build(at(0, 10) - 60 * DAY_MS, [ever])
    await happen(1, at(9, 9))
    await build(at(9, 10), [ever]) // its end was six days off
    expect(await historyOfVisitor(1, [ever])).toMatchObject({ audiences: [{ member: true }], transitions: [{ what: 'entered' }] })
    clock = at(16, 10)
    expect(await historyOfVisitor(1, [ever])).toMatchObject({ audiences: [{ member: true }], transitions: [] })
  })
})

describe('periods', () => {
  const span = { fromMs: 0, toMs: 3 * HOUR_MS, unitMs: HOUR_MS }
  it('follow the logged sizes: what nobody is remembered of entered, or left, all the same', () => {
    const logged = [
      { unit: 0, tick: 1, size: 10 },
      { unit: 1, tick: 5, size: 4 },
    ]
    const moved = [
      { unit: 0, isAfter: true, entered: 1, left: 0 },
      { unit: 1, isAfter: false, entered: 2, left: 1 },
      { unit: 3, isAfter: true, entered: 1, left: 0 },
    ]
    const periods = periodsOf({ span, size: 9, isWhole: false }, logged, moved)
    expect(periods).toEqual([
      { fromMs: 0, entered: 1, left: 0, size: 11 },
      { fromMs: HOUR_MS, entered: 2, left: 9, size: 4 },
      { fromMs: 2 * HOUR_MS, entered: 0, left: 0, size: 4 },
      { fromMs: 3 * HOUR_MS, entered: 5, left: 0, size: 9 },
    ])
    for (const [n, { entered, left, size }] of periods.entries())
      if (n > 0) expect((periods[n - 1]?.size ?? 0) + entered - left).toBe(size)
  })
})

describe('the command', () => {
  let project: Project
  const nameless = '0a000000-0000-4000-8000-000000000000'
  const segments = (id: string) =>
    `segments:\n  - { id: ${id}, when: { event: page_view } }\n  - { id: ${nameless}, when: { event: click } }\n`
  beforeAll(async () => {
    project = scratchProject({ ...OPEN_CONFIG, 'config/segments/a.yaml': segments('gone') })
    const line = JSON.stringify({ visitor: visitorNumber(1), ts: Date.now() - DAY_MS, source: 'site' })
    await runJson(project, ['import', 'events', project.write('events.ndjson', `${line}\n`)])
    await runJson(project, ['build'])
    project.write('config/segments/a.yaml', segments('seen'))
    await runJson(project, ['build'])
  })
  afterAll(() => project?.remove())

  it('tells of an audience, of one that is no more, and of a visitor, as text and as JSON', async () => {
    const seen = await runJson<{ watermark: string }>(project, ['history', 'seen'])
    expect(seen).toEqual({
      id: 'seen',
      size: 1,
      watermark: expect.stringMatching(/Z$/),
      state: 'complete',
      versions: [{ version: 1, at: seen.watermark, what: 'built', size: 1 }],
      periods: [{ from: `${seen.watermark.slice(0, 13)}:00:00.000Z`, entered: 1, left: 0, size: 1 }],
    })
    const gone = await runCommand(project, ['history', 'gone'])
    expect(gone.exitCode).toBe(0)
    expect(gone.stdout).toContain(`gone: size 1 as of ${seen.watermark}, not in the configuration\n`)
    expect(gone.stdout).toMatch(/Z +1 +deleted +1\n/)

    const visitor = visitorNumber(1)
    expect(await runJson(project, ['history', visitor.toUpperCase(), '--since', isoOf(0)])).toMatchObject({
      visitor,
      watermark: seen.watermark,
      audiences: [
        { id: 'gone', known: false, member: false },
        { id: 'seen', known: true, member: true },
      ],
      transitions: [
        { audience: 'gone', what: 'entered', version: 1 },
        { at: seen.watermark, audience: 'seen', what: 'entered', version: 1 },
      ],
    })
    const told = (await runCommand(project, ['history', visitor])).stdout
    expect(told).toMatch(/gone +entered +1 +not in the configuration\n/)
    expect(told).toMatch(/seen +entered +1 +holds now\n/)
    const later = await runCommand(project, ['history', visitor, '--since', isoOf(Date.now() + DAY_MS)])
    expect(later.stdout).toMatch(/no transition is remembered\nholds now, from before: seen\n$/)
  })

  it('takes a text that is both for an audience, and refuses what is neither', async () => {
    expect(await runJson(project, ['history', nameless])).toMatchObject({ id: nameless, size: 0 })
    const unknown = await runCommand(project, ['history', 'nobody'])
    expect(unknown).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('unknown audience `nobody`') })
    expect(await runCommand(project, ['history', 'seen', '--since', 'lately'])).toMatchObject({ exitCode: 2 })
  })
})
