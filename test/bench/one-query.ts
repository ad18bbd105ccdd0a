// One query an audience, as analytics tools do it: GROUP BY visitor with an aggregate a condition, over all events of the window. The reference that the benchmark
// measures against, on the same engine and in the same run; it shares no SQL with the product.

import { ownPermissionSql } from '../../src/consent/standing.ts'
import type { AudienceId } from '../../src/core/ids.ts'
import { assertNever } from '../../src/core/never.ts'
import { Binder, type Printed } from '../../src/rules/binder.ts'
import { SESSION_GAP_MS } from '../../src/rules/evaluate.ts'
import type { Moment } from '../../src/rules/print.ts'
import type {
  Comparison,
  ComparisonOperator,
  EventCondition,
  EventFilter,
  Match,
  NumberTest,
  OrderOperator,
  OrderTest,
  ResolvedRule,
  Sequence,
  SumField,
  TextTest,
} from '../../src/rules/rule.ts'

/** What is measured once for all audiences that ask for it: a condition without its comparison, or a whole sequence. */
type Counter =
  | (EventFilter & { readonly kind: 'count' | 'days' | 'sessions'; readonly withinMs: number })
  | (EventFilter & { readonly kind: 'sum'; readonly field: SumField; readonly withinMs: number })
  | Sequence

type Formula =
  | { readonly kind: 'compare'; readonly counter: number; readonly comparison: Comparison<number> }
  | { readonly kind: 'compare_sum'; readonly counter: number; readonly comparison: Comparison<bigint> }
  | { readonly kind: 'sequence'; readonly counter: number }
  | { readonly kind: 'list'; readonly id: AudienceId }
  | { readonly kind: 'all' | 'any'; readonly of: readonly Formula[] }
  | { readonly kind: 'not'; readonly of: Formula }

type Plan = {
  readonly counters: readonly Counter[]
  readonly audiences: readonly { readonly id: AudienceId; readonly formula: Formula }[]
}

const textOf = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) => (typeof inner === 'bigint' ? `${inner}n` : inner))

/** Two filters are the same if they say the same, in whatever order their fields stand. */
const filterKey = ({ events, where }: EventFilter): string => textOf([events?.toSorted() ?? null, where.map(textOf).sort()])

function counterKey(counter: Counter): string {
  if (counter.kind === 'sequence')
    return textOf(['sequence', counter.steps.map(filterKey), counter.gapMs ?? null, counter.withinMs])
  return textOf([counter.kind, counter.kind === 'sum' ? counter.field : '', filterKey(counter), counter.withinMs])
}

function toCounter({ events, where, withinMs, measure }: EventCondition): Counter {
  if (measure.kind === 'sum') return { kind: 'sum', field: measure.field, events, where, withinMs }
  return { kind: measure.kind, events, where, withinMs }
}

function planAudiences(audiences: readonly { readonly id: AudienceId; readonly rule: ResolvedRule }[]): Plan {
  const counters: Counter[] = []
  const known = new Map<string, number>()
  function indexOf(counter: Counter): number {
    const key = counterKey(counter)
    const index = known.get(key) ?? counters.push(counter) - 1
    known.set(key, index)
    return index
  }
  function formula(rule: ResolvedRule): Formula {
    switch (rule.kind) {
      case 'events': {
        const counter = indexOf(toCounter(rule))
        const { measure } = rule
        return measure.kind === 'sum'
          ? { kind: 'compare_sum', counter, comparison: measure.comparison }
          : { kind: 'compare', counter, comparison: measure.comparison }
      }
      case 'sequence':
        return { kind: 'sequence', counter: indexOf(rule) }
      case 'list':
        return rule
      case 'not':
        return { kind: 'not', of: formula(rule.rule) }
      case 'all':
      case 'any':
        return { kind: rule.kind, of: rule.rules.map(formula) }
      default:
        return assertNever(rule)
    }
  }
  return { audiences: audiences.map(({ id, rule }) => ({ id, formula: formula(rule) })), counters }
}
const ORDER: Record<OrderOperator | ComparisonOperator, string> = { gt: '>', gte: '>=', lt: '<', lte: '<=', eq: '=' }

/** RE2 in ClickHouse reads the same numbers as NUMERIC in evaluate.ts; \d is ASCII in both. */
const NUMERIC_SQL = "'^[+-]?\\\\d+(\\\\.\\\\d+)?([eE][+-]?\\\\d+)?$'"

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
    case 'sessions': {
      // By arrays: window functions over everybody's events take ten times as long.
      const sorted = `arraySort(groupArray((toUnixTimestamp64Milli(ts), toUInt8(${condition}))))`
      return `arrayCount(piece -> arrayMax(piece) = 1, arraySplit((is, step) -> step >= ${SESSION_GAP_MS}, arrayMap(x -> x.2, ${sorted}), arrayDifference(arrayMap(x -> x.1, ${sorted}))))`
    }
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

/**
 * Rows `(audience String, visitor UUID, expires DateTime64(3))`: every membership of the plan's audiences at the moment.
 * One pass over the events inside retention that permit profiling as things stand; `expires` is when the last of them leaves retention.
 */
function printPlan(plan: Plan, moment: Moment): Printed {
  const binder = new Binder()
  const counters = plan.counters.map((counter, i) => `${counterSql(counter, moment, binder)} AS c${i}`)
  const ids = binder.bind(
    'Array(String)',
    plan.audiences.map(({ id }) => id),
  )
  const formulas = plan.audiences.map(({ formula }) => `toUInt8(${formulaSql(formula, plan, binder)})`)
  const from = Math.max(moment.atMs, moment.nowMs) - moment.retentionMs
  const start = Math.max(from, moment.atMs - moment.retentionMs)
  const visible = ownPermissionSql('profile')
  const where = `ts > ${binder.moment(start)} AND ts <= ${binder.moment(moment.atMs)} AND ${visible}`
  const sql = `SELECT arrayJoin(arrayFilter((id, holds) -> holds, ${ids}, [${formulas.join(', ')}])) AS audience, visitor,
  fromUnixTimestamp64Milli(toUnixTimestamp64Milli(last) + ${binder.bind('Int64', moment.retentionMs)}, 'UTC') AS expires
FROM (
  SELECT visitor, max(ts) AS last${counters.map((counter) => `,\n    ${counter}`).join('')}
  FROM madeleine.events WHERE ${where}
  GROUP BY visitor
)`
  return { sql, values: binder.values }
}

export const printOne = (audience: { readonly id: AudienceId; readonly rule: ResolvedRule }, moment: Moment): Printed =>
  printPlan(planAudiences([audience]), moment)
