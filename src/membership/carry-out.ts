// What a tick does of its work: visitors by themselves, audiences over everybody.

import type { AudienceId } from '../core/ids.ts'
import type { Store } from '../engine/store.ts'
import { eachFound, type Found } from './backfill.ts'
import { writeDifferences } from './differences.ts'
import type { Audience } from './pass.ts'
import type { Looker } from './touched.ts'
import type { RefreshOptions, Work } from './work.ts'

/** Each insert makes parts that must be merged. */
const LINES_AT_ONCE = 50_000

export async function writeTouched(
  store: Store,
  looker: Looker,
  work: Work,
  versions: ReadonlyMap<AudienceId, number>,
): Promise<void> {
  const { tick, moment, visitors } = work
  let turnLines: string[] = []
  let lines: string[] = []
  async function flush(): Promise<void> {
    // First when to look again: a row too many does no harm, one too few would.
    await insert('turns (due, visitor)', turnLines)
    await insert('transitions (tick, at, audience, version, visitor, kind, expires)', lines)
    turnLines = []
    lines = []
  }
  async function insert(into: string, rows: readonly string[]): Promise<void> {
    if (rows.length === 0) return
    const text = Buffer.from(`${rows.join('\n')}\n`)
    await store.insertLines({ owner: 'membership.transitions', into: `madeleine.${into}`, lines: text })
  }
  for await (const { transitions, turns } of looker.changes(store, visitors, moment)) {
    for (const { dueMs, visitor } of turns) turnLines.push(JSON.stringify({ due: dueMs, visitor }))
    for (const { audience, visitor, kind, expiresMs } of transitions) {
      const version = versions.get(audience) ?? 0
      lines.push(JSON.stringify({ tick, at: moment.atMs, audience, version, visitor, kind, expires: expiresMs }))
    }
    if (lines.length + turnLines.length > LINES_AT_ONCE) await flush()
  }
  await flush()
}

export type Outcome = {
  readonly cost: Found['cost'] | undefined
  readonly detail: string | undefined
  readonly together: readonly Audience[]
}

/** Audiences over everybody. */
export async function writeEvaluated(
  store: Store,
  { moment, tick, evaluated }: Work,
  versions: ReadonlyMap<AudienceId, number>,
  { limits, onShare }: RefreshOptions,
): Promise<Map<AudienceId, Outcome>> {
  const outcomes = new Map<AudienceId, Outcome>()
  const refused = await eachFound(store, { audiences: evaluated, moment, limits, onShare }, async (found) => {
    await writeDifferences(store, found, { tick, versions })
    for (const { id } of found.audiences) outcomes.set(id, { cost: found.cost, detail: undefined, together: found.audiences })
  })
  for (const [id, detail] of refused) outcomes.set(id, { cost: undefined, detail, together: [] })
  return outcomes
}

/** Those of which something was written up to a tick. */
export async function withEarlierRows(store: Store, ids: readonly AudienceId[], tick: number): Promise<AudienceId[]> {
  if (ids.length === 0) return []
  const rows = await store.rows<{ audience: AudienceId }>({
    owner: 'membership.earlier',
    sql: 'SELECT DISTINCT audience FROM madeleine.transitions WHERE audience IN {ids:Array(String)} AND tick <= {tick:UInt64}',
    values: { ids, tick },
  })
  return rows.map(({ audience }) => audience)
}

/** Counted from the rows that are there. */
export async function countMembers(store: Store, ids: readonly AudienceId[]): Promise<Map<AudienceId, number>> {
  if (ids.length === 0) return new Map()
  const rows = await store.rows<{ audience: AudienceId; size: number }>({
    owner: 'membership.recount',
    sql: `SELECT audience, count() AS size FROM (
            SELECT audience, visitor FROM madeleine.transitions WHERE audience IN {ids:Array(String)} GROUP BY audience, visitor HAVING argMax(kind, tick) != 'left'
          ) GROUP BY audience`,
    values: { ids },
    settings: { optimize_aggregation_in_order: 1 },
  })
  const sizes = new Map(rows.map(({ audience, size }) => [audience, size]))
  return new Map(ids.map((id) => [id, sizes.get(id) ?? 0]))
}
