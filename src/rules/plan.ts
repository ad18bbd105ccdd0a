// Decides what is measured for a set of audiences: every distinct mark (events that pass a filter inside a window) and every distinct measure of one is
// there once, whoever asks for it, and each audience is a formula over the measures.

import type { AudienceId } from '../core/ids.ts'
import { assertNever } from '../core/never.ts'
import type { Comparison, EventFilter, ResolvedRule, SumField } from './rule.ts'

/** What an event is or is not: it passes the filter, and lies inside the window. */
export type Mark = EventFilter & { readonly withinMs: number }

/** What is asked about one visitor's events with a mark (its index), true or false: there are so many of them, or days or sessions with one. */
export type AtLeast = { readonly kind: 'any' | 'count' | 'days' | 'sessions'; readonly mark: number; readonly atLeast: number }
export type Sum = { readonly field: SumField; readonly mark: number }
export type Steps = { readonly steps: readonly number[]; readonly gapMs: number | undefined }

/** Over what is asked; the numbers are places in the plan. `always`: without looking. */
export type Formula =
  | { readonly kind: 'at_least' | 'sequence'; readonly index: number }
  | { readonly kind: 'sum'; readonly index: number; readonly comparison: Comparison<bigint> }
  | { readonly kind: 'list'; readonly id: AudienceId; readonly needs?: 'model' }
  | { readonly kind: 'always' }
  | { readonly kind: 'all' | 'any'; readonly of: readonly Formula[] }
  | { readonly kind: 'not'; readonly of: Formula }

export type Plan = {
  readonly marks: readonly Mark[]
  readonly asked: readonly AtLeast[]
  readonly sums: readonly Sum[]
  readonly sequences: readonly Steps[]
  readonly audiences: readonly { readonly id: AudienceId; readonly formula: Formula }[]
}

const textOf = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) => (typeof inner === 'bigint' ? `${inner}n` : inner))

/** Two filters are the same if they say the same, in whatever order their fields stand. */
const markKey = ({ events, where, withinMs }: Mark): string =>
  textOf([events?.toSorted() ?? null, where.map(textOf).sort(), withinMs])

/** Each distinct thing once, by its key; `indexOf` says where. */
function register<T>(keyOf: (item: T) => string): { readonly items: T[]; indexOf(item: T): number } {
  const items: T[] = []
  const known = new Map<string, number>()
  return {
    items,
    indexOf(item) {
      const key = keyOf(item)
      const index = known.get(key) ?? items.push(item) - 1
      known.set(key, index)
      return index
    },
  }
}

const not = (of: Formula): Formula => ({ kind: 'not', of })

export function planAudiences(audiences: readonly { readonly id: AudienceId; readonly rule: ResolvedRule }[]): Plan {
  const marks = register(markKey)
  const asked = register<AtLeast>(textOf)
  const sums = register<Sum>(textOf)
  const sequences = register<Steps>(textOf)
  const markOf = ({ events, where }: EventFilter, withinMs: number): number => marks.indexOf({ events, where, withinMs })

  /** Every comparison of whole numbers is made of "at least". One of something is the same question whatever is counted. */
  function compared(kind: 'count' | 'days' | 'sessions', mark: number, comparison: Comparison<number>): Formula {
    const atLeast = (n: number): Formula =>
      n <= 0 ? { kind: 'always' } : { kind: 'at_least', index: asked.indexOf({ kind: n === 1 ? 'any' : kind, mark, atLeast: n }) }
    const parts = comparison.flatMap(({ operator, than }): Formula[] => {
      switch (operator) {
        case 'gte':
          return [atLeast(than)]
        case 'gt':
          return [atLeast(than + 1)]
        case 'lt':
          return [not(atLeast(than))]
        case 'lte':
          return [not(atLeast(than + 1))]
        case 'eq':
          return [atLeast(than), not(atLeast(than + 1))]
        default:
          return assertNever(operator)
      }
    })
    const [first, ...others] = parts
    return first && others.length === 0 ? first : { kind: 'all', of: parts }
  }

  function formula(rule: ResolvedRule): Formula {
    switch (rule.kind) {
      case 'events': {
        const mark = markOf(rule, rule.withinMs)
        const { measure } = rule
        if (measure.kind !== 'sum') return compared(measure.kind, mark, measure.comparison)
        return { kind: 'sum', index: sums.indexOf({ field: measure.field, mark }), comparison: measure.comparison }
      }
      case 'sequence': {
        const steps = rule.steps.map((step) => markOf(step, rule.withinMs))
        return { kind: 'sequence', index: sequences.indexOf({ steps, gapMs: rule.gapMs }) }
      }
      case 'list':
        return rule
      case 'not':
        return not(formula(rule.rule))
      case 'all':
      case 'any':
        return { kind: rule.kind, of: rule.rules.map(formula) }
      default:
        return assertNever(rule)
    }
  }
  const formulas = audiences.map(({ id, rule }) => ({ id, formula: formula(rule) }))
  return {
    marks: marks.items,
    asked: asked.items,
    sums: sums.items,
    sequences: sequences.items,
    audiences: formulas,
  }
}
