// The words of an event as SQL: each column's mask is a look-up of its value, and `bitAnd` leaves what all of them allow.

import { assertNever } from '../core/never.ts'
import { Binder, type Printed } from './binder.ts'
import {
  ALL_BITS,
  columnKey,
  type Layout,
  type ListColumn,
  layOut,
  type Mask,
  type TextColumn,
  type Trial,
  type TrialBits,
  type Values,
} from './masks.ts'
import type { EventFilter, NumberTest, OrderOperator } from './rule.ts'

const ORDER: Record<OrderOperator, string> = { gt: '>', gte: '>=', lt: '<', lte: '<=' }

/** RE2 in ClickHouse reads the same numbers as NUMERIC in evaluate.ts; \d is ASCII in both. */
const NUMERIC_SQL = "'^[+-]?\\\\d+(\\\\.\\\\d+)?([eE][+-]?\\\\d+)?$'"

/** All bits where the condition holds, else without these. */
const keepIf = (condition: string, bits: bigint): string => `if(${condition}, ${ALL_BITS}, ${ALL_BITS ^ bits})`
/** In pairs, because the depth of an expression is limited. */
export const joined = (parts: readonly string[], join: 'bitAnd' | 'bitOr'): string => {
  if (parts.length <= 1) return parts[0] ?? '0'
  const half = parts.length >> 1
  return `${join}(${joined(parts.slice(0, half), join)}, ${joined(parts.slice(half), join)})`
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

function trialSql(value: string, trial: Trial, binder: Binder): string {
  switch (trial.test) {
    case 'contains':
      return `position(${value}, ${binder.bind('String', trial.text)}) > 0`
    case 'starts_with':
      return `startsWith(${value}, ${binder.bind('String', trial.text)})`
    case 'ends_with':
      return `endsWith(${value}, ${binder.bind('String', trial.text)})`
    case 'matches':
      return `match(${value}, ${binder.bind('String', trial.pattern)})`
    default: {
      const number = `toFloat64OrZero(${value})`
      return `(match(${value}, ${NUMERIC_SQL}) AND isFinite(${number}) AND ${number} ${ORDER[trial.test]} ${binder.bind('Float64', trial.than)})`
    }
  }
}

// Column names come from the table in event/event.ts, never from a file; the name of an attribute is bound.
const columnSql = (column: TextColumn, binder: Binder): string =>
  typeof column === 'string' ? column : `attr[${binder.bind('String', column.attr)}]`

function lookUp(value: string, { values, bits, others }: Values, binder: Binder): string {
  if (values.length === 0) return `${others}`
  return `transform(${value}, ${binder.bind('Array(String)', values)}, [${bits.join(', ')}], ${others})`
}

/** All bits but those of trials that fail. */
const trialBits = (value: string, trials: readonly TrialBits[], binder: Binder): string =>
  joined(
    trials.map(({ trial, bits }) => keepIf(trialSql(value, trial, binder), bits)),
    'bitAnd',
  )

/** Bits of the trials that succeed. */
const foundBits = (value: string, trials: readonly TrialBits[], binder: Binder): string =>
  joined(
    trials.map(({ trial, bits }) => `if(${trialSql(value, trial, binder)}, ${bits}, 0)`),
    'bitOr',
  )

/** Columns that the table keeps as text and not in a dictionary: of the others the engine tries each value of a block once by itself. */
const isPlainText = (column: TextColumn): boolean => typeof column !== 'string' || ['url', 'path', 'order_id'].includes(column)

type TriedColumn = { readonly column: TextColumn; readonly masks: readonly (readonly TrialBits[])[] }

/** Columns whose texts are tried once each, with what is tried for each word that asks. */
function triedColumns(layout: Layout): TriedColumn[] {
  const found = new Map<string, { column: TextColumn; masks: (readonly TrialBits[])[] }>()
  for (const { masks } of layout.words) {
    for (const mask of masks) {
      if (mask.kind !== 'trials' || !isPlainText(mask.column)) continue
      const entry = found.get(columnKey(mask.column)) ?? { column: mask.column, masks: [] }
      entry.masks.push(mask.trials)
      found.set(columnKey(mask.column), entry)
    }
  }
  return [...found.values()]
}

/** More different texts than this are not kept: the table would not fit a statement's memory, and each event is tried by itself. */
export const TEXTS_MAX = 1_000_000

/** Rows `(place, text, tried Array(UInt64))`, one statement a column: the bits that the trials leave of each word that asks. At most one text too many. */
export function printAllTried(layout: Layout, reachOf: (binder: Binder) => string): Printed[] {
  return triedColumns(layout).map(({ column, masks }) => {
    const binder = new Binder()
    const bits = masks.map((trials) => `toUInt64(${trialBits('text', trials, binder)})`)
    const texts = `SELECT ${columnSql(column, binder)} AS text FROM madeleine.events WHERE ${reachOf(binder)} GROUP BY text LIMIT ${TEXTS_MAX + 1}`
    const place = binder.bind('String', columnKey(column))
    return { sql: `SELECT ${place} AS place, text, [${bits.join(', ')}] AS tried FROM (${texts})`, values: binder.values }
  })
}

/** Elements' bits together. Most lists have one element or two, and reading those is cheaper than any loop. */
const anyElement = (column: ListColumn, bits: string): string => {
  const each = `arrayMap(element -> ${bits}, ${column})`
  return `if(length(${column}) <= 2, bitOr(${each}[1], ${each}[2]), arrayReduce('groupBitOr', ${each}))`
}

/** `look`: SQL of what is known of a plain text, given the SQL that tries it. */
function maskSql(mask: Mask, binder: Binder, look: (column: TextColumn, tryIt: string) => string): string {
  switch (mask.kind) {
    case 'values':
      return lookUp(columnSql(mask.column, binder), mask.table, binder)
    case 'trials': {
      const tryIt = trialBits(columnSql(mask.column, binder), mask.trials, binder)
      return isPlainText(mask.column) ? look(mask.column, tryIt) : tryIt
    }
    case 'list': {
      const parts: string[] = []
      if (mask.table.values.length > 0) parts.push(lookUp('element', mask.table, binder))
      if (mask.trials.length > 0) parts.push(foundBits('element', mask.trials, binder))
      return `bitXor(${anyElement(mask.column, `toUInt64(${joined(parts, 'bitOr')})`)}, ${mask.negated})`
    }
    case 'filled':
      return `if(notEmpty(${mask.column}), ${mask.filled}, ${mask.empty})`
    case 'number':
      return keepIf(numberSql(mask.column, mask.test, binder), mask.bits)
    case 'age':
      return `[${mask.bits.join(', ')}][age]`
    default:
      return assertNever(mask)
  }
}

export type Seen = {
  /** Condition on the events. */
  readonly where: string
  readonly atMs: number
  /** SQL of the table of trials of a column, `(text, tried)`; undefined: each event's text is tried by itself. */
  readonly triedOf: ((place: string) => string) | undefined
  readonly retentionMs: number
}

/**
 * Rows `(visitor, ms, words w0, w1, ..., leaves)` and the columns that are summed. `leaves`: when the event leaves the next window, or retention where it has no
 * mark; any window will do, because it may be early but never late.
 */
export function printMarked(
  layout: Layout,
  sums: readonly string[],
  { where, atMs, triedOf, retentionMs }: Seen,
  binder: Binder,
): string {
  const tried = triedOf ? triedColumns(layout) : []
  const looked = tried.map(() => 0)
  const look = (column: TextColumn, tryIt: string): string => {
    const index = tried.findIndex((item) => columnKey(item.column) === columnKey(column))
    if (index < 0) return tryIt
    looked[index] = (looked[index] ?? 0) + 1 // in the order in which triedColumns came by them
    // An event that arrived after the table was made may bring a text that is not in it.
    return `if(empty(tried${index}), ${tryIt}, tried${index}[${looked[index]}])`
  }
  const words = layout.words.map((word, n) => {
    const used = (1n << BigInt(word.atLeast.length)) - 1n
    return `toUInt64(${joined([...word.masks.map((mask) => maskSql(mask, binder, look)), `${used}`], 'bitAnd')}) AS w${n}`
  })
  const joins = tried.map(
    ({ column }, n) =>
      `\n    ANY LEFT JOIN (SELECT text, tried AS tried${n} FROM (${triedOf?.(columnKey(column))})) AS table${n} ON ${columnSql(column, binder)} = table${n}.text`,
  )
  const anyMark = joined(
    layout.words.map((_, n) => `w${n}`),
    'bitOr',
  )
  const spans = `[${[retentionMs, ...layout.windows].join(', ')}]`
  const age = ['1', ...layout.windows.map((ms) => `(ts > ${binder.moment(atMs - ms)})`)].join(' + ')
  const summed = sums.map((field) => `, ifNull(${field}, 0) AS ${field}_or_0`).join('')
  const marked = `SELECT visitor, toUnixTimestamp64Milli(ts) AS ms, age${summed}${words.map((word) => `,\n    ${word}`).join('')}
    FROM (SELECT *, url, ${age} AS age FROM madeleine.events WHERE ${where}) AS seen${joins.join('')}`
  // A level of its own: beside the words it would be analysed with all of them written out in it.
  return `SELECT *, ms + if(${anyMark} != 0, ${spans}[age], ${retentionMs}) AS leaves FROM (
    ${marked})`
}

/** A condition on rows of `madeleine.events`: some filter takes them, whatever their moment. */
export function printPasses(filters: readonly EventFilter[], retentionMs: number, binder: Binder): string {
  const marks = filters.map(({ events, where }) => ({ events, where, withinMs: retentionMs }))
  const asked = marks.map((_, mark) => ({ kind: 'any' as const, mark, atLeast: 1 }))
  const { words } = layOut({ marks, asked, sums: [], sequences: [], audiences: [] }, retentionMs)
  const left = words.map(({ masks, atLeast }) => {
    const used = (1n << BigInt(atLeast.length)) - 1n
    return `toUInt64(${joined([...masks.map((mask) => maskSql(mask, binder, (_, tryIt) => tryIt)), `${used}`], 'bitAnd')}) != 0`
  })
  return left.length === 0 ? '0' : `(${left.join(' OR ')})`
}
