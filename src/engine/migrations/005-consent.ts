// Whose an id is, who may receive, and what visitors have said since.
//
// `scope` and `receivers` of an event: see core/permissions.ts and event/event.ts. The consent string itself is not kept: with its vendors, languages and
// days it would tell visitors apart (and the Court calls it personal data, C-604/22).
// `consent_signals`: refusals by visitors whose events are stored (a refused event has no row of its own), and changes of mind on the opt-out page,
// under the source `*`, which stands for all of them. The newest of a visitor at a source is what counts, so only that is kept.
// `tombstones`: opted-out ids as a keyed hash and a day. `batch` orders an opt-out and an opt-in of one id; nothing else is known.

import type { Migration } from './migration.ts'

export const consent: Migration = {
  id: 5,
  name: 'consent',
  statements: [
    `ALTER TABLE madeleine.events
      ADD COLUMN IF NOT EXISTS scope Enum8('global' = 1, 'partition' = 2, 'first_party' = 3) DEFAULT 'global' AFTER source,
      ADD COLUMN IF NOT EXISTS receivers Array(UInt16) AFTER permissions`,
    `CREATE TABLE IF NOT EXISTS madeleine.consent_signals (
      batch UInt64,
      ts DateTime64(3, 'UTC'),
      visitor UUID,
      source LowCardinality(String),
      permissions UInt8,
      receivers Array(UInt16)
    )
    ENGINE = ReplacingMergeTree(ts)
    ORDER BY (visitor, source)
    TTL toDateTime(ts) + INTERVAL 90 DAY
    SETTINGS non_replicated_deduplication_window = 1000, merge_with_ttl_timeout = 3600`,
    `CREATE TABLE IF NOT EXISTS madeleine.tombstones (
      batch UInt64,
      hash String,
      day Date,
      opted_out UInt8
    )
    ENGINE = ReplacingMergeTree(batch)
    ORDER BY hash
    TTL day + INTERVAL 400 DAY
    SETTINGS non_replicated_deduplication_window = 1000, merge_with_ttl_timeout = 3600`,
  ],
}
