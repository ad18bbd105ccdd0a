// The rule in memory: YAML tests, and the other truth that the SQL is held to.

import { type ConsentSignal, standingOf } from '../consent/standing.ts'
import { DAY_MS, MINUTE_MS } from '../core/duration.ts'
import type { AudienceId } from '../core/ids.ts'
import { assertNever } from '../core/never.ts'
import type { Event } from '../event/event.ts'
import { clausesOf } from './clauses.ts'
import { patternMatches } from './pattern.ts'
import type {
  Comparison,
  EventCondition,
  EventFilter,
  Match,
  NumberTest,
  OrderOperator,
  OrderTest,
  ResolvedRule,
  Sequence,
  TextTest,
} from './rule.ts'

/** attr values that count as numbers (contract 2.1). */
export const NUMERIC = /^[+-]?\d+(\.\d+)?([eE][+-]?\d+)?$/

function inOrder<N extends number | bigint>(value: N, operator: OrderOperator, than: N): boolean {
  switch (operator) {
    case 'gt':
      return value > than
    case 'gte':
      return value >= than
    case 'lt':
      return value < than
    case 'lte':
      return value <= than
    default:
      return assertNever(operator)
  }
}

function textHolds(value: string, test: TextTest): boolean {
  switch (test.test) {
    case 'in':
      return test.values.includes(value)
    case 'not_in':
      return !test.values.includes(value)
    case 'contains':
      return value.includes(test.text)
    case 'starts_with':
      return value.startsWith(test.text)
    case 'ends_with':
      return value.endsWith(test.text)
    case 'matches':
      return patternMatches(test.pattern, value)
    case 'exists':
      return (value !== '') === test.is
    default:
      return assertNever(test)
  }
}

/** Each test by itself: some element satisfies it; `not_in` if no element equals; `exists` if there are elements. */
function listHolds(values: readonly string[], test: TextTest): boolean {
  if (test.test === 'exists') return values.length > 0 === test.is
  if (test.test === 'not_in') return !values.some((value) => test.values.includes(value))
  return values.some((value) => textHolds(value, test))
}

function numberHolds(value: bigint | null, test: NumberTest): boolean {
  if (test.test === 'exists') return (value !== null) === test.is
  if (value === null) return false
  if ('than' in test) return inOrder(value, test.test, test.than)
  return test.values.includes(value) === (test.test === 'in')
}

function attrHolds(value: string, test: TextTest | OrderTest<number>): boolean {
  if (!('than' in test)) return textHolds(value, test)
  const number = NUMERIC.test(value) ? Number(value) : Number.NaN
  return Number.isFinite(number) && inOrder(number, test.test, test.than)
}

export function matches(event: Event, match: Match): boolean {
  switch (match.type) {
    case 'text': {
      const value = event[match.field as 'source']
      return match.tests.every((test) => textHolds(value, test))
    }
    case 'list':
      return match.tests.every((test) => listHolds(event[match.field], test))
    case 'number':
      return match.tests.every((test) => numberHolds(event[match.field], test))
    case 'attr': {
      const value = Object.hasOwn(event.attr, match.attr) ? (event.attr[match.attr] ?? '') : ''
      return match.tests.every((test) => attrHolds(value, test))
    }
    default:
      return assertNever(match)
  }
}

export function compares<N extends number | bigint>(n: N, comparison: Comparison<N>): boolean {
  return comparison.every(({ operator, than }) => (operator === 'eq' ? n === than : inOrder(n, operator, than)))
}

export const passes = ({ events, where }: EventFilter, event: Event): boolean =>
  (events === undefined || events.includes(event.event)) && where.every((match) => matches(event, match))

/** A pause of this length begins a new session. */
export const SESSION_GAP_MS = 30 * MINUTE_MS

/** The session of each moment, from 1. `history`: all of a visitor's visible events, of any kind, in order. */
export function sessionsOf(history: readonly Event[]): Map<number, number> {
  const sessions = new Map<number, number>()
  let session = 0
  let before = Number.NEGATIVE_INFINITY
  for (const { ts } of history) {
    if (ts - before >= SESSION_GAP_MS) session++
    sessions.set(ts, session)
    before = ts
  }
  return sessions
}

/** What the rules see of one visitor: visible events in order of time. */
export type Seen = {
  readonly history: readonly Event[]
  readonly atMs: number
  readonly isListed: (list: AudienceId, needs?: 'model') => boolean
}

const inWindow = ({ history, atMs }: Seen, withinMs: number): Event[] =>
  history.filter(({ ts }) => ts > atMs - withinMs && ts <= atMs)

