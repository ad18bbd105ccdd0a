// Numbered migrations, applied in order and never changed once released. Every statement may run twice: two processes that start at
// once, or one that is killed between a statement and its mark, do no harm.

import { DAY_MS } from '../core/duration.ts'
import { events } from './migrations/001-events.ts'
import { imports } from './migrations/002-imports.ts'
import { membership } from './migrations/003-membership.ts'
import { deliveries } from './migrations/004-deliveries.ts'
import type { Migration } from './migrations/migration.ts'
import type { Store } from './store.ts'

export const MIGRATIONS: readonly Migration[] = [events, imports, membership, deliveries]

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

/** Makes the table's own expiry follow `retention` of the settings. Answers filter by time whatever the table still holds. */
export async function applyRetention(store: Store, retentionMs: number): Promise<void> {
  const days = Math.ceil(retentionMs / DAY_MS)
  const [table] = await store.rows<{ ddl: string }>({
    owner: 'engine.retention',
    sql: `SELECT create_table_query AS ddl FROM system.tables WHERE database = 'madeleine' AND name = 'events'`,
  })
  if (table?.ddl.includes(`toIntervalDay(${days})`)) return
  await store.run({
    owner: 'engine.retention',
    sql: `ALTER TABLE madeleine.events MODIFY TTL toDateTime(ts) + INTERVAL ${days} DAY`,
  })
}

/**
 * Rewrites partitions that hold rows past retention. A running engine expires them by itself when parts merge (`merge_with_ttl_timeout`); a quiet
 * partition, or a directory that only short commands open, would keep them for longer than a day.
 */
export async function expireOverdue(store: Store, retentionMs: number, nowMs: number): Promise<number> {
  const overdue = await store.rows<{ partition: string }>({
    owner: 'engine.expire',
    sql: `SELECT DISTINCT _partition_id AS partition FROM madeleine.events WHERE ts <= fromUnixTimestamp64Milli({limit:Int64}, 'UTC')`,
    values: { limit: nowMs - retentionMs },
  })
  for (const { partition } of overdue)
    await store.run({
      owner: 'engine.expire',
      sql: `OPTIMIZE TABLE madeleine.events PARTITION ID '${partition.replace(/\W/g, '')}' FINAL`,
    })
  return overdue.length
}
