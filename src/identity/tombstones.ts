// Ids that have opted out, as a keyed hash and a day: whoever reads the list learns no id, and whoever holds an id can ask. It is small, and in memory
// whole. ClickHouse keeps it (through the spool); several collectors hear of each other's by asking the store, and at once where there is a Redis.

import { createHmac } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { DAY_MS } from '../core/duration.ts'
import type { VisitorId } from '../core/ids.ts'
import { OPT_OUT_DAYS } from './cookie.ts'

export type Tombstone = {
  /** HMAC-SHA256 in base64url. */
  readonly hash: string
  /** yyyy-mm-dd, UTC. */
  readonly day: string
  /** False takes an earlier opt-out back. */
  readonly isOptedOut: boolean
  /** What held before, for whoever cannot write this one down. */
  readonly wasOptedOut?: boolean
}

export type Tombstones = {
  has(visitor: VisitorId): boolean
  /** Takes effect at once here, and is to be written down and shared by the caller. */
  set(visitor: VisitorId, isOptedOut: boolean, nowMs: number): Tombstone
  /** What was written down before, or by others. */
  load(tombstones: Iterable<Tombstone>, nowMs: number): void
  readonly size: number
}

export function makeTombstones(key: string): Tombstones {
  const days = new Map<string, string>()
  /** A hash costs 1.7 microseconds, which every hit would pay. */
  const hashes = new LRUCache<VisitorId, string>({ max: 50_000 })
  function hashOf(visitor: VisitorId): string {
    const known = hashes.get(visitor)
    if (known !== undefined) return known
    const hash = createHmac('sha256', key).update(`tombstone\n${visitor}`).digest('base64url')
    hashes.set(visitor, hash)
    return hash
  }
  function take({ hash, day, isOptedOut }: Tombstone, nowMs: number): void {
    if (isOptedOut && Date.parse(day) > nowMs - (OPT_OUT_DAYS + 1) * DAY_MS) days.set(hash, day)
    else days.delete(hash)
  }
  return {
    has: (visitor) => days.size > 0 && days.has(hashOf(visitor)),
    set(visitor, isOptedOut, nowMs) {
      const hash = hashOf(visitor)
      const tombstone = { hash, wasOptedOut: days.has(hash), day: new Date(nowMs).toISOString().slice(0, 10), isOptedOut }
      take(tombstone, nowMs)
      return tombstone
    },
    load(tombstones, nowMs) {
      for (const tombstone of tombstones) take(tombstone, nowMs)
    },
    get size() {
      return days.size
    },
  }
}
