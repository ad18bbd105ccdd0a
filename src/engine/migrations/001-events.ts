// `events`: one row an event.
//
// Key, partition and granularity are chosen by the rows read for a touched visitor (what refreshing memberships costs, second by second) as well as by
// full passes. Measured on 300,000,000 events of 6.8 million visitors over 90 days, 7 columns, 2 cores, embedded engine (ClickHouse 26.7), ordered by
// (visitor, ts); rows by EXPLAIN ESTIMATE for `visitor IN (...)` over the whole 90 days, full pass = one GROUP BY visitor with two countIf:
//
//   partition, granularity  parts  disk      1 visitor     100    1,000     5,000   full pass   primary key in memory
//   week,   8,192             14   4.86 GiB    114,688  11.3 M   92.0 M   250.5 M    15 - 18 s    0.6 MiB
//   week,     512             14   4.89 GiB      7,168   0.7 M    7.1 M    33.4 M    16 - 18 s    8.9 MiB
//   week,     256             14   4.91 GiB      3,584   0.4 M    3.6 M    17.4 M    25 - 31 s   17.9 MiB  (machine busier during the pass)
//   28 days,  256             17   4.93 GiB      4,608   0.4 M    4.3 M    20.9 M    26 - 59 s   17.9 MiB  (the same)
//
// A visitor costs about one granule a part, so parts and granularity multiply. 512 reads 13 times fewer rows than the default and costs full passes
// nothing; 256 halves the rows again but not the time (1,000 visitors: 0.80 s and 0.68 s, against 1.1 s at 8,192 and half of the table): below 512 the smallest
// compressed block, not the granule, is what is read. Weeks and not days: 91 partitions would be 91 granules a visitor, and an insert may touch at most 100.
// Weeks and not months: expiry rewrites the oldest partition twice a day at the most, which is 8 % of the table and not a third.
//
// `batch` is the order of arrival (spool/batches.ts): late and imported events carry an old `ts` and a new batch. Its minmax index skips every part that
// was merged before: the newest 1 % of the batches were found by reading 3.1 M of the 300 M rows.
// `url` is origin and path put together again: stored twice it would be the widest column.

import type { Migration } from './migration.ts'

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
