// `members`: who is in which audience, by build. `builds`: one row an audience and build, written last and in one block: a build
// without its rows here does not exist. A membership ends at the latest when the visitor's last event does (`expires`).

import type { Migration } from './migration.ts'

export const membership: Migration = {
  id: 3,
  name: 'membership',
  statements: [
    `CREATE TABLE IF NOT EXISTS madeleine.members (
      build UInt64,
      audience LowCardinality(String),
      visitor UUID,
      expires DateTime64(3, 'UTC')
    )
    ENGINE = MergeTree
    PARTITION BY build
    ORDER BY (audience, visitor)
    TTL toDateTime(expires)
    SETTINGS merge_with_ttl_timeout = 3600`,
    `CREATE TABLE IF NOT EXISTS madeleine.builds (
      build UInt64,
      as_of DateTime64(3, 'UTC'),
      audience LowCardinality(String),
      size UInt64,
      entered UInt64,
      left UInt64
    )
    ENGINE = MergeTree
    ORDER BY (build, audience)
    TTL toDateTime(as_of) + INTERVAL 90 DAY
    SETTINGS merge_with_ttl_timeout = 3600`,
  ],
}
