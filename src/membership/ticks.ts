// Ticks: what the membership knows of the events, and up to when. A tick counts from the moment its row does, written last.

import type { Store } from '../engine/store.ts'

/** A row is inserted and seen within this, whatever the load; what came in longer ago has been seen. Of the engine's clock. */
export const ARRIVAL_MARGIN_MS = 120_000

export type Maker = 'build' | 'serve'

export type Tick = {
  /** Its number: its moment, or the next number where a clock went back. */
  readonly tick: number
  /** Members are complete through this moment. */
  readonly atMs: number
  /** A command that was asked to build, or a server that goes on doing it. */
  readonly maker: Maker
  /** By the engine's clock. */
  readonly seenAtMs: number
  /** What has come in and was looked at, as far back as the margin goes (arrivals.ts). */
  readonly seen: ReadonlySet<string>
}

export async function readLastTick(store: Store): Promise<Tick | undefined> {
  const [last] = await store.rows<Omit<Tick, 'seen'>>({
    owner: 'membership.tick',
    sql: `SELECT tick, toUnixTimestamp64Milli(at) AS atMs, toUnixTimestamp64Milli(seen_at) AS seenAtMs, toString(maker) AS maker FROM madeleine.ticks ORDER BY tick DESC LIMIT 1`,
  })
  if (!last) return undefined
  const rows = await store.rows<{ key: string }>({
    owner: 'membership.seen',
    sql: `SELECT DISTINCT arrayJoin(seen) AS key FROM madeleine.ticks WHERE seen_at > fromUnixTimestamp64Milli({since:Int64}, 'UTC')`,
    values: { since: last.seenAtMs - 2 * ARRIVAL_MARGIN_MS },
  })
  return { ...last, seen: new Set(rows.map(({ key }) => key)) }
}

/** The last tick that a command asked for; 0 where there is none. */
export async function readLastBuild(store: Store): Promise<number> {
  const [row] = await store.rows<{ last: number }>({
    owner: 'membership.build',
    sql: `SELECT maxIf(tick, maker = 'build') AS last FROM madeleine.ticks`,
  })
  return row?.last ?? 0
}

export type TickRow = Omit<Tick, 'seen'> & {
  /** What this tick was the first to look at. */
  readonly seen: readonly string[]
  readonly touched: number
  /** Read from ClickHouse. */
  readonly rows: number
  readonly seconds: number
}

export async function commitTick(
  store: Store,
  { tick, atMs, maker, seenAtMs, seen, touched, rows, seconds }: TickRow,
): Promise<void> {
  await store.insertLines({
    owner: 'membership.commit',
    into: 'madeleine.ticks (tick, at, maker, seen_at, seen, touched, rows, seconds)',
    lines: Buffer.from(`${JSON.stringify({ tick, at: atMs, maker, seen_at: seenAtMs, seen, touched, rows, seconds })}\n`),
  })
}
