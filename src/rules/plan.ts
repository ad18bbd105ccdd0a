// Decides how a set of audiences is evaluated: every distinct condition is counted once, in one pass over the events, and each audience is a formula
// over those counts. The SQL printer (print.ts) renders this and decides nothing.

import type { AudienceId } from '../core/ids.ts'
import { assertNever } from '../core/never.ts'
import type { Comparison, EventCondition, EventFilter, ResolvedRule, Sequence, SumField } from './rule.ts'

/** What is measured once for all audiences that ask for it: a condition without its comparison, or a whole sequence. */
export type Counter =
  | (EventFilter & { readonly kind: 'count' | 'days' | 'sessions'; readonly withinMs: number })
  | (EventFilter & { readonly kind: 'sum'; readonly field: SumField; readonly withinMs: number })
  | Sequence

export type Formula =
  | { readonly kind: 'compare'; readonly counter: number; readonly comparison: Comparison<number> }
  | { readonly kind: 'compare_sum'; readonly counter: number; readonly comparison: Comparison<bigint> }
  | { readonly kind: 'sequence'; readonly counter: number }
  | { readonly kind: 'list'; readonly id: AudienceId }
  | { readonly kind: 'all' | 'any'; readonly of: readonly Formula[] }
  | { readonly kind: 'not'; readonly of: Formula }

export type Plan = {
  readonly counters: readonly Counter[]
  readonly audiences: readonly { readonly id: AudienceId; readonly formula: Formula }[]
}

const textOf = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) => (typeof inner === 'bigint' ? `${inner}n` : inner))

/** Two filters are the same if they say the same, in whatever order their fields stand. */
const filterKey = ({ events, where }: EventFilter): string => textOf([events?.toSorted() ?? null, where.map(textOf).sort()])

function counterKey(counter: Counter): string {
  if (counter.kind === 'sequence')
    return textOf(['sequence', counter.steps.map(filterKey), counter.gapMs ?? null, counter.withinMs])
  return textOf([counter.kind, counter.kind === 'sum' ? counter.field : '', filterKey(counter), counter.withinMs])
}

function toCounter({ events, where, withinMs, measure }: EventCondition): Counter {
  if (measure.kind === 'sum') return { kind: 'sum', field: measure.field, events, where, withinMs }
  return { kind: measure.kind, events, where, withinMs }
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
  function indexOf(counter: Counter): number {
    const key = counterKey(counter)
    const index = known.get(key) ?? counters.push(counter) - 1
    known.set(key, index)
    return index
  }
  function formula(rule: ResolvedRule): Formula {
    switch (rule.kind) {
      case 'events': {
        const counter = indexOf(toCounter(rule))
        const { measure } = rule
        return measure.kind === 'sum'
          ? { kind: 'compare_sum', counter, comparison: measure.comparison }
          : { kind: 'compare', counter, comparison: measure.comparison }
      }
      case 'sequence':
        return { kind: 'sequence', counter: indexOf(rule) }
      case 'list':
        return rule
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
