// Puts referenced segments in their place and spells out categories with their descendants. Unknown segments and cycles are problems.

import type { AudienceId } from '../core/ids.ts'
import { nearest } from '../core/nearest.ts'
import type { EventFilter, Match, Problem, ProblemPath, ResolvedRule, Rule, TextTest } from './rule.ts'

export type Segment = { readonly id: AudienceId; readonly rule: Rule }
/** The category itself and everything below it. */
export type Descend = (category: string) => readonly string[]

const isEquality = (test: TextTest): test is TextTest & { values: readonly string[] } =>
  test.test === 'in' || test.test === 'not_in'

function withDescendants(match: Match, descend: Descend): Match {
  if (match.type !== 'list' || match.field !== 'category') return match
  const tests = match.tests.map((test) =>
    isEquality(test) ? { ...test, values: [...new Set(test.values.flatMap(descend))] } : test,
  )
  return { ...match, tests }
}

/** The rule of `segment` with no names left in it. Problems are reported at the place that names the segment. */
export function resolveSegment(
  segment: Segment,
  segments: ReadonlyMap<AudienceId, Segment>,
  descend: Descend,
  problems: Problem[] = [],
): ResolvedRule | undefined {
  const meant = (id: AudienceId): string => {
    const known = nearest(id, [...segments.keys()])
    return known === undefined ? '' : `; did you mean \`${known}\`?`
  }
  const spelledOut = <F extends EventFilter>(filter: F): F => ({
    ...filter,
    where: filter.where.map((match) => withDescendants(match, descend)),
  })
  /** `named`: where this segment itself names the one that is being resolved. */
  function resolve(rule: Rule, above: readonly AudienceId[], named: ProblemPath): ResolvedRule | undefined {
    switch (rule.kind) {
      case 'events':
        return spelledOut(rule)
      case 'sequence':
        return { ...rule, steps: rule.steps.map(spelledOut) }
      case 'list':
        return rule
      case 'not': {
        const inner = resolve(rule.rule, above, named)
        return inner && { kind: 'not', rule: inner }
      }
      case 'all':
      case 'any': {
        const rules = rule.rules.map((item) => resolve(item, above, named))
        const good = rules.filter((item) => item !== undefined)
        return good.length === rules.length ? { kind: rule.kind, rules: good } : undefined
      }
      case 'segment': {
        const other = segments.get(rule.id)
        const own = above.length === 1 // deeper ones are reported at their own segment
        if (!other) {
          if (own) problems.push({ path: rule.path, at: 'value', message: `unknown segment \`${rule.id}\`${meant(rule.id)}` })
          return undefined
        }
        if (above.includes(rule.id)) {
          if (rule.id === above[0])
            problems.push({ path: own ? rule.path : named, at: 'value', message: `cycle: ${[...above, rule.id].join(' -> ')}` })
          return undefined
        }
        return resolve(other.rule, [...above, rule.id], own ? rule.path : named)
      }
    }
  }
  return resolve(segment.rule, [segment.id], [])
}
