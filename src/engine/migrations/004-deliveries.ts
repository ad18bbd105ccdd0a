// `deliveries`: what was sent where, one row a visitor and change. `delivery_log`: one row a finished delivery, written last; rows of a
// delivery that is not in it were never delivered. A partner holds a visitor if the last finished delivery that names the visitor says `add`.
// A row stays 7 days past the membership's own end, so that the removal can still be sent (contract 4).

import type { Migration } from './migration.ts'

export const deliveries: Migration = {
  id: 4,
  name: 'deliveries',
  statements: [
    `CREATE TABLE IF NOT EXISTS madeleine.deliveries (
      delivery UInt64,
      destination LowCardinality(String),
      audience LowCardinality(String),
      visitor UUID,
      action Enum8('remove' = 0, 'add' = 1),
      expires DateTime64(3, 'UTC')
    )
    ENGINE = MergeTree
    ORDER BY (destination, audience, visitor, delivery)
    TTL toDateTime(expires) + INTERVAL 7 DAY
    SETTINGS merge_with_ttl_timeout = 3600`,
    `CREATE TABLE IF NOT EXISTS madeleine.delivery_log (
      delivery UInt64,
      destination LowCardinality(String),
      audience LowCardinality(String),
      kind Enum8('delta' = 0, 'full' = 1),
      added UInt64,
      removed UInt64,
      at DateTime64(3, 'UTC')
    )
    ENGINE = MergeTree
    ORDER BY (destination, audience, delivery)
    TTL toDateTime(at) + INTERVAL 97 DAY
    SETTINGS merge_with_ttl_timeout = 3600`,
  ],
}
