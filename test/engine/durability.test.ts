// What a power cut leaves of what ClickHouse has said yes to.

import { afterEach, expect, it } from 'vitest'
import { applyDurability } from '../../src/engine/migrate.ts'
import { openScratchStore, type ScratchStore, STORE_MODES } from '../support/store.ts'

let scratch: ScratchStore
afterEach(() => scratch.close())

async function synced(): Promise<Record<string, boolean>> {
  const rows = await scratch.store.rows<{ name: string; ddl: string }>({
    owner: 'test.durability',
    sql: `SELECT name, create_table_query AS ddl FROM system.tables WHERE database = 'madeleine' AND name IN ('events', 'consent_signals', 'tombstones', 'matches') ORDER BY name`,
  })
  return Object.fromEntries(rows.map(({ name, ddl }) => [name, /fsync_after_insert = 1, fsync_part_directory = 1/.test(ddl)]))
}
const all = (value: boolean) => ({ consent_signals: value, events: value, matches: value, tombstones: value })

it.each(STORE_MODES)('every table that the spool is shipped to is synced with each insert, or none is; %s', async (mode) => {
  scratch = await openScratchStore(mode)
  expect(await synced()).toEqual(all(false))
  for (const isSynced of [true, true, false]) {
    await applyDurability(scratch.store, isSynced)
    expect(await synced()).toEqual(all(isSynced))
  }
})
