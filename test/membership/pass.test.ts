// One pass for many audiences: cut into slices of visitors it finds the same members, however many events a visitor has and however little memory there is.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DAY_MS, HOUR_MS, RETENTION_MAX_MS } from '../../src/core/duration.ts'
import type { AudienceId } from '../../src/core/ids.ts'
import { evaluateMembers } from '../../src/membership/members.ts'
import { DEFAULT_LIMITS, passOver } from '../../src/membership/pass.ts'
import { sliceVisitors } from '../../src/membership/slices.ts'
import { EVERYBODY } from '../../src/rules/print.ts'
import type { Comparison, ResolvedRule } from '../../src/rules/rule.ts'
import { manyAudiences } from '../bench/audiences.ts'
import { fillNetwork } from '../bench/network-data.ts'
import { anEvent, storeEvents, visitorNumber } from '../support/events.ts'
import { openScratchStore, type ScratchStore } from '../support/store.ts'

const now = Date.now()
const moment = { atMs: now, nowMs: now, retentionMs: RETENTION_MAX_MS }

let scratch: ScratchStore
beforeAll(async () => {
  scratch = await openScratchStore()
})
afterAll(() => scratch.close())

/** So many page views, `everyMs` apart, the last one an hour ago. */
const storeMany = (n: number, views: number, everyMs: number) =>
  scratch.store.run({
    owner: 'test.many',
    sql: `INSERT INTO madeleine.events (ts, received, batch, visitor, event, source, permissions)
          SELECT fromUnixTimestamp64Milli(toInt64({last:Int64} - number * ${everyMs}), 'UTC') AS at, at, 1, {visitor:UUID}, 'page_view', 'news', 63 FROM numbers(${views})`,
    values: { last: now - HOUR_MS, visitor: visitorNumber(n) },
  })

const counting = (kind: 'count' | 'days' | 'sessions', comparison: Comparison<number>): ResolvedRule => ({
  kind: 'events',
  events: ['page_view'],
  where: [],
  withinMs: RETENTION_MAX_MS,
  measure: { kind, comparison },
})

describe('visitors with very many events', () => {
  beforeAll(async () => {
    await storeMany(1, 32_767, 60_000)
    await storeMany(2, 32_768, 60_000)
    await storeMany(3, 70_000, 40_000)
    await storeMany(4, 40, 2 * DAY_MS)
  })

  it('are counted exactly on both sides of what a lane holds', async () => {
    const numbers = [32_767, 32_768, 70_000, 40]
    const audiences = numbers.flatMap((than) => [
      { id: `eq-${than}` as AudienceId, rule: counting('count', [{ operator: 'eq', than }]) },
      { id: `lt-${than}` as AudienceId, rule: counting('count', [{ operator: 'lt', than }]) },
    ])
    const days = { id: 'days' as AudienceId, rule: counting('days', [{ operator: 'gte', than: 32 }]) }
    const visits = { id: 'visits' as AudienceId, rule: counting('sessions', [{ operator: 'gte', than: 40 }]) }
    const found = await evaluateMembers(scratch.store, [...audiences, days, visits], moment)
    const ids = (...n: number[]) => n.map(visitorNumber)
    for (const [n, than] of numbers.entries()) {
      expect(found.get(`eq-${than}` as AudienceId), `${than}`).toEqual(ids(n + 1))
      const fewer = numbers.flatMap((number, other) => (number < than ? [other + 1] : []))
      expect(found.get(`lt-${than}` as AudienceId) ?? [], `fewer than ${than}`).toEqual(ids(...fewer))
    }
    expect(found.get('days' as AudienceId)).toEqual(ids(3, 4))
    expect(found.get('visits' as AudienceId)).toEqual(ids(4))
  })

  it('are found where memory suffices for a part of the visitors only', async () => {
    const audiences = [
      { id: 'all' as AudienceId, rule: counting('sessions', [{ operator: 'gte', than: 1 }]) },
      ...manyAudiences(40),
    ]
    const plenty = await evaluateMembers(scratch.store, audiences, moment)
    const scarce = await evaluateMembers(scratch.store, audiences, moment, { ...DEFAULT_LIMITS, eventsASlice: 20_000 })
    expect(scarce).toEqual(plenty)
    expect(plenty.get('all' as AudienceId)).toHaveLength(4)
  })
})

