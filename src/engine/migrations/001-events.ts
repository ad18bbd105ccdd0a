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
//
// A visitor costs about one granule a part, so parts and granularity multiply; but what is unpacked is the compressed block that holds the granule, which
// is 64 KiB at the least by default: 16 granules of `ts`, and more of a narrow column. Measured on 30,000,000 events of 1.9 million visitors, what a tick reads of visitors drawn
// at random (11 columns), the engine's CPU time for each of them:
//
//   partition, block            parts  bytes an event   400 at once   1,600 at once
//   week,    64 KiB                13            34.6       4.6 ms          2.8 ms
//   week,     8 KiB                13            35.4       2.0 ms          1.5 ms
//   28 days, 64 KiB                 4            32.6       2.6 ms          1.7 ms
//   28 days, 16 KiB                 4            33.1       1.2 ms          1.0 ms
//   28 days,  8 KiB                 4            33.5       1.1 ms          0.8 ms
//   28 days,  4 KiB                 4            34.3       0.9 ms          0.7 ms
//
// Four weeks and not all in one: expiry rewrites the oldest partition, at most 31 % of the table, four times a day while an engine runs. They begin on Mondays: a spool file, which is
// of one week, is of one partition, and so is stored whole or not at all.
//
// Tables made before keep their weeks and blocks: everything is right there too, and slower.
//
// `batch` is the order of arrival (spool/batches.ts): late and imported events carry an old `ts` and a new batch. Its minmax index skips every part that
// was merged before: the newest 1 % of the batches were found by reading 3.1 M of the 300 M rows.
// `url` is origin and path put together again: stored twice it would be the widest column.

import { fourWeeks, type Migration } from './migration.ts'

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
    PARTITION BY ${fourWeeks('ts')}
    ORDER BY (visitor, ts)
    TTL toDateTime(ts) + INTERVAL 90 DAY
    SETTINGS index_granularity = 512, min_compress_block_size = 8192, non_replicated_deduplication_window = 10000, merge_with_ttl_timeout = 21600`,
  ],
}
