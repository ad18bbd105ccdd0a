// The rule language as frozen data (contract 2.1). `Rule` is what a file says; `ResolvedRule` has no names left in it: other segments are put in
// their place and categories are spelled out with their descendants, so that both evaluators only carry out.

import type { AudienceId } from '../core/ids.ts'
import type { NumberField } from '../event/event.ts'

export const COMPARISON_OPERATORS = ['gte', 'gt', 'lte', 'lt', 'eq'] as const
export type ComparisonOperator = (typeof COMPARISON_OPERATORS)[number]
/** All of them must hold; `between` is written as its two ends. Sums are compared in millionths. */
export type Comparison<N extends number | bigint> = readonly { readonly operator: ComparisonOperator; readonly than: N }[]

/** What is measured of the matching events. */
export type Measure =
  | { readonly kind: 'count' | 'days' | 'sessions'; readonly comparison: Comparison<number> }
  | { readonly kind: 'sum'; readonly field: SumField; readonly comparison: Comparison<bigint> }
export const SUM_FIELDS = ['value', 'dwell_ms'] as const
export type SumField = (typeof SUM_FIELDS)[number]

export type OrderOperator = 'gt' | 'gte' | 'lt' | 'lte'
export type TextTest =
  | { readonly test: 'in' | 'not_in'; readonly values: readonly string[] }
  | { readonly test: 'contains' | 'starts_with' | 'ends_with'; readonly text: string }
  /** RE2, unanchored, `.` matches a newline too. */
  | { readonly test: 'matches'; readonly pattern: string }
  | { readonly test: 'exists'; readonly is: boolean }
export type OrderTest<N> = { readonly test: OrderOperator; readonly than: N }
export type NumberTest =
  | { readonly test: 'in' | 'not_in'; readonly values: readonly bigint[] }
  | { readonly test: 'exists'; readonly is: boolean }
  | OrderTest<bigint>

/** What one field of an event must satisfy: every test. `attr` holds the name behind `attr.`. */
export type Match =
  | { readonly type: 'text'; readonly field: string; readonly tests: readonly TextTest[] }
  | { readonly type: 'list'; readonly field: 'category' | 'keyword'; readonly tests: readonly TextTest[] }
  | { readonly type: 'number'; readonly field: NumberField; readonly tests: readonly NumberTest[] }
  | { readonly type: 'attr'; readonly attr: string; readonly tests: readonly (TextTest | OrderTest<number>)[] }

/** Which events: one of the names (undefined: any), and all of the matches. */
export type EventFilter = { readonly events: readonly string[] | undefined; readonly where: readonly Match[] }

export type EventCondition = EventFilter & { readonly kind: 'events'; readonly withinMs: number; readonly measure: Measure }

/** Each step strictly later than the one before, at most `gapMs` after it (undefined: any time). */
export type Sequence = {
  readonly kind: 'sequence'
  readonly steps: readonly EventFilter[]
  readonly gapMs: number | undefined
  readonly withinMs: number
}

/** `needs`: and some event of the visitor permits it as things stand, whoever the list was written by. */
export type ListCondition = { readonly kind: 'list'; readonly id: AudienceId; readonly needs?: 'model' }

/** What speaks about one visitor's events, or about the visitor. */
export type Leaf = EventCondition | Sequence | ListCondition

export type ResolvedRule =
  | Leaf
  | { readonly kind: 'all' | 'any'; readonly rules: readonly ResolvedRule[] }
  | { readonly kind: 'not'; readonly rule: ResolvedRule }

export type Rule =
  | Leaf
  | { readonly kind: 'all' | 'any'; readonly rules: readonly Rule[] }
  | { readonly kind: 'not'; readonly rule: Rule }
  | { readonly kind: 'segment'; readonly id: AudienceId; readonly path: ProblemPath }

/** Where in a document something stands: keys and indexes from its root. */
export type ProblemPath = readonly (string | number)[]
/** `at` says whether the key itself or the value under it is wrong. */
export type Problem = { readonly path: ProblemPath; readonly at: 'key' | 'value'; readonly message: string }
