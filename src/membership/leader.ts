// Several servers on one ClickHouse: one of them refreshes memberships. Each says every few seconds that it is there; the one that has been there longest leads, and when it
// has not been heard of for a while the next does. By the engine's clock alone. ClickHouse has no lock to take: two may lead for a tick, and then the sizes are counted
// twice until the next `build --full`; members are right in any case.

import { setTimeout as delay } from 'node:timers/promises'
import { MadeleineError } from '../core/errors.ts'
import type { Store } from '../engine/store.ts'

/** Not heard of for so long: gone. */
const GONE_MS = 15_000
const BEAT_MS = 4_000
/** Whoever came at the same moment has been heard of by then. */
const SETTLE_MS = 3_000

export type Leader = {
  /** Whether this one leads now. */
  leads(): Promise<boolean>
  /** Lets the next one lead. */
  leave(): Promise<void>
}

const ALIVE = `SELECT writer, since FROM (SELECT writer, min(segmenters.since) AS since, argMax(segmenters.seen, beat) AS heard FROM madeleine.segmenters GROUP BY writer)
  WHERE heard > now64(3) - toIntervalMillisecond(${GONE_MS})`

/** `writer`: a name that no other has. */
export function makeLeader(store: Store, writer: string): Leader {
  let beats = 0
  let sinceMs: number | undefined
  let beating: NodeJS.Timeout | undefined
  const beat = (seen = 'now64(3)') =>
    store.run({
      owner: 'membership.beat',
      sql: `INSERT INTO madeleine.segmenters (writer, since, seen, beat) SELECT {writer:String}, fromUnixTimestamp64Milli({since:Int64}), ${seen}, {beat:UInt64}`,
      values: { writer, since: sinceMs ?? 0, beat: beats++ },
    })
  return {
    async leads() {
      if (!beating) {
        const [clock] = await store.rows<{ nowMs: number }>({
          owner: 'membership.clock',
          sql: 'SELECT toUnixTimestamp64Milli(now64(3)) AS nowMs',
        })
        sinceMs = clock?.nowMs
        await beat()
        beating = setInterval(() => void beat().catch(() => {}), BEAT_MS) // one that is lost is followed by another
        beating.unref()
      }
      const [first] = await store.rows<{ writer: string; firstMs: number; nowMs: number }>({
        owner: 'membership.leader',
        sql: `SELECT writer, toUnixTimestamp64Milli(since) AS firstMs, toUnixTimestamp64Milli(now64(3)) AS nowMs FROM (${ALIVE}) ORDER BY since, writer LIMIT 1`,
      })
      return first?.writer === writer && first.nowMs - first.firstMs > SETTLE_MS
    },
    async leave() {
      clearInterval(beating)
      if (beating) await beat('toDateTime64(0, 3)').catch(() => {})
      beating = undefined
    },
  }
}

/**
 * For a command, which asks no server that it cannot reach through its own directory. Throws `locked` where another one refreshes the same ClickHouse; one that was
 * killed is waited for until it is known to be gone.
 */
export async function refuseBesideLeader(store: Store, withinMs = GONE_MS + 1_000): Promise<void> {
  for (const untilMs = Date.now() + withinMs; ; ) {
    const alive = await store.rows<{ writer: string }>({ owner: 'membership.leader', sql: `SELECT writer FROM (${ALIVE})` })
    if (alive.length === 0) return
    if (Date.now() < untilMs) {
      await delay(500)
      continue
    }
    throw new MadeleineError('locked', 'a server with another data directory refreshes the memberships of this ClickHouse', {
      hint: 'build with the data directory of that server, or stop it first',
    })
  }
}
