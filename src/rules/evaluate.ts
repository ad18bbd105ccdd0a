// The rule in memory: YAML tests, and the other truth that the SQL is held to.

import { type ConsentSignal, standingOf } from '../consent/standing.ts'
import { assertNever } from '../core/never.ts'
import type { Event } from '../event/event.ts'
import type { Comparison, EventCondition, Match, NumberTest, OrderOperator, OrderTest, ResolvedRule, TextTest } from './rule.ts'

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

function matches(event: Event, match: Match): boolean {
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

export function compares(n: number, comparison: Comparison): boolean {
  return comparison.every(({ operator, than }) => (operator === 'eq' ? n === than : inOrder(n, operator, than)))
}

function conditionHolds(condition: EventCondition, history: readonly Event[], atMs: number): boolean {
  const { events, where, withinMs } = condition
  const counted = history.filter(
    (event) =>
      event.ts > atMs - withinMs &&
      event.ts <= atMs &&
      (events === undefined || events.includes(event.event)) &&
      where.every((match) => matches(event, match)),
  )
  return compares(counted.length, condition.count)
}

function holds(rule: ResolvedRule, history: readonly Event[], atMs: number): boolean {
  switch (rule.kind) {
    case 'all':
      return rule.rules.every((item) => holds(item, history, atMs))
    case 'any':
      return rule.rules.some((item) => holds(item, history, atMs))
    case 'not':
      return !holds(rule.rule, history, atMs)
    case 'events':
      return conditionHolds(rule, history, atMs)
    default:
      return assertNever(rule)
  }
}

/**
 * Whether the visitor of `history` (events in any order) is selected at a moment. Only a known visitor can be. `said`: the visitor's consent signals that
 * came without an event. What is later than the moment is not counted, but its consent holds.
 */
export function isMember(
  rule: ResolvedRule,
  history: readonly Event[],
  atMs: number,
  retentionMs: number,
  said: readonly ConsentSignal[] = [],
): boolean {
  const kept = history.filter((event) => event.ts > atMs - retentionMs)
  const visible = standingOf(kept, 'profile', said).filter((event) => event.ts <= atMs)
  return visible.length > 0 && holds(rule, visible, atMs)
}
