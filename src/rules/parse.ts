// From the YAML value under `when` to a Rule. Whatever is odd is a problem, never a guess: an empty group would select everybody.

import { parseDuration } from '../core/duration.ts'
import { isEventName, parseAudienceId } from '../core/ids.ts'
import type { Checker, Mapping } from './checker.ts'
import { parseWhere } from './parse-where.ts'
import { COUNT_OPERATORS, type Comparison, type CountOperator, type EventCondition, type ProblemPath, type Rule } from './rule.ts'

/** Groups and references stand alone in their mapping. */
const GROUP_KEYS = ['all', 'any', 'not', 'segment'] as const
const EVENT_KEYS = ['event', 'where', 'count', 'within'] as const
const DEPTH_MAX = 50

const isCountOperator = (key: string): key is CountOperator => (COUNT_OPERATORS as readonly string[]).includes(key)

export type RuleLimits = { readonly retentionMs: number }

function parseCount(check: Checker, value: unknown, path: ProblemPath): Comparison {
  const mapping = check.mapping(value, path, '`count`')
  const whole = (n: unknown, at: ProblemPath): number | undefined =>
    typeof n === 'number' && Number.isSafeInteger(n) && n >= 0
      ? n
      : check.value(at, 'a count is compared with a whole number from 0')
  const comparisons = Object.entries(mapping ?? {}).flatMap(([key, operand]): Comparison => {
    const at = [...path, key]
    if (key === 'between') {
      const ends = check.list(operand, at, '`between`')
      if (ends && ends.length !== 2) check.value(at, '`between` takes two numbers')
      const low = ends && whole(ends[0], [...at, 0])
      const high = ends && ends.length === 2 ? whole(ends[1], [...at, 1]) : undefined
      if (low === undefined || high === undefined) return []
      if (low > high) check.value(at, `\`between\` is reversed: ${low} is more than ${high}`)
      return [
        { operator: 'gte', than: low },
        { operator: 'lte', than: high },
      ]
    }
    if (!isCountOperator(key)) {
      check.key(at, `unknown comparison \`${key}\`; known: ${COUNT_OPERATORS.join(', ')}, between`)
      return []
    }
    const than = whole(operand, at)
    if (than === undefined) return []
    if (key === 'gte' && than === 0) check.value(at, '`gte: 0` holds for everybody')
    if (key === 'lt' && than === 0) check.value(at, '`lt: 0` holds for nobody')
    return [{ operator: key, than }]
  })
  return comparisons
}

function parseEvents(check: Checker, value: unknown, path: ProblemPath): string[] | undefined {
  const list = Array.isArray(value) ? check.list(value, path, '`event`') : [value]
  return list?.flatMap((name, i) => {
    if (isEventName(name)) return [name]
    check.value(
      Array.isArray(value) ? [...path, i] : path,
      'an event name is a lower-case letter and at most 63 letters, digits or `_` after it',
    )
    return []
  })
}

function parseWithin(check: Checker, value: unknown, path: ProblemPath, limits: RuleLimits): number {
  if (value === undefined) return limits.retentionMs
  const ms = typeof value === 'string' ? parseDuration(value) : undefined
  if (ms === undefined) check.value(path, 'a duration is a whole number and m, h, d or w, such as 14d')
  else if (ms > limits.retentionMs)
    check.value(path, `\`within\` is longer than the retention of ${limits.retentionMs / 86_400_000} days`)
  return ms ?? limits.retentionMs
}

function parseCondition(check: Checker, mapping: Mapping, path: ProblemPath, limits: RuleLimits): EventCondition {
  check.unknownKeys(mapping, path, [...GROUP_KEYS, ...EVENT_KEYS], 'a rule')
  return {
    kind: 'events',
    events: mapping['event'] === undefined ? undefined : parseEvents(check, mapping['event'], [...path, 'event']),
    where: mapping['where'] === undefined ? [] : parseWhere(check, mapping['where'], [...path, 'where']),
    withinMs: parseWithin(check, mapping['within'], [...path, 'within'], limits),
    count:
      mapping['count'] === undefined ? [{ operator: 'gte', than: 1 }] : parseCount(check, mapping['count'], [...path, 'count']),
  }
}

/** Undefined, with its problems in `check`, where the value is no rule. What comes back is only good when `check` holds no problem. */
export function parseRule(check: Checker, value: unknown, path: ProblemPath, limits: RuleLimits, depth = 0): Rule | undefined {
  if (depth > DEPTH_MAX) return check.value(path, `a rule is nested more than ${DEPTH_MAX} deep`)
  const mapping = check.mapping(value, path, 'a rule')
  if (!mapping) return undefined
  const keys = Object.keys(mapping)
  const group = GROUP_KEYS.find((key) => keys.includes(key))
  if (group === undefined) return parseCondition(check, mapping, path, limits)
  for (const key of keys)
    if (key !== group) check.key([...path, key], `\`${key}\` cannot stand beside \`${group}\`: a rule is exactly one thing`)
  const at = [...path, group]
  switch (group) {
    case 'all':
    case 'any': {
      const list = check.list(mapping[group], at, `\`${group}\``) ?? []
      return { kind: group, rules: list.flatMap((item, i) => parseRule(check, item, [...at, i], limits, depth + 1) ?? []) }
    }
    case 'not': {
      const rule = parseRule(check, mapping['not'], at, limits, depth + 1)
      return rule && { kind: 'not', rule }
    }
    case 'segment': {
      const id = parseAudienceId(mapping['segment'])
      return id ? { kind: 'segment', id, path: at } : check.value(at, 'a segment id is lower-case letters, digits and `-`')
    }
  }
}
