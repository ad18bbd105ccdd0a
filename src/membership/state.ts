// What the membership knew at the last tick. A process that keeps it need not ask again; after a failure it is read anew.

import type { AudienceId, VisitorId } from '../core/ids.ts'
import type { Store } from '../engine/store.ts'
import { type AudienceLog, isCurrent, type Logged, readAudienceLog } from './log.ts'
import { readLastTick, type Tick } from './ticks.ts'

export type State = {
  readonly last: Tick | undefined
  readonly log: AudienceLog
  readonly sizes: ReadonlyMap<AudienceId, number>
  /** Audiences whose size has changed since it was logged. */
  readonly resized: ReadonlySet<AudienceId>
  /** What a tick that did not come to its end had written: it stays, and these are looked at again. */
  readonly left: {
    readonly visitors: readonly VisitorId[]
    readonly audiences: readonly AudienceId[]
    /** Audiences of which its log says something that did not come about. */
    readonly logged: readonly AudienceId[]
    readonly tick: number
  }
}

export type Counted = { readonly entered: number; readonly left: number }

/** Who entered and left in ticks after one, up to another. */
export async function countTransitions(store: Store, after: number, upTo: number): Promise<Map<AudienceId, Counted>> {
  const rows = await store.rows<Counted & { audience: AudienceId }>({
    owner: 'membership.count',
    sql: `SELECT audience, countIf(kind = 'entered') AS entered, countIf(kind = 'left') AS left
          FROM madeleine.transitions WHERE tick > {after:UInt64} AND tick <= {upTo:UInt64} GROUP BY audience`,
    values: { after, upTo },
  })
  return new Map(rows.map(({ audience, ...counted }) => [audience, counted]))
}

/** Who is in at one tick and was not at another before, and the other way round: whoever entered and left in between is in neither. */
export async function countNet(store: Store, after: number, upTo: number): Promise<Map<AudienceId, Counted>> {
  const rows = await store.rows<Counted & { audience: AudienceId }>({
    owner: 'membership.net',
    sql: `SELECT audience, countIf(first = 'entered' AND last = 'entered') AS entered, countIf(first = 'left' AND last = 'left') AS left FROM (
            SELECT audience, visitor, argMin(kind, tick) AS first, argMax(kind, tick) AS last FROM madeleine.transitions
            WHERE tick > {after:UInt64} AND tick <= {upTo:UInt64} AND kind != 'stays' GROUP BY audience, visitor
          ) GROUP BY audience`,
    values: { after, upTo },
    settings: { optimize_aggregation_in_order: 1 },
  })
  return new Map(rows.map(({ audience, ...counted }) => [audience, counted]))
}

/**
 * The logged sizes, and what has changed since. Sizes are logged together, of all audiences that have changed: one that was last logged before had not changed
 * until then.
 */
async function readSizes(
  store: Store,
  log: AudienceLog,
  tick: number,
): Promise<{ sizes: Map<AudienceId, number>; resized: Set<AudienceId> }> {
  const sizes = new Map([...log].map(([id, { size }]) => [id, size]))
  const together = Math.max(0, ...[...log.values()].map((logged) => (logged.what === 'size' ? logged.tick : 0)))
  const starts = [...log].map(([id, logged]) => ({ id, start: Math.max(together, logged.tick) }))
  if (starts.length === 0) return { sizes, resized: new Set() }
  const rows = await store.rows<Counted & { audience: AudienceId }>({
    owner: 'membership.sizes',
    sql: `SELECT audience, countIf(kind = 'entered') AS entered, countIf(kind = 'left') AS left
          FROM madeleine.transitions WHERE tick > {after:UInt64} AND tick <= {upTo:UInt64}
            AND tick > transform(toString(audience), {ids:Array(String)}, arrayMap(start -> toUInt64(start), {starts:Array(String)}), {upTo:UInt64}) GROUP BY audience`,
    values: {
      after: Math.min(...starts.map(({ start }) => start)),
      upTo: tick,
      ids: starts.map(({ id }) => id),
      starts: starts.map(({ start }) => String(start)),
    },
  })
  const resized = rows.filter(({ entered, left }) => entered + left > 0)
  for (const { audience, entered, left } of resized) sizes.set(audience, (sizes.get(audience) ?? 0) + entered - left)
  return { sizes, resized: new Set(resized.map(({ audience }) => audience)) }
}

/** Rows of a tick that did not come to its end. `most`: so many visitors are told one by one; of more than that, their audiences. */
async function readLeft(store: Store, tick: number, most: number): Promise<State['left']> {
  const [row] = await store.rows<{ visitors: VisitorId[]; audiences: AudienceId[]; last: number }>({
    owner: 'membership.left',
    sql: `SELECT arrayMap(id -> toString(id), groupUniqArray(${Math.floor(most) + 1})(visitor)) AS visitors, groupUniqArray(toString(audience)) AS audiences, max(tick) AS last
          FROM madeleine.transitions WHERE tick > {tick:UInt64}`,
    values: { tick },
  })
  const [said] = await store.rows<{ audiences: AudienceId[]; last: number }>({
    owner: 'membership.left',
    sql: `SELECT groupUniqArray(toString(audience)) AS audiences, max(tick) AS last FROM madeleine.audience_log WHERE tick > {tick:UInt64}`,
    values: { tick },
  })
  const { visitors = [], audiences = [], last = 0 } = row ?? {}
  const isMany = visitors.length > most
  return {
    visitors: isMany ? [] : visitors,
    audiences: isMany ? audiences : [],
    logged: said?.audiences ?? [],
    tick: Math.max(tick, last, said?.last ?? 0),
  }
}

export async function readState(store: Store, most: number): Promise<State> {
  const last = await readLastTick(store)
  const tick = last?.tick ?? 0
  const log = await readAudienceLog(store, tick)
  return { last, log, ...(await readSizes(store, log, tick)), left: await readLeft(store, tick, most) }
}

export const isMaintained = (logged: Logged | undefined, key: string): boolean => isCurrent(logged) && logged.key === key
