// A plan as one SELECT with bound values. One rule of this file: nothing from outside stands in the text, only in `values`.

import { ownPermissionSql, permittedSql } from '../consent/standing.ts'
import { decimalText } from '../core/decimal.ts'
import { assertNever } from '../core/never.ts'
import { SESSION_GAP_MS } from './evaluate.ts'
import type { Counter, Formula, Plan } from './plan.ts'
import type { ComparisonOperator, EventFilter, Match, NumberTest, OrderOperator, OrderTest, Sequence, TextTest } from './rule.ts'

export type Moment = {
  readonly atMs: number
  readonly retentionMs: number
  /** Events at or before this are due and invisible, whatever `atMs` is. */
  readonly nowMs: number
  /** Nobody has refused anything: each event's own permissions stand. Otherwise the newest signals govern, at three times the cost (6 M rows, 160 refusals). */
  readonly isUncontested: boolean
}

export type Printed = { readonly sql: string; readonly values: Readonly<Record<string, string | number | readonly string[]>> }

const ORDER: Record<OrderOperator | ComparisonOperator, string> = { gt: '>', gte: '>=', lt: '<', lte: '<=', eq: '=' }

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
    case 'matches':
      return `match(${column}, ${binder.bind('String', test.pattern)})`
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

function filterSql({ events, where }: EventFilter, binder: Binder): string {
  const parts = where.map((match) => `(${matchSql(match, binder)})`)
  if (events) parts.unshift(`has(${binder.bind('Array(String)', events)}, event)`)
  return and(parts)
}

const windowSql = (withinMs: number, moment: Moment, binder: Binder): readonly string[] =>
  withinMs < moment.retentionMs ? [`ts > ${binder.moment(moment.atMs - withinMs)}`] : []

/** `(milliseconds, bits of the steps that the event is)` of every event that is a step. */
function stepsSql({ steps, withinMs }: Sequence, moment: Moment, binder: Binder): string {
  const bits = steps.map((step, n) => `bitShiftLeft(toUInt8(${filterSql(step, binder)}), ${n})`).join(' + ')
  const inside = windowSql(withinMs, moment, binder).map((part) => ` AND ${part}`)
  return `groupArrayIf((toUnixTimestamp64Milli(ts), toUInt8(${bits})), (${bits}) > 0${inside.join('')})`
}

function counterSql(counter: Counter, moment: Moment, binder: Binder): string {
  if (counter.kind === 'sequence') return stepsSql(counter, moment, binder)
  const condition = and([filterSql(counter, binder), ...windowSql(counter.withinMs, moment, binder)])
  switch (counter.kind) {
    case 'count':
      return `countIf(${condition})`
    case 'days':
      return `uniqExactIf(toDate(ts, 'UTC'), ${condition})`
    case 'sessions':
      return `uniqExactIf(session, ${condition})`
    case 'sum':
      return `ifNull(sumIf(${counter.field}, ${condition}), 0)`
    default:
      return assertNever(counter)
  }
}

/** No moment of an event. */
const NEVER = 'toInt64(-9000000000000000)'

/**
 * As evaluate.ts does it: of each step the latest moment at which it ended, before the moment in hand (`.2`) and with it (`.3`), so that events of one moment do
 * not follow each other.
 */
function sequenceSql(column: string, { steps, gapMs }: Sequence): string {
  const before = 'if(x.1 > acc.1, acc.3, acc.2)'
  const near = gapMs === undefined ? '' : ` AND x.1 - ${before}[k] <= ${gapMs}`
  const follows = `k = 0 OR (${before}[k] > ${NEVER}${near})`
  const none = `arrayWithConstant(${steps.length}, ${NEVER})`
  return `tupleElement(arrayFold((acc, x) -> (x.1, ${before}, arrayMap((last, k) -> if(bitTest(x.2, k) AND (${follows}), x.1, last), acc.3, range(${steps.length}))), arraySort(step -> step.1, ${column}), (${NEVER}, ${none}, ${none})), 3)[${steps.length}] > ${NEVER}`
}

function formulaSql(formula: Formula, plan: Plan, binder: Binder): string {
  switch (formula.kind) {
    case 'compare':
      return `(${and(formula.comparison.map(({ operator, than }) => `c${formula.counter} ${ORDER[operator]} ${binder.bind('UInt64', than)}`))})`
    case 'compare_sum':
      return `(${and(formula.comparison.map(({ operator, than }) => `c${formula.counter} ${ORDER[operator]} ${binder.decimal(than)}`))})`
    case 'sequence':
      return `(${sequenceSql(`c${formula.counter}`, plan.counters[formula.counter] as Sequence)})`
    case 'list':
      return `(visitor IN (${importedSql(binder.bind('String', formula.id))}))`
    case 'all':
      return `(${formula.of.map((item) => formulaSql(item, plan, binder)).join(' AND ')})`
    case 'any':
      return `(${formula.of.map((item) => formulaSql(item, plan, binder)).join(' OR ')})`
    case 'not':
      return `(NOT ${formulaSql(formula.of, plan, binder)})`
    default:
      return assertNever(formula)
  }
}

/** Members of the import that counts, which is the last one of a list that came to its end. */
const importedSql = (list: string): string =>
  `SELECT visitor FROM madeleine.list_members WHERE list = ${list} AND generation IN (SELECT max(generation) FROM madeleine.list_imports WHERE list = ${list})`

/** The visible events, each with the number of its visitor's session, which is counted over events of any kind. */
const inSessions = (where: string): string => `(
    SELECT *, url, sum(begins) OVER (PARTITION BY visitor ORDER BY ts ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS session FROM (
      SELECT *, url, toUInt32(toUnixTimestamp64Milli(ts) - toUnixTimestamp64Milli(lagInFrame(ts, 1, toDateTime64(0, 3, 'UTC')) OVER (PARTITION BY visitor ORDER BY ts ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)) >= ${SESSION_GAP_MS}) AS begins
      FROM madeleine.events WHERE ${where}
    )
  )`

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
  const formulas = plan.audiences.map(({ formula }) => `toUInt8(${formulaSql(formula, plan, binder)})`)
  const from = Math.max(moment.atMs, moment.nowMs) - moment.retentionMs
  const start = Math.max(from, moment.atMs - moment.retentionMs)
  const visible = moment.isUncontested ? ownPermissionSql('profile') : permittedSql('profile', binder.moment(from))
  const where = `ts > ${binder.moment(start)} AND ts <= ${binder.moment(moment.atMs)} AND ${visible}`
  const hasSessions = plan.counters.some(({ kind }) => kind === 'sessions')
  const sql = `SELECT arrayJoin(arrayFilter((id, holds) -> holds, ${ids}, [${formulas.join(', ')}])) AS audience, visitor,
  fromUnixTimestamp64Milli(toUnixTimestamp64Milli(last) + ${binder.bind('Int64', moment.retentionMs)}, 'UTC') AS expires
FROM (
  SELECT visitor, max(ts) AS last${counters.map((counter) => `,\n    ${counter}`).join('')}
  FROM ${hasSessions ? inSessions(where) : `madeleine.events WHERE ${where}`}
  GROUP BY visitor
)`
  return { sql, values: binder.values }
}
