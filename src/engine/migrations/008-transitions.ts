// Membership as what changed: who entered and left which audience, when, and by which version of its rule. The newest row of a pair says whether it holds.
//
// `transitions`: by audience for members and exports, by visitor (a projection: the same rows in the other order, in the same part) for what a tick changes. `stays` says
// that a membership goes on past the end that was written first. A row ends when the visitor's last event does, as known when it was written; `left` six hours after what it
// ends, twice as long as rows may be overdue before they are merged away, so that it is not gone first.
// `turns`: when a visitor must be looked at again though nothing new came in. Only added to: one row too many is a look too many.
// `ticks`: one row a tick, written last. Rows of a tick that is not here do not count yet; the next tick takes them as they are and looks again at whom they are about.
// `audience_log`: of each audience the rule that its members are of, and its size from time to time. `stale`: its rule has changed, and a tick went by without it.
// `segmenters`: which servers are there that would refresh memberships (membership/leader.ts).
// `evaluated`: what a pass found, a pass a partition, until it has become transitions.
// `received` becomes the moment at which the engine had the row, by its own clock: whatever the writer and however late, what is new has a new `received`.

import { fourWeeks, type Migration } from './migration.ts'

export const transitions: Migration = {
  id: 8,
  name: 'transitions',
  statements: [
    'DROP TABLE IF EXISTS madeleine.members',
    'DROP TABLE IF EXISTS madeleine.builds',
    `ALTER TABLE madeleine.events
      MODIFY COLUMN received DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
      ADD INDEX IF NOT EXISTS received_range received TYPE minmax GRANULARITY 4`,
    'ALTER TABLE madeleine.events MATERIALIZE INDEX received_range', // in the background: until then more is read
    `ALTER TABLE madeleine.consent_signals ADD COLUMN IF NOT EXISTS received DateTime64(3, 'UTC') DEFAULT ts`,
    'ALTER TABLE madeleine.consent_signals MATERIALIZE COLUMN received SETTINGS mutations_sync = 1',
    `ALTER TABLE madeleine.consent_signals MODIFY COLUMN received DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')`,
    `CREATE TABLE IF NOT EXISTS madeleine.transitions (
      tick UInt64 CODEC(Delta(8), ZSTD(1)),
      at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
      audience LowCardinality(String),
      version UInt32 CODEC(ZSTD(1)),
      visitor UUID,
      kind Enum8('left' = 0, 'entered' = 1, 'stays' = 2),
      expires DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
      INDEX tick_range tick TYPE minmax GRANULARITY 4,
      PROJECTION by_visitor (SELECT * ORDER BY (visitor, audience, tick))
    )
    ENGINE = MergeTree
    PARTITION BY ${fourWeeks('at')}
    ORDER BY (audience, visitor, tick)
    TTL toDateTime(expires) + INTERVAL 6 HOUR
    SETTINGS index_granularity = 1024, min_compress_block_size = 8192, merge_with_ttl_timeout = 10800`,
    `CREATE TABLE IF NOT EXISTS madeleine.turns (
      due DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
      visitor UUID
    )
    ENGINE = MergeTree
    PARTITION BY toYYYYMM(due)
    ORDER BY (due, visitor)
    TTL toDateTime(due) + INTERVAL 6 HOUR
    SETTINGS merge_with_ttl_timeout = 3600`,
    `CREATE TABLE IF NOT EXISTS madeleine.ticks (
      tick UInt64,
      at DateTime64(3, 'UTC'),
      seen_at DateTime64(3, 'UTC'),
      seen Array(String),
      maker Enum8('build' = 1, 'serve' = 2),
      touched UInt64,
      rows UInt64,
      seconds Float64
    )
    ENGINE = MergeTree
    ORDER BY tick
    TTL toDateTime(at) + INTERVAL 97 DAY
    SETTINGS merge_with_ttl_timeout = 3600`,
    `CREATE TABLE IF NOT EXISTS madeleine.audience_log (
      tick UInt64,
      at DateTime64(3, 'UTC'),
      audience LowCardinality(String),
      what Enum8('built' = 1, 'size' = 2, 'failed' = 3, 'deleted' = 4, 'stale' = 5),
      version UInt32,
      rule_key String,
      rule String CODEC(ZSTD(3)),
      size UInt64,
      detail String,
      rows UInt64,
      bytes UInt64,
      seconds Float64
    )
    ENGINE = MergeTree
    ORDER BY (audience, tick)
    TTL toDateTime(at) + INTERVAL 97 DAY
    SETTINGS merge_with_ttl_timeout = 3600`,
    `CREATE TABLE IF NOT EXISTS madeleine.segmenters (
      writer String,
      since DateTime64(3, 'UTC'),
      seen DateTime64(3, 'UTC'),
      beat UInt64,
      at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
    )
    ENGINE = MergeTree
    ORDER BY writer
    TTL toDateTime(at) + INTERVAL 1 DAY`,
    `CREATE TABLE IF NOT EXISTS madeleine.evaluated (
      pass UInt64,
      visitor UUID,
      held Array(UInt16),
      expires DateTime64(3, 'UTC'),
      turns DateTime64(3, 'UTC')
    )
    ENGINE = MergeTree
    PARTITION BY pass
    ORDER BY visitor
    TTL toDateTime(bitShiftRight(pass, 22) / 1000) + INTERVAL 1 DAY`,
  ],
}
