// `pass_texts`: what patterns make of each distinct text, found out once for all statements of a pass and kept under its number,
// which is made like a batch's: its upper bits are milliseconds. A pass drops its own partition
// when it is done; what a killed one left goes within a day.

import type { Migration } from './migration.ts'

export const passes: Migration = {
  id: 7,
  name: 'passes',
  statements: [
    `CREATE TABLE IF NOT EXISTS madeleine.pass_texts (
      pass UInt64,
      place LowCardinality(String),
      text String,
      tried Array(UInt64)
    )
    ENGINE = MergeTree
    PARTITION BY pass
    ORDER BY (place, text)
    TTL toDateTime(bitShiftRight(pass, 22) / 1000) + INTERVAL 1 DAY`,
  ],
}