/** The events that count for a condition, in order. */
export const countedEvents = (condition: EventFilter & { readonly withinMs: number }, seen: Seen): Event[] =>
  inWindow(seen, condition.withinMs).filter((event) => passes(condition, event))

/** What they come to: a number, or the sum of a field in millionths. */
export function measured({ measure }: EventCondition, counted: readonly Event[], { history }: Seen): number | bigint {
  switch (measure.kind) {
    case 'count':
      return counted.length
    case 'days':
      return new Set(counted.map(({ ts }) => Math.floor(ts / DAY_MS))).size
    case 'sessions': {
      const sessions = sessionsOf(history)
      return new Set(counted.map(({ ts }) => sessions.get(ts))).size
    }
    case 'sum':
      return counted.reduce((sum, event) => sum + (event[measure.field] ?? 0n), 0n)
    default:
      return assertNever(measure)
  }
}

function conditionHolds(condition: EventCondition, seen: Seen): boolean {
  const value = measured(condition, countedEvents(condition, seen), seen)
  // A sum is compared in millionths, everything else as a number: the plan of the types, which the compiler cannot see through the pair.
  return compares(value as bigint, condition.measure.comparison as Comparison<bigint>)
}

/**
 * Of each step the latest moment at which it may have ended: the nearest end before an event is the one that a gap allows if any does. Events of one moment
 * are taken together and from the last step backwards, because a step ends strictly after the one before.
 */
function sequenceHolds({ steps, gapMs, withinMs }: Sequence, seen: Seen): boolean {
  const inside = inWindow(seen, withinMs)
  const ends: (number | undefined)[] = steps.map(() => undefined)
  for (let i = 0; i < inside.length; ) {
    const ts = inside[i]?.ts ?? 0
    const together: Event[] = []
    for (; inside[i]?.ts === ts; i++) together.push(inside[i] as Event)
    for (let step = steps.length - 1; step >= 0; step--) {
      const before = step === 0 ? undefined : ends[step - 1]
      if (step > 0 && (before === undefined || (gapMs !== undefined && ts - before > gapMs))) continue
      if (together.some((event) => passes(steps[step] as EventFilter, event))) ends[step] = ts
    }
  }
  return ends.at(-1) !== undefined
}

export function holds(rule: ResolvedRule, seen: Seen): boolean {
  switch (rule.kind) {
    case 'all':
      return rule.rules.every((item) => holds(item, seen))
    case 'any':
      return rule.rules.some((item) => holds(item, seen))
    case 'not':
      return !holds(rule.rule, seen)
    case 'events':
      return conditionHolds(rule, seen)
    case 'sequence':
      return sequenceHolds(rule, seen)
    case 'list':
      return seen.isListed(rule.id, rule.needs)
    default:
      return assertNever(rule)
  }
}

export type VisitorFacts = {
  /** Consent signals of the visitor that came without an event. */
  readonly said?: readonly ConsentSignal[]
  /** Whether an imported list holds the visitor. */
  readonly isListed?: (list: AudienceId) => boolean
}

export function lookAt(
  history: readonly Event[],
  atMs: number,
  retentionMs: number,
  { said = [], isListed = () => false }: VisitorFacts,
): Seen {
  const kept = history.filter((event) => event.ts > atMs - retentionMs)
  const visible = standingOf(kept, 'profile', said).filter((event) => event.ts <= atMs)
  const permits = (permission: 'model') => standingOf(kept, permission, said).some((event) => event.ts <= atMs)
  return {
    history: visible.sort((a, b) => a.ts - b.ts),
    atMs,
    isListed: (list, needs) => isListed(list) && (needs === undefined || permits(needs)),
  }
}

/** What each clause comes to by itself. */
export function clauseTruths(
  rule: ResolvedRule,
  history: readonly Event[],
  atMs: number,
  retentionMs: number,
  facts: VisitorFacts = {},
): boolean[] {
  const seen = lookAt(history, atMs, retentionMs, facts)
  return clausesOf(rule).map(({ leaf }) => holds(leaf, seen))
}

/**
 * Whether the visitor of `history` (events in any order) is selected at a moment. Only a known visitor can be. What is later than the moment is not counted,
 * but its consent holds.
 */
export function isMember(
  rule: ResolvedRule,
  history: readonly Event[],
  atMs: number,
  retentionMs: number,
  facts: VisitorFacts = {},
): boolean {
  const seen = lookAt(history, atMs, retentionMs, facts)
  return seen.history.length > 0 && holds(rule, seen)
}
