// Lookalikes: what a training needs while it goes on, and what stays of it.
//
// `list_members.score`: of a lookalike, which is kept as a list that its training writes; 0 in imported lists.
// `feature_lookups`: which number a value of an event's field has as a feature, by run: a training's own while it goes on, and afterwards those of its model.
// `visitor_features`: everybody's features, as such numbers, and the place among the audiences of the pass that was made before (`held`). Runs are numbered like batches, by
// milliseconds in their upper bits; each drops its own partition when it is done, and what a killed one left goes within a day.
// `lookalike_scores`: everybody's score, until the best are chosen.
// `trainings`: what came of each, one row, and the model. Nothing in it is about one visitor.

import type { Migration } from './migration.ts'

const RUN_ENDS = 'toDateTime(bitShiftRight(run, 22) / 1000) + INTERVAL 1 DAY'

export const lookalikes: Migration = {
  id: 11,
  name: 'lookalikes',
  statements: [
    'ALTER TABLE madeleine.list_members ADD COLUMN IF NOT EXISTS score Float64 DEFAULT 0',
    `CREATE TABLE IF NOT EXISTS madeleine.feature_lookups (
      run UInt64,
      place LowCardinality(String),
      value String,
      id UInt32
    )
    ENGINE = MergeTree
    PARTITION BY run
    ORDER BY (place, id, value)
    TTL toDateTime(bitShiftRight(run, 22) / 1000) + INTERVAL 90 DAY
    SETTINGS merge_with_ttl_timeout = 3600`,
    `CREATE TABLE IF NOT EXISTS madeleine.visitor_features (
      run UInt64,
      visitor UUID,
      held Array(UInt16),
      events UInt32,
      features Array(UInt32)
    )
    ENGINE = MergeTree
    PARTITION BY run
    ORDER BY visitor
    TTL ${RUN_ENDS}`,
    `CREATE TABLE IF NOT EXISTS madeleine.lookalike_scores (
      run UInt64,
      lookalike LowCardinality(String),
      visitor UUID,
      score Float64
    )
    ENGINE = MergeTree
    PARTITION BY run
    ORDER BY (lookalike, visitor)
    TTL ${RUN_ENDS}`,
    `CREATE TABLE IF NOT EXISTS madeleine.trainings (
      lookalike LowCardinality(String),
      generation UInt64,
      at DateTime64(3, 'UTC'),
      outcome Enum8('trained' = 1, 'refused' = 2, 'failed' = 3),
      definition String,
      inputs String,
      detail String,
      seed UInt64,
      pool UInt64,
      visitors UInt64,
      size UInt64,
      least Float64,
      seconds Float64,
      model String CODEC(ZSTD(3)),
      report String CODEC(ZSTD(3))
    )
    ENGINE = MergeTree
    ORDER BY (lookalike, generation)
    TTL toDateTime(at) + INTERVAL 90 DAY
    SETTINGS merge_with_ttl_timeout = 3600`,
  ],
}
