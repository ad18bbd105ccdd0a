// The store behaves the same on the embedded engine and on a server.

import { Agent } from 'node:http'
import { createClient } from '@clickhouse/client'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DAY_MS, RETENTION_MAX_MS } from '../../src/core/duration.ts'
import type { AudienceId } from '../../src/core/ids.ts'
import { socketPath } from '../../src/engine/embedded.ts'
import { applyRetention, expireOverdue, MIGRATIONS, migrate } from '../../src/engine/migrate.ts'
import { evaluateMembers } from '../../src/membership/members.ts'
import { partitionOf } from '../../src/spool/names.ts'
import { EVENT_COLUMNS, eventLine, lineInBatch } from '../../src/spool/row.ts'
import { anEvent, storeEvents, visitorNumber } from '../support/events.ts'
import { openScratchStore, type ScratchStore, STORE_MODES } from '../support/store.ts'

describe.each(STORE_MODES)('the store in %s mode', (mode) => {
  let scratch: ScratchStore
  beforeAll(async () => {
    scratch = await openScratchStore(mode)
  })
  afterAll(() => scratch.close())

  const count = async (where: string) =>
    (
      await scratch.store.rows<{ n: number }>({
        owner: 'test.count',
        sql: `SELECT count() AS n FROM madeleine.events WHERE ${where}`,
      })
    )[0]?.n

  it('a deduplication token of one insert does not reach the next, which would be silently dropped', async () => {
    const insert = (n: number, token?: string) =>
      scratch.store.insertLines({
        owner: 'test.leak',
        into: `madeleine.events (${EVENT_COLUMNS})`,
        lines: Buffer.from(
          lineInBatch(eventLine(anEvent({ ts: Date.now(), visitor: visitorNumber(n), event: 'leak' })), BigInt(n)),
        ),
        ...(token === undefined ? {} : { settings: { insert_deduplication_token: token } }),
      })
    await insert(1, 'once')
    await insert(2, 'once') // the same token: dropped, as it should be
    await insert(3)
    await insert(4)
    expect(await count("event = 'leak'")).toBe(3)
  })

  it('a limit of one statement does not reach the next', async () => {
    const sql = 'SELECT count() AS n FROM numbers(100)'
    const limited = scratch.store.rows({ owner: 'test.limit', sql, settings: { max_rows_to_read: 1 } })
    await expect(limited).rejects.toMatchObject({ clickhouseCode: 158 })
    await expect(scratch.store.rows({ owner: 'test.limit', sql })).resolves.toEqual([{ n: 100 }])
  })

  it('migrations run twice change nothing', async () => {
    await storeEvents(scratch.store, [anEvent({ ts: Date.now(), event: 'kept' })])
    await migrate(scratch.store)
    expect(await count("event = 'kept'")).toBe(1)
    const rows = await scratch.store.rows<{ id: number }>({
      owner: 'test',
      sql: 'SELECT id FROM madeleine.migrations ORDER BY id',
    })
    expect(rows.map((row) => row.id)).toEqual(MIGRATIONS.map((migration) => migration.id))
  })

  it('binds values whatever is in them', async () => {
    const hostile = ["'; DROP TABLE madeleine.events; --", 'back\\slash', 'new\nline\ttab', '{x:String}', '🚗', '']
    const [row] = await scratch.store.rows<{ one: string; all: string[] }>({
      owner: 'test.bind',
      sql: 'SELECT {one:String} AS one, {all:Array(String)} AS all',
      values: { one: hostile.join('|'), all: hostile },
    })
    expect(row).toEqual({ one: hostile.join('|'), all: hostile })
  })

  it('a binding of one statement does not stand in for one that another lacks', async () => {
    await scratch.store.rows({ owner: 'test.bind', sql: 'SELECT {lonely:String} AS x', values: { lonely: 'a' } })
    await expect(scratch.store.rows({ owner: 'test.bind', sql: 'SELECT {lonely:String} AS x' })).rejects.toMatchObject({
      clickhouseCode: 456,
    })
  })

  it("an exception carries ClickHouse's own code", async () => {
    await expect(scratch.store.rows({ owner: 'test', sql: 'SELECT 1 FROM madeleine.nothing' })).rejects.toMatchObject({
      code: 'store_refused',
      clickhouseCode: 60,
    })
  })

  it('reads parts of a millisecond as nobody: a moment is exact', async () => {
    const ts = Date.now() - 1_234
    await storeEvents(scratch.store, [anEvent({ ts, event: 'exact' })])
    const at = (ms: number) =>
      scratch.store.rows<{ n: number }>({
        owner: 'test.exact',
        sql: "SELECT count() AS n FROM madeleine.events WHERE event = 'exact' AND ts <= fromUnixTimestamp64Milli({at:Int64}, 'UTC')",
        values: { at: ms },
      })
    expect([(await at(ts - 1))[0]?.n, (await at(ts))[0]?.n]).toEqual([0, 1])
  })

  it('rows past retention are in no answer at once, and gone from disk when expiry has run', async () => {
    const now = Date.now()
    // Older than retention only by the setting: the engine's own expiry does not touch it yet.
    const retentionMs = 30 * DAY_MS
    await storeEvents(scratch.store, [
      anEvent({ ts: now - retentionMs - 1_000, visitor: visitorNumber(71), event: 'aged' }),
      anEvent({ ts: now - retentionMs + 60_000, visitor: visitorNumber(72), event: 'aged' }),
    ])
    const rule = {
      kind: 'events',
      events: ['aged'],
      where: [],
      withinMs: retentionMs,
      measure: { kind: 'count', comparison: [{ operator: 'gte', than: 1 }] },
    } as const
    const members = await evaluateMembers(scratch.store, [{ id: 'aged' as AudienceId, rule }], {
      atMs: now,
      nowMs: now,
      retentionMs,
    })
    expect(members.get('aged' as AudienceId)).toEqual([visitorNumber(72)])
    const before = await evaluateMembers(scratch.store, [{ id: 'aged' as AudienceId, rule }], {
      atMs: now - 60_000,
      nowMs: now,
      retentionMs,
    })
    expect(before.get('aged' as AudienceId), 'nor in the answer about an earlier moment').toEqual([visitorNumber(72)])
    expect(await count("event = 'aged'"), 'still on disk').toBe(2)

    await applyRetention(scratch.store, retentionMs)
    await expireOverdue(scratch.store, retentionMs, now)
    expect(await count("event = 'aged'")).toBe(1)
    await applyRetention(scratch.store, RETENTION_MAX_MS)
  })

  it('what is due by the table alone (90 days) is gone from disk when expiry has run', async () => {
    const now = Date.now()
    const old = now - RETENTION_MAX_MS - DAY_MS
    await scratch.store.run({ owner: 'test', sql: 'SYSTEM STOP TTL MERGES madeleine.events' })
    await storeEvents(scratch.store, [anEvent({ ts: old, event: 'due' }), anEvent({ ts: old + 2 * DAY_MS, event: 'due' })])
    await scratch.store.run({ owner: 'test', sql: 'SYSTEM START TTL MERGES madeleine.events' })
    await expireOverdue(scratch.store, RETENTION_MAX_MS, now)
    expect(await count("event = 'due'")).toBe(1)
    expect(partitionOf(old)).not.toBe(partitionOf(now))
  })
})

it('the embedded engine refuses settings that its sessions would keep', async () => {
  const scratch = await openScratchStore()
  const agent = new Agent({ socketPath: socketPath(scratch.directory, 'engine.sock') } as ConstructorParameters<typeof Agent>[0])
  const client = createClient({ url: 'http://localhost', http_agent: agent })
  const leaking = client.query({ query: 'SELECT 1', clickhouse_settings: { insert_deduplication_token: 'x' } })
  await expect(leaking).rejects.toMatchObject({ code: '115' })
  await client.close()
  agent.destroy()
  await scratch.close()
})
