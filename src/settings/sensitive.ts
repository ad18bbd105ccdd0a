// Sensitive categories in a rule, looked for in the YAML itself: whatever the shape of the rule around it, `where: { category: ... }` is where it names them.

import { isMapping } from '../rules/checker.ts'
import type { Problem, ProblemPath } from '../rules/rule.ts'
import type { Taxonomy } from '../taxonomy/tree.ts'

/** Says why an id is refused; undefined where it is not. */
export type Refuses = (id: string) => string | undefined

/** Sensitive nodes, and what lies below them, are refused unless the operator has named them or a node above them. */
export function refuseSensitive(taxonomy: Taxonomy, allowed: ReadonlySet<string>): Refuses {
  return (id) => {
    const marked = taxonomy.sensitiveFor(id)
    if (!marked || [id, ...taxonomy.ancestors(id)].some((each) => allowed.has(each))) return undefined
    return `\`${id}\` (${taxonomy.pathOf(id)}) is sensitive: it is refused unless settings.yaml names it, or a node above it, in taxonomy.allow_sensitive`
  }
}

/** Every text under a matcher, whatever the operator; of a pattern, each run of characters that an id could be. */
function namedIn(value: unknown, path: ProblemPath, operator: string): readonly (readonly [id: string, path: ProblemPath])[] {
  if (typeof value === 'string')
    return operator === 'matches'
      ? (value.match(/[A-Za-z0-9_.-]+/g) ?? []).map((id) => [id, path] as const)
      : [[value, path] as const]
  if (Array.isArray(value)) return value.flatMap((item, n) => namedIn(item, [...path, n], operator))
  if (isMapping(value)) return Object.entries(value).flatMap(([key, inner]) => namedIn(inner, [...path, key], key))
  return []
}

/** Deeper than any rule that the parser takes. */
const PATH_MAX = 400

/** Problems of a rule as its file has it. What is no rule, or too deep for one, is for the parser to say. */
export function sensitiveIn(rule: unknown, path: ProblemPath, refuses: Refuses): Problem[] {
  const problems: Problem[] = []
  const waiting: (readonly [value: unknown, path: ProblemPath])[] = [[rule, path]]
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const [value, at] = next
    if (at.length > PATH_MAX) continue
    if (Array.isArray(value)) for (const [n, item] of value.entries()) waiting.push([item, [...at, n]])
    if (!isMapping(value)) continue
    for (const [key, inner] of Object.entries(value)) {
      if (key !== 'where') waiting.push([inner, [...at, key]])
      else if (isMapping(inner))
        for (const [id, where] of namedIn(inner['category'], [...at, key, 'category'], 'eq')) {
          const message = refuses(id)
          if (message !== undefined) problems.push({ path: where, at: 'value', message })
        }
    }
  }
  return problems
}
