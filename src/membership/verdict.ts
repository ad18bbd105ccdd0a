// What a look at a visitor finds: in memory from all that is kept of it, or in the engine where that is too much to bring here.

import { MINUTE_MS } from '../core/duration.ts'
import type { VisitorId } from '../core/ids.ts'
import type { Store } from '../engine/store.ts'
import { lookAt } from '../rules/evaluate.ts'
import type { Decide } from '../rules/many.ts'
import type { Plan } from '../rules/plan.ts'
import { printPlan } from '../rules/print.ts'
import { modelEndsMs, nextSightMs } from '../rules/turns.ts'
import type { Kept } from './visitor.ts'

export type Verdict = {
  /** Places in the plan of the audiences that hold the visitor. */
  readonly held: readonly number[]
  /** When the last visible event leaves retention. */
  readonly endsMs: number
  /** Nothing changes before this moment unless something new comes in; Infinity: nothing will. */
  readonly nextMs: number
}
export type TouchedMoment = { readonly atMs: number; readonly retentionMs: number }

export function verdictOf({ history, facts }: Kept, decide: Decide, { atMs, retentionMs }: TouchedMoment): Verdict {
  const seen = lookAt(history, atMs, retentionMs, facts)
  const { held, turnsMs = Number.POSITIVE_INFINITY } = decide(seen)
  const endsMs = (seen.history.at(-1)?.ts ?? 0) + retentionMs
  const modelMs =
    decide.asksModel && held.length > 0 ? modelEndsMs(history, facts.said, seen, retentionMs) : Number.POSITIVE_INFINITY
  return { held, endsMs, nextMs: Math.min(turnsMs, modelMs, nextSightMs(history, facts.said, seen, retentionMs)) }
}

/** Events of the future are not looked for: whoever has so many is looked at again when the last of those accepted has come, at the cost of a look each time. */
const AGAIN_MS = 5 * MINUTE_MS
const NOBODY: Verdict = { held: [], endsMs: 0, nextMs: Number.POSITIVE_INFINITY }

/** Of visitors with very many events: robots that nobody has found out yet, and whoever plays with a cookie. */
export async function crowdedVerdicts(
  store: Store,
  plan: Plan,
  visitors: readonly VisitorId[],
  moment: TouchedMoment,
): Promise<Map<VisitorId, Verdict>> {
  const { atMs } = moment
  const verdicts = new Map<VisitorId, Verdict>(visitors.map((id) => [id, { ...NOBODY, nextMs: atMs + AGAIN_MS }]))
  for (const lane of [16, 32] as const) {
    const among = () => ' AND visitor IN {crowded:Array(UUID)}'
    const whole = { ...moment, nowMs: atMs, isUncontested: false }
    const { sql, values } = printPlan(plan, whole, { among, lane, prepared: undefined })
    const rows = await store.rows<{ who: VisitorId; held: readonly number[]; endsMs: number; nextMs: number }>({
      owner: 'membership.crowded',
      sql: `SELECT toString(visitor) AS who, held, toUnixTimestamp64Milli(expires) AS endsMs, toUnixTimestamp64Milli(turns) AS nextMs FROM (${sql})`,
      values: { ...values, crowded: visitors },
      settings: { log_queries: 0, max_ast_elements: 10_000_000, max_expanded_ast_elements: 10_000_000 },
    })
    for (const { who, held, endsMs, nextMs } of rows)
      verdicts.set(who, { held: held.map((n) => n - 1), endsMs, nextMs: Math.min(nextMs, atMs + AGAIN_MS) })
  }
  return verdicts
}
