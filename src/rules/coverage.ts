// Which clauses of a rule its tests have seen both ways. One that is the same in every test may say anything: the tests would not notice.

import type { Event } from '../event/event.ts'
import { clausesOf } from './clauses.ts'
import { clauseTruths, type VisitorFacts } from './evaluate.ts'
import type { ResolvedRule } from './rule.ts'

export type Looked = { readonly history: readonly Event[]; readonly atMs: number; readonly facts?: VisitorFacts }
export type Coverage = {
  readonly clauses: number
  /** Those that no test has flipped, with what they always were. */
  readonly never: readonly { readonly clause: string; readonly always: boolean }[]
}

export function coverageOf(rule: ResolvedRule, looks: readonly Looked[], retentionMs: number): Coverage {
  const clauses = clausesOf(rule)
  const truths = looks.map(({ history, atMs, facts }) => clauseTruths(rule, history, atMs, retentionMs, facts))
  const never = clauses.flatMap(({ path }, n) => {
    const seen = new Set(truths.map((truth) => truth[n] ?? false))
    return seen.size === 1 ? [{ clause: path === '' ? 'when' : `when.${path}`, always: seen.has(true) }] : []
  })
  return { clauses: clauses.length, never }
}
