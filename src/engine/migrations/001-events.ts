// `events`: one row an event.
//
// (LAYOUT NOTE PENDING)

import type { Migration } from '../migrate.ts'

export const events: Migration = {
  id: 1,
  name: 'events',
  statements: [
    `CREATE TABLE IF NOT EXISTS madeleine.events (
      ts DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
      received DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
      batch UInt64 CODEC(Delta(8), ZSTD(1)),
      visitor UUID,
      event LowCardinality(String),
      source LowCardinality(String),
      permissions UInt8,
      origin LowCardinality(String),
      path String CODEC(ZSTD(1)),
      url String ALIAS concat(origin, path),
      host LowCardinality(String),
      referrer_host LowCardinality(String),
      category Array(LowCardinality(String)),
      keyword Array(LowCardinality(String)),
      attr Map(LowCardinality(String), String),
      device LowCardinality(String),
      browser LowCardinality(String),
      os LowCardinality(String),
      country LowCardinality(String),
      region LowCardinality(String),
      language LowCardinality(String),
      campaign LowCardinality(String),
      creative LowCardinality(String),
      placement LowCardinality(String),
      order_id String CODEC(ZSTD(1)),
      currency LowCardinality(String),
      value Nullable(Decimal(18, 6)),
      cost Nullable(Decimal(18, 6)),
      dwell_ms Nullable(Decimal(18, 6)),
      INDEX batch_range batch TYPE minmax GRANULARITY 4
    )
    ENGINE = MergeTree
    PARTITION BY toMonday(ts)
    ORDER BY (visitor, ts)
    TTL toDateTime(ts) + INTERVAL 90 DAY
    SETTINGS index_granularity = 512, non_replicated_deduplication_window = 10000, merge_with_ttl_timeout = 3600`,
  ],
}
