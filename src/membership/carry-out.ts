// What a tick does of its work: visitors by themselves, audiences over everybody.

import { messageOf, StoreRefused } from '../core/errors.ts'
import type { AudienceId } from '../core/ids.ts'
import { log } from '../core/log.ts'
import type { Store } from '../engine/store.ts'
import { type Found, withFound, writeDifferences } from './backfill.ts'
import type { Audience } from './pass.ts'
import type { Looker } from './touched.ts'
import type { RefreshOptions, Work } from './work.ts'

export async function writeTouched(
  store: Store,
  looker: Looker,
  work: Work,
  versions: ReadonlyMap<AudienceId, number>,
): Promise<void> {
  const { tick, moment, visitors } = work
  for await (const { transitions, turns } of looker.changes(store, visitors, moment)) {
    const lines = transitions.map(({ audience, visitor, kind, expiresMs }) =>
      JSON.stringify({
        tick,
        at: moment.atMs,
        audience,
        version: versions.get(audience) ?? 0,
        visitor,
        kind,
        expires: expiresMs,
      }),
    )
    // First when to look again: a row too many does no harm, one too few would.
    if (turns.length > 0)
      await store.insertLines({
        owner: 'membership.turns',
        into: 'madeleine.turns (due, visitor)',
        lines: Buffer.from(turns.map(({ dueMs, visitor }) => `${JSON.stringify({ due: dueMs, visitor })}\n`).join('')),
      })
    if (lines.length > 0)
      await store.insertLines({
        owner: 'membership.transitions',
        into: 'madeleine.transitions (tick, at, audience, version, visitor, kind, expires)',
        lines: Buffer.from(`${lines.join('\n')}\n`),
      })
  }
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
