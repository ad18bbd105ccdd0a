// What a tick does of its work: visitors by themselves, audiences over everybody.

import { messageOf, StoreRefused } from '../core/errors.ts'
import type { AudienceId } from '../core/ids.ts'
import { log } from '../core/log.ts'
import type { Store } from '../engine/store.ts'
import { type Found, withFound, writeDifferences } from './backfill.ts'
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

/** Audiences over everybody, together; where that is refused, each by itself, so that one that cannot be evaluated takes no other along. */
export async function writeEvaluated(
  store: Store,
  work: Work,
  versions: ReadonlyMap<AudienceId, number>,
  { limits, onShare }: RefreshOptions,
): Promise<Map<AudienceId, Outcome>> {
  const { moment, tick, evaluated } = work
  const outcomes = new Map<AudienceId, Outcome>()
  const evaluate = (audiences: readonly Audience[]): Promise<void> =>
    withFound(store, { audiences, moment, limits, onShare }, async (found) => {
      await writeDifferences(store, found, { tick, versions })
      for (const { id } of audiences) outcomes.set(id, { cost: found.cost, detail: undefined, together: audiences })
    })
  if (evaluated.length === 0) return outcomes
  try {
    await evaluate(evaluated)
  } catch (error) {
    if (!(error instanceof StoreRefused)) throw error
    if (evaluated.length > 1) log.warn({ cause: messageOf(error) }, 'audiences could not be evaluated together: each by itself')
    for (const audience of evaluated) {
      try {
        await evaluate([audience])
      } catch (alone) {
        if (!(alone instanceof StoreRefused)) throw alone
        outcomes.set(audience.id, { cost: undefined, detail: messageOf(alone).slice(0, 500), together: [audience] })
      }
    }
  }
  return outcomes
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
