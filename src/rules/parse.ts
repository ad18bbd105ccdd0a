// From the YAML value under `when` to a Rule. Whatever is odd is a problem, never a guess: an empty group would select everybody.

import { DAY_MS, parseDuration } from '../core/duration.ts'
import { isEventName, parseAudienceId } from '../core/ids.ts'
import type { Checker, Mapping } from './checker.ts'
import { MEASURE_KEYS, parseMeasure } from './parse-measure.ts'
import { parseWhere } from './parse-where.ts'
import type { EventCondition, EventFilter, ProblemPath, Rule, Sequence } from './rule.ts'
import { warnOfGap, warnOfMeasure } from './unlikely.ts'

/** Groups and references stand alone in their mapping. */
const GROUP_KEYS = ['all', 'any', 'not', 'segment', 'list'] as const
const STEP_KEYS = ['event', 'where'] as const
const EVENT_KEYS = [...STEP_KEYS, ...MEASURE_KEYS, 'within'] as const
const SEQUENCE_KEYS = ['sequence', 'gap', 'within'] as const
/** All that a rule may begin with. */
const RULE_KEYS = [...GROUP_KEYS, 'sequence', ...EVENT_KEYS] as const
const DEPTH_MAX = 50
const STEPS_MIN = 2
const STEPS_MAX = 8

export type RuleLimits = { readonly retentionMs: number }

function parseEvents(check: Checker, value: unknown, path: ProblemPath): string[] | undefined {
  const list = Array.isArray(value) ? check.list(value, path, '`event`') : [value]
  return list?.flatMap((name, i) => {
    const at = Array.isArray(value) ? [...path, i] : path
    if (isEventName(name)) {
      check.named.push({ path: at, name })
      return [name]
    }
    check.value(at, 'an event name is a lower-case letter and at most 63 letters, digits or `_` after it')
    return []
  })
}

function parseSpan(
  check: Checker,
  name: 'within' | 'gap',
  value: unknown,
  path: ProblemPath,
  limits: RuleLimits,
): number | undefined {
  const ms = typeof value === 'string' ? parseDuration(value) : undefined
  if (ms === undefined) check.value(path, 'a duration is a whole number and m, h, d or w, such as 14d')
  else if (ms > limits.retentionMs)
    check.value(path, `\`${name}\` is longer than the retention of ${limits.retentionMs / DAY_MS} days`)
  return ms
}

function parseWithin(check: Checker, mapping: Mapping, path: ProblemPath, limits: RuleLimits): number {
  if (mapping['within'] === undefined) return limits.retentionMs
  return parseSpan(check, 'within', mapping['within'], [...path, 'within'], limits) ?? limits.retentionMs
}

function parseFilter(check: Checker, mapping: Mapping, path: ProblemPath): EventFilter {
  return {
    events: mapping['event'] === undefined ? undefined : parseEvents(check, mapping['event'], [...path, 'event']),
    where: mapping['where'] === undefined ? [] : parseWhere(check, mapping['where'], [...path, 'where']),
  }
}

function parseCondition(check: Checker, mapping: Mapping, path: ProblemPath, limits: RuleLimits): EventCondition {
  check.unknownKeys(mapping, path, RULE_KEYS, 'a rule')
  const withinMs = parseWithin(check, mapping, path, limits)
  const measure = parseMeasure(check, mapping, path)
  warnOfMeasure(check, measure, withinMs, path)
  return { kind: 'events', ...parseFilter(check, mapping, path), withinMs, measure }
}

function parseSequence(check: Checker, mapping: Mapping, path: ProblemPath, limits: RuleLimits): Sequence {
  for (const key of Object.keys(mapping))
    if (!(SEQUENCE_KEYS as readonly string[]).includes(key))
      check.key([...path, key], `\`${key}\` cannot stand beside \`sequence\`; it takes gap and within`)
  const at = [...path, 'sequence']
  const list = check.list(mapping['sequence'], at, '`sequence`') ?? []
  if (list.length > 0 && (list.length < STEPS_MIN || list.length > STEPS_MAX))
    check.value(at, `a sequence has ${STEPS_MIN} to ${STEPS_MAX} steps, not ${list.length}`)
  const steps = list.map((item, n) => {
    const step = check.mapping(item, [...at, n], 'a step')
    if (!step) return { events: undefined, where: [] }
    check.unknownKeys(step, [...at, n], STEP_KEYS, 'a step')
    return parseFilter(check, step, [...at, n])
  })
  const gapMs = mapping['gap'] === undefined ? undefined : parseSpan(check, 'gap', mapping['gap'], [...path, 'gap'], limits)
  const withinMs = parseWithin(check, mapping, path, limits)
  warnOfGap(check, gapMs, withinMs, path)
  return { kind: 'sequence', steps, gapMs, withinMs }
}

/** Undefined, with its problems in `check`, where the value is no rule. What comes back is only good when `check` holds no problem. */
export function parseRule(check: Checker, value: unknown, path: ProblemPath, limits: RuleLimits, depth = 0): Rule | undefined {
  if (depth > DEPTH_MAX) return check.value(path, `a rule is nested more than ${DEPTH_MAX} deep`)
  const mapping = check.mapping(value, path, 'a rule')
  if (!mapping) return undefined
  const keys = Object.keys(mapping)
  const group = GROUP_KEYS.find((key) => keys.includes(key))
  if (group === undefined)
    return keys.includes('sequence') ? parseSequence(check, mapping, path, limits) : parseCondition(check, mapping, path, limits)
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
    case 'list': {
      const id = parseAudienceId(mapping['list'])
      return id ? { kind: 'list', id } : check.value(at, 'a list id is lower-case letters, digits and `-`')
    }
  }
}
