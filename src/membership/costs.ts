// What audiences cost. Audiences evaluated together share one pass; each is said to have cost its part by weight.
//
// The rule: a clause weighs as many counts as it takes longer than one. Measured one query an audience over 30 M events (test/bench/segment.ts): a count 2.3 s, days 2.6, sums 4.4,
// sequences 5.0, sessions 6.8; a pattern a third more than a count.

import { clausesOf } from '../rules/clauses.ts'
import type { Leaf, ResolvedRule } from '../rules/rule.ts'
import type { Audience } from './pass.ts'

const WEIGHTS = { count: 1, days: 1.1, sum: 1.9, sequence: 2.2, sessions: 2.9, list: 0.2 } as const

function weightOfLeaf(leaf: Leaf): number {
  if (leaf.kind === 'list') return WEIGHTS.list
  return leaf.kind === 'sequence' ? WEIGHTS.sequence : WEIGHTS[leaf.measure.kind]
}

export const weightOf = (rule: ResolvedRule): number => clausesOf(rule).reduce((sum, { leaf }) => sum + weightOfLeaf(leaf), 0)

export type Cost = {
  /** Read from ClickHouse, as it counts them. */
  readonly rows: number
  readonly bytes: number
  readonly seconds: number
}

/** Of the machine of the bench: a count of its own over 30 M events takes 2.3 s. */
const SECONDS_AN_EVENT = 2.3 / 30_000_000

/** What an audience by itself would take over so many events. */
export const expectedSeconds = (rule: ResolvedRule, events: number): number => weightOf(rule) * events * SECONDS_AN_EVENT

/** An audience's part of what a pass over several cost. */
export function shareOf(cost: Cost, { rule }: Audience, together: readonly Audience[]): Cost {
  const share = weightOf(rule) / together.reduce((sum, other) => sum + weightOf(other.rule), 0)
  return { rows: Math.round(cost.rows * share), bytes: Math.round(cost.bytes * share), seconds: cost.seconds * share }
}
