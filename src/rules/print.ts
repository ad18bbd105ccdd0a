// A plan as one SELECT with bound values. One rule of this file: nothing from outside stands in the text, only in `values`.

import { ownPermissionSql, permittedSql } from '../consent/standing.ts'
import { decimalText } from '../core/decimal.ts'
import { assertNever } from '../core/never.ts'
import type { Counter, Formula, Plan } from './plan.ts'
import type { CountOperator, Match, NumberTest, OrderOperator, OrderTest, TextTest } from './rule.ts'

export type Moment = {
  readonly atMs: number
  readonly retentionMs: number
  /** Events at or before this are due and invisible, whatever `atMs` is. */
  readonly nowMs: number
  /** Nobody has refused anything: each event's own permissions stand. Otherwise the newest signals govern, at three times the cost (6 M rows, 160 refusals). */
  readonly isUncontested: boolean
}

export type Printed = { readonly sql: string; readonly values: Readonly<Record<string, string | number | readonly string[]>> }

const ORDER: Record<OrderOperator | CountOperator, string> = { gt: '>', gte: '>=', lt: '<', lte: '<=', eq: '=' }

/** RE2 in ClickHouse reads the same numbers as NUMERIC in evaluate.ts; \d is ASCII in both. */
const NUMERIC_SQL = "'^[+-]?\\\\d+(\\\\.\\\\d+)?([eE][+-]?\\\\d+)?$'"

type Type = 'String' | 'Int64' | 'UInt64' | 'Float64' | 'Array(String)'

class Binder {
  readonly values: Record<string, string | number | readonly string[]> = {}
  #n = 0
  bind(type: Type, value: string | number | readonly string[]): string {
    const name = `v${this.#n++}`
    this.values[name] = value
    return `{${name}:${type}}`
  }
  moment(ms: number): string {
    return `fromUnixTimestamp64Milli(${this.bind('Int64', ms)}, 'UTC')`
  }
  decimal(millionths: bigint): string {
    return `toDecimal64(${this.bind('String', decimalText(millionths))}, 6)`
  }
}

const and = (parts: readonly string[]): string => (parts.length === 0 ? '1' : parts.join(' AND '))

function textSql(column: string, test: TextTest, binder: Binder): string {
  switch (test.test) {
    case 'in':
      return `has(${binder.bind('Array(String)', test.values)}, ${column})`
    case 'not_in':
      return `NOT has(${binder.bind('Array(String)', test.values)}, ${column})`
    case 'contains':
      return `position(${column}, ${binder.bind('String', test.text)}) > 0`
    case 'starts_with':
      return `startsWith(${column}, ${binder.bind('String', test.text)})`
    case 'ends_with':
      return `endsWith(${column}, ${binder.bind('String', test.text)})`
    case 'exists':
      return `${column} ${test.is ? '!=' : '='} ''`
    default:
      return assertNever(test)
  }
}

function listSql(column: string, test: TextTest, binder: Binder): string {
  switch (test.test) {
    case 'in':
      return `hasAny(${column}, ${binder.bind('Array(String)', test.values)})`
    case 'not_in':
      return `NOT hasAny(${column}, ${binder.bind('Array(String)', test.values)})`
    case 'exists':
      return `${test.is ? 'notEmpty' : 'empty'}(${column})`
    default:
      return `arrayExists(element -> ${textSql('element', test, binder)}, ${column})`
  }
}

function numberSql(column: string, test: NumberTest, binder: Binder): string {
  switch (test.test) {
    case 'exists':
      return `${test.is ? 'isNotNull' : 'isNull'}(${column})`
    case 'in':
    case 'not_in':
      return `(isNotNull(${column}) AND ${column} ${test.test === 'in' ? 'IN' : 'NOT IN'} (${test.values.map((value) => binder.decimal(value)).join(', ')}))`
    default:
      return `ifNull(${column} ${ORDER[test.test]} ${binder.decimal(test.than)}, 0)`
  }
}

function attrSql(column: string, test: TextTest | OrderTest<number>, binder: Binder): string {
  if (!('than' in test)) return textSql(column, test, binder)
  const number = `toFloat64OrZero(${column})`
  return `(match(${column}, ${NUMERIC_SQL}) AND isFinite(${number}) AND ${number} ${ORDER[test.test]} ${binder.bind('Float64', test.than)})`
}

function matchSql(match: Match, binder: Binder): string {
  switch (match.type) {
    // Field names come from the table in event/event.ts, never from a file.
    case 'text':
      return and(match.tests.map((test) => textSql(match.field, test, binder)))
    case 'list':
      return and(match.tests.map((test) => listSql(match.field, test, binder)))
    case 'number':
      return and(match.tests.map((test) => numberSql(match.field, test, binder)))
    case 'attr': {
      const column = `attr[${binder.bind('String', match.attr)}]`
      return and(match.tests.map((test) => attrSql(column, test, binder)))
    }
    default:
      return assertNever(match)
  }
}

function counterSql(counter: Counter, moment: Moment, binder: Binder): string {
  const parts = counter.where.map((match) => `(${matchSql(match, binder)})`)
  if (counter.events) parts.unshift(`has(${binder.bind('Array(String)', counter.events)}, event)`)
  if (counter.withinMs < moment.retentionMs) parts.push(`ts > ${binder.moment(moment.atMs - counter.withinMs)}`)
  return `countIf(${and(parts)})`
}

function formulaSql(formula: Formula, binder: Binder): string {
  switch (formula.kind) {
    case 'compare':
      return `(${and(formula.comparison.map(({ operator, than }) => `c${formula.counter} ${ORDER[operator]} ${binder.bind('UInt64', than)}`))})`
    case 'all':
      return `(${formula.of.map((item) => formulaSql(item, binder)).join(' AND ')})`
    case 'any':
      return `(${formula.of.map((item) => formulaSql(item, binder)).join(' OR ')})`
    case 'not':
      return `(NOT ${formulaSql(formula.of, binder)})`
    default:
      return assertNever(formula)
  }
}

/**
 * Rows `(audience String, visitor UUID, expires DateTime64(3))`: every membership of the plan's audiences at the moment.
 * One pass over the events inside retention that permit profiling as things stand; `expires` is when the last of them leaves retention.
 */
export function printPlan(plan: Plan, moment: Moment): Printed {
  const binder = new Binder()
  const counters = plan.counters.map((counter, i) => `${counterSql(counter, moment, binder)} AS c${i}`)
  const ids = binder.bind(
    'Array(String)',
    plan.audiences.map(({ id }) => id),
  )
  const formulas = plan.audiences.map(({ formula }) => `toUInt8(${formulaSql(formula, binder)})`)
  const from = Math.max(moment.atMs, moment.nowMs) - moment.retentionMs
  const start = Math.max(from, moment.atMs - moment.retentionMs)
  const visible = moment.isUncontested ? ownPermissionSql('profile') : permittedSql('profile', binder.moment(from))
  const sql = `SELECT arrayJoin(arrayFilter((id, holds) -> holds, ${ids}, [${formulas.join(', ')}])) AS audience, visitor,
  fromUnixTimestamp64Milli(toUnixTimestamp64Milli(last) + ${binder.bind('Int64', moment.retentionMs)}, 'UTC') AS expires
FROM (
  SELECT visitor, max(ts) AS last${counters.map((counter) => `,\n    ${counter}`).join('')}
  FROM madeleine.events
  WHERE ts > ${binder.moment(start)} AND ts <= ${binder.moment(moment.atMs)} AND ${visible}
  GROUP BY visitor
)`
  return { sql, values: binder.values }
}
