// The conditions that a rule is made of, one by one.

import type { AudienceId } from '../core/ids.ts'
import type { Leaf, ResolvedRule } from './rule.ts'

export type Clause = {
  /** Where it stands in the rule, such as `all[1].not`; empty for a rule that is one clause. Segments that it names are part of it. */
  readonly path: string
  readonly leaf: Leaf
}

/** Imported lists that the rule names. */
export const listsOf = (rule: ResolvedRule): AudienceId[] =>
  clausesOf(rule).flatMap(({ leaf }) => (leaf.kind === 'list' ? [leaf.id] : []))

/** The conditions of a rule, in its order. */
export function clausesOf(rule: ResolvedRule, path = ''): Clause[] {
  const under = (step: string): string => (path === '' ? step : `${path}.${step}`)
  switch (rule.kind) {
    case 'all':
    case 'any':
      return rule.rules.flatMap((item, i) => clausesOf(item, under(`${rule.kind}[${i}]`)))
    case 'not':
      return clausesOf(rule.rule, under('not'))
    default:
      return [{ path, leaf: rule }]
  }
}
