// Decides how a set of audiences is evaluated: every distinct condition is counted once, in one pass over the events, and each audience is a formula
// over those counts. The SQL printer (print.ts) renders this and decides nothing.

import type { AudienceId } from '../core/ids.ts'
import { assertNever } from '../core/never.ts'
import type { Comparison, EventCondition, ResolvedRule } from './rule.ts'

/** What is counted: an event condition without its comparison. */
export type Counter = Omit<EventCondition, 'kind' | 'count'>

export type Formula =
  | { readonly kind: 'compare'; readonly counter: number; readonly comparison: Comparison }
  | { readonly kind: 'all' | 'any'; readonly of: readonly Formula[] }
  | { readonly kind: 'not'; readonly of: Formula }

export type Plan = {
  readonly counters: readonly Counter[]
  readonly audiences: readonly { readonly id: AudienceId; readonly formula: Formula }[]
}

/** Two conditions are the same counter if they say the same, in whatever order their fields stand. */
function counterKey({ events, where, withinMs }: Counter): string {
  const fields = where.map((match) =>
    JSON.stringify(match, (_, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value)),
  )
  return JSON.stringify([events?.toSorted() ?? null, fields.sort(), withinMs])
}

/** Audiences evaluated by one statement: its text and its syntax tree have limits on the server (256 KiB, 50,000 nodes; 1,600 small audiences broke the latter). */
const AUDIENCES_A_STATEMENT = 100

export function* slicesOf<A>(audiences: readonly A[]): Generator<A[]> {
  for (let start = 0; start < audiences.length; start += AUDIENCES_A_STATEMENT)
    yield audiences.slice(start, start + AUDIENCES_A_STATEMENT)
}

export function planAudiences(audiences: readonly { readonly id: AudienceId; readonly rule: ResolvedRule }[]): Plan {
  const counters: Counter[] = []
  const known = new Map<string, number>()
  function counterOf({ events, where, withinMs }: EventCondition): number {
    const counter = { events, where, withinMs }
    const key = counterKey(counter)
    const index = known.get(key) ?? counters.push(counter) - 1
    known.set(key, index)
    return index
  }
  function formula(rule: ResolvedRule): Formula {
    switch (rule.kind) {
      case 'events':
        return { kind: 'compare', counter: counterOf(rule), comparison: rule.count }
      case 'not':
        return { kind: 'not', of: formula(rule.rule) }
      case 'all':
      case 'any':
        return { kind: rule.kind, of: rule.rules.map(formula) }
      default:
        return assertNever(rule)
    }
  }
  return { audiences: audiences.map(({ id, rule }) => ({ id, formula: formula(rule) })), counters }
}
