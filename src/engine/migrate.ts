// Numbered migrations, applied in order and never changed once released. Every statement may run twice: two processes that start at
// once, or one that is killed between a statement and its mark, do no harm.

import { DAY_MS, HOUR_MS, RETENTION_MAX_MS } from '../core/duration.ts'
import { events } from './migrations/001-events.ts'
import { imports } from './migrations/002-imports.ts'
import { membership } from './migrations/003-membership.ts'
import { deliveries } from './migrations/004-deliveries.ts'
import { consent } from './migrations/005-consent.ts'
import { lists } from './migrations/006-lists.ts'
import { passes } from './migrations/007-passes.ts'
import { transitions } from './migrations/008-transitions.ts'
import { matches } from './migrations/009-matches.ts'
import { listExpiry } from './migrations/010-list-expiry.ts'
import { lookalikes } from './migrations/011-lookalikes.ts'
import type { Migration } from './migrations/migration.ts'
import type { Store } from './store.ts'

export const MIGRATIONS: readonly Migration[] = [
  events,
  imports,
  membership,
  deliveries,
  consent,
  lists,
  passes,
  transitions,
  matches,
  listExpiry,
  lookalikes,
]

export async function migrate(store: Store): Promise<void> {
  await store.run({ owner: 'engine.migrate', sql: 'CREATE DATABASE IF NOT EXISTS madeleine' })
  await store.run({
    owner: 'engine.migrate',
    sql: `CREATE TABLE IF NOT EXISTS madeleine.migrations (id UInt32, name String, at DateTime64(3, 'UTC') DEFAULT now64(3))
          ENGINE = ReplacingMergeTree ORDER BY id`,
  })
  const done = await store.rows<{ id: number }>({ owner: 'engine.migrate', sql: 'SELECT id FROM madeleine.migrations' })
  const applied = new Set(done.map((row) => row.id))
  for (const migration of MIGRATIONS) {
    if (applied.has(migration.id)) continue
    for (const sql of migration.statements) await store.run({ owner: 'engine.migrate', sql })
    await store.run({
      owner: 'engine.migrate',
      sql: 'INSERT INTO madeleine.migrations (id, name) SELECT {id:UInt32}, {name:String}',
      values: { id: migration.id, name: migration.name },
    })
  }
}

/** Makes the tables' own expiry follow `retention` of the settings. Answers filter by time whatever the tables still hold. */
export async function applyRetention(store: Store, retentionMs: number): Promise<void> {
  const seconds = Math.floor(retentionMs / 1_000)
  const same = retentionMs === RETENTION_MAX_MS ? 'toIntervalDay(90)' : `toIntervalSecond(${seconds})`
  const interval = retentionMs === RETENTION_MAX_MS ? 'INTERVAL 90 DAY' : `INTERVAL ${seconds} SECOND`
  const tables = await store.rows<{ name: string; ddl: string }>({
    owner: 'engine.retention',
    sql: `SELECT name, create_table_query AS ddl FROM system.tables WHERE database = 'madeleine' AND name IN ('events', 'consent_signals', 'matches')`,
  })
  for (const { name, ddl } of tables) {
    if (ddl.includes(same)) continue
    await store.run({ owner: 'engine.retention', sql: `ALTER TABLE madeleine.${name} MODIFY TTL toDateTime(ts) + ${interval}` })
  }
}

/** Tables that the spool is shipped to, and the one that says what an import has stored. */
const SPOOLED = ['events', 'consent_signals', 'tombstones', 'matches', 'imports'] as const

/**
 * A spool file is deleted when ClickHouse has said yes, and ClickHouse says yes before the rows are on the disk itself: what survived a power cut in the spool would
 * not survive it there. 35 ms more an insert of 2,000 rows (p50 on ext4 beside a busy machine), once a second.
 */
