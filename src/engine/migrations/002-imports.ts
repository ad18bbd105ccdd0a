// `imports`: which blocks of which imported file are stored. A row's identity is the file's content hash and its line (contract 3);
// blocks are cut by line, so a file that comes again finds its blocks here and stores nothing. `lines` are the ranges (from, to, from, to, ...) of a piece: lines that
// were rejected then may be good later, and are stored as a piece of their own. A block is announced (`stored` 0) with its batch before
// its rows are inserted and confirmed after: what lies between a kill can be asked of `events` by that batch.
// Kept as long as the rows it speaks of may be.

import type { Migration } from './migration.ts'

export const imports: Migration = {
  id: 2,
  name: 'imports',
  statements: [
    `CREATE TABLE IF NOT EXISTS madeleine.imports (
      file FixedString(64),
      block String,
      batch UInt64,
      lines Array(UInt64),
      stored UInt8,
      at DateTime64(3, 'UTC')
    )
    ENGINE = ReplacingMergeTree(stored)
    ORDER BY (file, block)
    TTL toDateTime(at) + INTERVAL 97 DAY
    SETTINGS merge_with_ttl_timeout = 3600`,
  ],
}
