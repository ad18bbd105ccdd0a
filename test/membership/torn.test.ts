// What a build leaves that did not come to its end, and visitors with very many events: members, sizes, plans and the next build agree all the same.

import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DAY_MS, RETENTION_MAX_MS } from '../../src/core/duration.ts'
import type { AudienceId } from '../../src/core/ids.ts'
import { ALL_PERMISSIONS, SIGNALLED_BIT } from '../../src/core/permissions.ts'
import type { Store } from '../../src/engine/store.ts'
import { buildAudiences, previewBuild, verifyMembers } from '../../src/membership/build.ts'
import { readMembers } from '../../src/membership/members.ts'
import type { Audience } from '../../src/membership/pass.ts'
import { anEvent, storeEvents, storeList, visitorNumber } from '../support/events.ts'
import { openScratchStore, type ScratchStore } from '../support/store.ts'

const retentionMs = RETENTION_MAX_MS
const counting = (id: string, event: string, gte: number): Audience => ({
  id: id as AudienceId,
  rule: {
    kind: 'events',
    events: [event],
    where: [],
    withinMs: 30 * DAY_MS,
    measure: { kind: 'count', comparison: [{ operator: 'gte', than: gte }] },
  },
})
const once = counting('once', 'page_view', 1)
const often = counting('often', 'page_view', 20_030)
const most = counting('most', 'page_view', 200_030)
const long: Audience = {
  id: 'long' as AudienceId,
  rule: {
    kind: 'events',
    events: undefined,
    where: [{ type: 'text', field: 'path', tests: [{ test: 'starts_with', text: 'xxx' }] }],
    withinMs: 30 * DAY_MS,
    measure: { kind: 'count', comparison: [{ operator: 'gte', than: 1 }] },
  },
}
const listed: Audience = { id: 'listed' as AudienceId, rule: { kind: 'list', id: 'listed' as AudienceId } }

let scratch: ScratchStore
beforeAll(async () => {
  scratch = await openScratchStore()
})
afterAll(() => scratch.close())

const options = (audiences: readonly Audience[]) => ({
  known: new Map(audiences.map((one) => [one.id, one])),
  audiences,
  retentionMs,
  now: Date.now,
})
const sizes = ({ audiences }: { audiences: readonly { id: string; size: number; entered: number; left: number }[] }) =>
  audiences.map(({ id, size, entered, left }) => [id, size, entered, left])
const view = (n: number, ts = Date.now() - DAY_MS) => anEvent({ ts, visitor: visitorNumber(n) })

/** As `store`, until something is written to a table. */
const failingAt = (store: Store, table: string): Store => ({
  ...store,
  insertLines: (insert) =>
    insert.into.includes(table) ? Promise.reject(new Error(`killed at ${table}`)) : store.insertLines(insert),
})

describe('a build that was cut off', () => {
  it('before it counts: the plan is that of a first build, and the next build counts everything once', async () => {
    await storeEvents(scratch.store, [view(1), view(2), view(3)])
    for (const table of ['audience_log', 'ticks'])
      await expect(buildAudiences(failingAt(scratch.store, table), options([once]))).rejects.toThrow('killed')
    expect(sizes(await previewBuild(scratch.store, options([once])))).toEqual([['once', 3, 3, 0]])
    expect(sizes(await buildAudiences(scratch.store, options([once])))).toEqual([['once', 3, 3, 0]])
    expect(sizes(await previewBuild(scratch.store, options([once])))).toEqual([['once', 3, 0, 0]])
  })

  it('of an audience that goes and comes back leaves its size right', async () => {
    const late = counting('late', 'page_view', 1)
    await expect(buildAudiences(failingAt(scratch.store, 'audience_log'), options([once, late]))).rejects.toThrow('killed')
    await buildAudiences(scratch.store, options([once]))
    const { audiences } = await buildAudiences(scratch.store, options([once, late]))
    expect(audiences.map(({ id, size }) => [id, size])).toEqual([
      ['once', 3],
      ['late', 3],
    ])
  })
})

it('a pass whose turns cannot be written takes nobody out while it is put away', async () => {
  await buildAudiences(scratch.store, options([once]))
  const cut: Store = {
    ...scratch.store,
    async run(statement) {
      if (statement.owner === 'membership.turns') throw new Error('killed at turns')
      if (statement.owner === 'membership.renewals') await delay(200) // the other half is slower
      return scratch.store.run(statement)
    },
  }
  await expect(buildAudiences(cut, { ...options([once]), full: true })).rejects.toThrow('killed at turns')
  await delay(400)
  const left = {
    owner: 'test.left',
    sql: `SELECT count() AS n FROM madeleine.transitions WHERE audience = 'once' AND kind = 'left'`,
  }
  expect(await scratch.store.rows(left)).toEqual([{ n: 0 }])
  expect(sizes(await buildAudiences(scratch.store, options([once])))).toEqual([['once', 3, 0, 0]])
})

it('visitors with very many events, and one with more than are brought to memory, are decided as a build from nothing decides', async () => {
  const audiences = [once, often, most, long]
  await buildAudiences(scratch.store, options(audiences))
  await storeEvents(scratch.store, [view(8, Date.now() - DAY_MS)])
  // 7 is decided in memory, each of its events a consent signal; 8 in the engine for their number, 9 for their size.
  for (const [visitor, events, path] of [
    [7, 150_000, 'short'],
    [8, 200_029, 'short'],
    [9, 20_000, 'x'.repeat(4_000)],
  ] as const)
    await scratch.store.run({
      owner: 'test.crowded',
      sql: `INSERT INTO madeleine.events (ts, batch, visitor, event, source, permissions, path)
            SELECT now64(3) - INTERVAL 1 DAY - toIntervalMillisecond(number), {batch:UInt64}, {visitor:UUID}, 'page_view', 'site', {all:UInt8}, {path:String} FROM numbers({events:UInt64})`,
      values: { batch: visitor, visitor: visitorNumber(visitor), all: ALL_PERMISSIONS | (1 << SIGNALLED_BIT), events, path },
    })
  const built = await buildAudiences(scratch.store, options(audiences))
  expect(built.touched).toBe(3)
  expect(sizes(built)).toEqual([
    ['once', 6, 3, 0],
    ['often', 2, 2, 0],
    ['most', 1, 1, 0],
    ['long', 1, 1, 0],
  ])
  expect(await verifyMembers(scratch.store, options(audiences))).toMatchObject({ audiences: 4, differences: [] })
})

it('a list is empty 90 days after its import, whatever is still on disk', async () => {
  await storeList(scratch.store, 'listed', [visitorNumber(1), visitorNumber(2)])
  expect(sizes(await buildAudiences(scratch.store, options([listed])))).toEqual([['listed', 2, 2, 0]])
  await scratch.store.run({
    owner: 'test.old',
    sql: `ALTER TABLE madeleine.list_imports UPDATE at = at - INTERVAL 91 DAY WHERE list = 'listed' SETTINGS mutations_sync = 1`,
  })
  const built = await buildAudiences(scratch.store, options([listed]))
  expect(built.audiences).toMatchObject([{ id: 'listed', size: 0, left: 2, state: 'waiting_for_list' }])
  const { audiences } = await readMembers(scratch.store, [listed], { retentionMs, nowMs: Date.now() })
  expect(audiences).toMatchObject([{ members: [] }])
})