describe('a thousand audiences', () => {
  it('are one statement, on a server too, and each has the members that it has among two hundred in slices', async () => {
    const [server, embedded] = await Promise.all([openScratchStore('server'), openScratchStore()])
    const data = { events: 6_000, visitors: 400, endMs: now }
    await Promise.all([fillNetwork(server.store, data), fillNetwork(embedded.store, data)])
    const thousand = await evaluateMembers(server.store, manyAudiences(1_000), moment)
    const sliced = await evaluateMembers(embedded.store, manyAudiences(200), moment, { ...DEFAULT_LIMITS, eventsASlice: 1_500 })
    expect(thousand.size).toBeGreaterThan(300)
    for (const { id } of manyAudiences(200)) expect(thousand.get(id), id).toEqual(sliced.get(id))
    await Promise.all([server.close(), embedded.close()])
  })
})

describe('a page that nobody had seen when the pass began', () => {
  it('is tried when it comes, so that its visitor is not among those who never saw such a page', async () => {
    const other = await openScratchStore()
    const seen = (n: number, path: string) =>
      storeEvents(other.store, [anEvent({ ts: now - HOUR_MS, visitor: visitorNumber(n), path })])
    await seen(1, '/news')
    const cars: ResolvedRule = {
      ...counting('count', [{ operator: 'gte', than: 1 }]),
      where: [{ type: 'text', field: 'path', tests: [{ test: 'contains', text: 'cars' }] }],
    } as ResolvedRule
    const audiences = [
      { id: 'cars' as AudienceId, rule: cars },
      { id: 'no-cars' as AudienceId, rule: { kind: 'not', rule: cars } as ResolvedRule },
    ]
    const found: string[] = []
    await passOver(other.store, { audiences, moment, limits: DEFAULT_LIMITS }, async ({ sql, values, settings }) => {
      await seen(2, '/cars/new') // after the texts were tried, before the statement
      const rows = await other.store.rows<{ held: number[]; id: string }>({
        owner: 'test.pass',
        sql: `SELECT held, toString(visitor) AS id FROM (${sql}) ORDER BY id`,
        values,
        settings,
      })
      for (const { held, id } of rows) found.push(`${id} ${held.map((n) => audiences[n - 1]?.id).join(' ')}`)
    })
    expect(found).toEqual([`${visitorNumber(1)} no-cars`, `${visitorNumber(2)} cars`])
    await other.close()
  })
})

describe('a statement that memory does not suffice for', () => {
  it('is asked again in halves, and the members are the same', async () => {
    const other = await openScratchStore()
    await fillNetwork(other.store, { events: 120_000, visitors: 12_000, endMs: now })
    const audiences = manyAudiences(60)
    const whole = await evaluateMembers(other.store, audiences, moment)
    const shares: number[] = []
    let statements = 0
    const found = new Set<string>()
    const limits = { memoryBytes: 64 * 1024 ** 2, eventsASlice: 120_000 }
    await passOver(
      other.store,
      { audiences, moment, limits, onShare: (share) => shares.push(share) },
      async ({ sql, values, settings }) => {
        const rows = await other.store.rows<{ audience: number; visitor: string }>({
          owner: 'test.pass',
          sql: `SELECT arrayJoin(held) AS audience, toString(visitor) AS visitor FROM (${sql})`,
          values,
          settings,
        })
        statements++
        for (const { audience, visitor } of rows) found.add(`${audiences[audience - 1]?.id} ${visitor}`)
      },
    )
    expect(statements).toBeGreaterThan(1)
    expect(found).toEqual(new Set([...whole].flatMap(([id, visitors]) => visitors.map((visitor) => `${id} ${visitor}`))))
    expect(shares.at(-1)).toBeCloseTo(1, 1)
    await other.close()
  })
})

describe('slices', () => {
  it('hold every visitor once, in parts of about the same size', async () => {
    const other = await openScratchStore()
    await fillNetwork(other.store, { events: 9_000, visitors: 900, endMs: now })
    const ranges = await sliceVisitors(other.store, { eventsASlice: 1_000, within: EVERYBODY })
    expect(ranges).toHaveLength(9)
    expect(ranges[0]?.from).toBeUndefined()
    expect(ranges.at(-1)?.to).toBeUndefined()
    for (const [n, { to }] of ranges.slice(0, -1).entries()) expect(ranges[n + 1]?.from).toBe(to)
    const inner = await sliceVisitors(other.store, { eventsASlice: 500, within: ranges[4] ?? EVERYBODY })
    expect([inner[0]?.from, inner.at(-1)?.to]).toEqual([ranges[4]?.from, ranges[4]?.to])
    expect(inner.length).toBeGreaterThan(1)
    await other.close()
  })

  it('do not cut a visitor', async () => {
    const other = await openScratchStore()
    await fillNetwork(other.store, { events: 3_000, visitors: 1, endMs: now })
    expect(await sliceVisitors(other.store, { eventsASlice: 10, within: EVERYBODY })).toEqual([EVERYBODY])
    await other.close()
  })
})
