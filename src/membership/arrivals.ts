// What came in since the last tick, whoever wrote it and however late: by the engine's own clock, which gives every row its `received`.
// A block of events is named by its batch and week, and is stored whole or not at all. Blocks become visible a little after their `received`, so each tick looks back over a
// margin and passes over the blocks it has seen.

import type { VisitorId } from '../core/ids.ts'
import type { Store } from '../engine/store.ts'
import { ARRIVAL_MARGIN_MS, type Tick } from './ticks.ts'

export type Arrivals = {
  readonly seenAtMs: number
  /** Where the margin begins. */
  readonly sinceMs: number
  /** Blocks within the margin, and those of them that no tick has looked at. */
  readonly blocks: readonly string[]
  readonly fresh: readonly string[]
  /** Whom the fresh ones are about; undefined: more than were asked for, or nobody asked. */
  readonly visitors: readonly VisitorId[] | undefined
}

const SINCE = `received > fromUnixTimestamp64Milli({since:Int64}, 'UTC')`
const EVENT_BLOCK = `concat('e', toString(batch), '/', toString(toMonday(ts)))`
const SIGNAL_BLOCK = `concat('s', toString(batch))`

/** Whom blocks are about; `{since:Int64}` and `{some:Array(String)}` are bound beside it. */
export const ARRIVED = `SELECT visitor FROM madeleine.events WHERE ${SINCE} AND ${EVENT_BLOCK} IN {some:Array(String)}
  UNION ALL SELECT visitor FROM madeleine.consent_signals WHERE ${SINCE} AND ${SIGNAL_BLOCK} IN {some:Array(String)}`

export const BLOCKS_AT_ONCE = 1_000

/** `most`: so many visitors are told; undefined: none, because everybody is evaluated anyway. */
export async function readArrivals(store: Store, last: Tick | undefined, most: number | undefined): Promise<Arrivals> {
  const [clock] = await store.rows<{ nowMs: number }>({
    owner: 'membership.clock',
    sql: 'SELECT toUnixTimestamp64Milli(now64(3)) AS nowMs',
  })
  const seenAtMs = clock?.nowMs ?? 0
  const since = Math.min(last?.seenAtMs ?? seenAtMs, seenAtMs) - ARRIVAL_MARGIN_MS
  const found = await store.rows<{ block: string }>({
    owner: 'membership.arrivals',
    sql: `SELECT DISTINCT ${EVENT_BLOCK} AS block FROM madeleine.events WHERE ${SINCE}
          UNION ALL SELECT DISTINCT ${SIGNAL_BLOCK} AS block FROM madeleine.consent_signals WHERE ${SINCE}`,
    values: { since },
  })
  const blocks = found.map(({ block }) => block)
  const fresh = blocks.filter((block) => !last?.seen.has(block))
  if (most === undefined) return { seenAtMs, sinceMs: since, blocks, fresh, visitors: undefined }
  const visitors = new Set<VisitorId>()
  // After a long import or a backlog there are thousands; a server takes only so much with a statement.
  for (let first = 0; first < fresh.length && visitors.size <= most; first += BLOCKS_AT_ONCE) {
    const rows = await store.rows<{ id: VisitorId }>({
      owner: 'membership.arrived',
      sql: `SELECT DISTINCT toString(visitor) AS id FROM (${ARRIVED}) LIMIT {most:UInt64}`,
      values: { since, some: fresh.slice(first, first + BLOCKS_AT_ONCE), most: most + 1 },
    })
    for (const { id } of rows) visitors.add(id)
  }
  return { seenAtMs, sinceMs: since, blocks, fresh, visitors: visitors.size > most ? undefined : [...visitors] }
}

/** Visitors whose moment lies after one and not after another. Undefined: more than were asked for. */
export async function readDue(
  store: Store,
  { afterMs, untilMs }: { readonly afterMs: number; readonly untilMs: number },
  most: number,
): Promise<VisitorId[] | undefined> {
  const rows = await store.rows<{ id: VisitorId }>({
    owner: 'membership.due',
    sql: `SELECT DISTINCT toString(visitor) AS id FROM madeleine.turns
          WHERE due > fromUnixTimestamp64Milli({after:Int64}, 'UTC') AND due <= fromUnixTimestamp64Milli({until:Int64}, 'UTC') LIMIT {most:UInt64}`,
    values: { after: afterMs, until: untilMs, most: most + 1 },
  })
  return rows.length > most ? undefined : rows.map(({ id }) => id)
}