export async function applyDurability(store: Store, isSynced: boolean): Promise<void> {
  const wanted = isSynced ? 1 : 0
  const tables = await store.rows<{ name: string; ddl: string }>({
    owner: 'engine.durability',
    sql: `SELECT name, create_table_query AS ddl FROM system.tables WHERE database = 'madeleine' AND has({names:Array(String)}, name)`,
    values: { names: SPOOLED },
  })
  for (const { name, ddl } of tables) {
    if (Number(/fsync_after_insert = (\d)/.exec(ddl)?.[1] ?? 0) === wanted) continue
    await store.run({
      owner: 'engine.durability',
      sql: `ALTER TABLE madeleine.${name} MODIFY SETTING fsync_after_insert = ${wanted}, fsync_part_directory = ${wanted}`,
    })
  }
}

/** Rows may be overdue for so long before their partition is rewritten: half of what the contract allows, so that it happens about twice a day. */
const OVERDUE_MS = 12 * HOUR_MS

/** Contract 4; the cookie that says the same lives as long, which is as long as browsers allow. */
export const TOMBSTONE_DAYS = 400

/** Tables that hold anything of a visitor, and when a row of theirs is due. */
const EXPIRING = [
  { table: 'events', due: (retentionMs: number) => ({ column: 'ts', afterMs: retentionMs }) },
  { table: 'transitions', due: () => ({ column: 'expires', afterMs: 0 }) },
  { table: 'turns', due: () => ({ column: 'due', afterMs: 0 }) },
  { table: 'consent_signals', due: (retentionMs: number) => ({ column: 'ts', afterMs: retentionMs }) },
  { table: 'matches', due: (retentionMs: number) => ({ column: 'ts', afterMs: retentionMs }) },
  { table: 'list_members', due: () => ({ column: 'expires', afterMs: 0 }) },
  { table: 'tombstones', due: () => ({ column: 'day', afterMs: TOMBSTONE_DAYS * DAY_MS }) },
  { table: 'deliveries', due: () => ({ column: 'expires', afterMs: 7 * DAY_MS }) },
] as const

/** Tables of what a pass found, which a killed one leaves. */
const PASSING = { evaluated: 'pass', pass_texts: 'pass', visitor_features: 'run', lookalike_scores: 'run' } as const

/**
 * Rewrites partitions that hold rows long overdue. A running engine expires them by itself when parts merge (`merge_with_ttl_timeout`); a quiet
 * partition, or a directory that only short commands open, would keep them for longer than a day. Returns how many.
 */
export async function expireOverdue(store: Store, retentionMs: number, nowMs: number): Promise<number> {
  let rewritten = 0
  for (const { table, due } of EXPIRING) {
    const { column, afterMs } = due(retentionMs)
    const overdue = await store.rows<{ partition: string }>({
      owner: 'engine.expire',
      sql: `SELECT DISTINCT _partition_id AS partition FROM madeleine.${table} WHERE ${column} <= fromUnixTimestamp64Milli({limit:Int64}, 'UTC')`,
      values: { limit: nowMs - afterMs - OVERDUE_MS },
    })
    for (const { partition } of overdue)
      await store.run({
        owner: 'engine.expire',
        sql: `OPTIMIZE TABLE madeleine.${table} PARTITION ID '${partition.replace(/\W/g, '')}' FINAL`,
      })
    rewritten += overdue.length
  }
  for (const [table, number] of Object.entries(PASSING)) {
    // A pass is numbered by its moment (spool/batches.ts).
    const left = await store.rows<{ partition: string }>({
      owner: 'engine.expire',
      sql: `SELECT DISTINCT _partition_id AS partition FROM madeleine.${table} WHERE ${number} < bitShiftLeft(toUInt64({limit:Int64}), 22)`,
      values: { limit: nowMs - OVERDUE_MS },
    })
    for (const { partition } of left)
      await store.run({
        owner: 'engine.expire',
        sql: `ALTER TABLE madeleine.${table} DROP PARTITION ID '${partition.replace(/\W/g, '')}'`,
      })
  }
  return rewritten
}
