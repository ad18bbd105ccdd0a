// `matches`: by which id a partner knows a visitor, from cookie sync and from files. One row a visitor and partner counts, the newest; an empty id says that
// the match has ended. Several visitors may have one partner id: a person who cleared our cookie and kept theirs.
// Ordered by visitor, for exports; the projection answers which visitor a partner's id is of, for what partners send.

import type { Migration } from './migration.ts'

export const matches: Migration = {
  id: 9,
  name: 'matches',
  statements: [
    `CREATE TABLE IF NOT EXISTS madeleine.matches (
      batch UInt64 CODEC(Delta(8), ZSTD(1)),
      ts DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
      visitor UUID,
      partner LowCardinality(String),
      partner_id String CODEC(ZSTD(1)),
      PROJECTION by_partner_id (SELECT * ORDER BY (partner, partner_id))
    )
    ENGINE = ReplacingMergeTree(ts)
    ORDER BY (partner, visitor)
    TTL toDateTime(ts) + INTERVAL 90 DAY
    SETTINGS index_granularity = 1024, deduplicate_merge_projection_mode = 'rebuild', non_replicated_deduplication_window = 1000, merge_with_ttl_timeout = 3600`,
  ],
}
