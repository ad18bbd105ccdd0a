// `list_members`: visitors of imported lists, an import of a list in a partition of its own. `list_imports`: one row an import, written last: until then
// the one before counts, and an import that was cut off counts for nothing.

import type { Migration } from './migration.ts'

export const lists: Migration = {
  id: 6,
  name: 'lists',
  statements: [
    `CREATE TABLE IF NOT EXISTS madeleine.list_members (
      list LowCardinality(String),
      generation UInt64,
      visitor UUID,
      at DateTime64(3, 'UTC')
    )
    ENGINE = ReplacingMergeTree
    PARTITION BY generation
    ORDER BY (list, visitor)
    TTL toDateTime(at) + INTERVAL 90 DAY
    SETTINGS non_replicated_deduplication_window = 1000, merge_with_ttl_timeout = 3600`,
    `CREATE TABLE IF NOT EXISTS madeleine.list_imports (
      list LowCardinality(String),
      generation UInt64,
      size UInt64,
      at DateTime64(3, 'UTC')
    )
    ENGINE = MergeTree
    ORDER BY (list, generation)
    TTL toDateTime(at) + INTERVAL 90 DAY
    SETTINGS merge_with_ttl_timeout = 3600`,
  ],
}
