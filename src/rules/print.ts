// A plan as one SELECT with bound values. One rule of these files: nothing from outside stands in the text, only in `values`.

import { ownPermissionSql, permittedSql } from '../consent/standing.ts'
import { assertNever } from '../core/never.ts'
import { Binder, type Printed } from './binder.ts'
import { CURRENT_IMPORTS } from './imported.ts'
import { layOut, WORD_BITS } from './masks.ts'
import type { Formula, Plan } from './plan.ts'
import { joined, printAllTried, printMarked } from './print-marks.ts'
import { type Lane, NARROW_LANE_EVENTS, type PrintedMeasures, printMeasures } from './print-measures.ts'
import type { ComparisonOperator } from './rule.ts'

export type Moment = {
  readonly atMs: number
  readonly retentionMs: number
  /** Events at or before this are due and invisible, whatever `atMs` is. */
  readonly nowMs: number
  /** Nobody has refused anything: each event's own permissions stand. Otherwise the newest signals govern, at three times the cost (6 M rows, 160 refusals). */
  readonly isUncontested: boolean
  /** The same of `model`, for conditions that need it. */
  readonly isModelUncontested?: boolean
}

/** Ids in the order in which the column sorts (not that of their text), the upper end excluded. */
export type Range = { readonly from: string | undefined; readonly to: string | undefined }
export const EVERYBODY: Range = { from: undefined, to: undefined }

/** Which part of the work a statement does. */
export type Part = {
  /** SQL of a condition ` AND ...` on the visitor. */
  readonly among: (binder: Binder) => string
  /** 16 answers for visitors with up to 32,767 events, 32 for the others. */
  readonly lane: Lane
  /** The number of the pass under which texts were tried once for all of its statements. Undefined: each event's text is tried by itself. */
  readonly prepared: bigint | undefined
}

export const inRange =
  ({ from, to }: Range) =>
  (binder: Binder): string => {
    const lower = from === undefined ? '' : ` AND visitor >= ${binder.bind('UUID', from)}`
    return to === undefined ? lower : `${lower} AND visitor < ${binder.bind('UUID', to)}`
  }

const COMPARE: Record<ComparisonOperator, string> = { gt: '>', gte: '>=', lt: '<', lte: '<=', eq: '=' }

/** Answers 0 or 1. */
function formulaSql(formula: Formula, measures: PrintedMeasures, modelled: string, binder: Binder): string {
  switch (formula.kind) {
    case 'at_least':
      return measures.asked[formula.index] ?? ''
    case 'sequence':
      return measures.sequences[formula.index] ?? ''
    case 'sum': {
      const sum = measures.sums[formula.index] ?? ''
      const parts = formula.comparison.map(({ operator, than }) => `${sum} ${COMPARE[operator]} ${binder.decimal(than)}`)
      return `(${parts.join(' AND ')})`
    }
    case 'list':
      return `(visitor IN (${importedSql(binder.bind('String', formula.id))})${formula.needs === 'model' ? ` AND visitor IN (${modelled})` : ''})`
    case 'always':
      return '1'
    case 'all':
    case 'any': {
      const parts = formula.of.map((item) => formulaSql(item, measures, modelled, binder))
      return parts.length === 1 ? (parts[0] ?? '') : `${formula.kind === 'all' ? 'and' : 'or'}(${parts.join(', ')})`
    }
    case 'not':
      return `(NOT ${formulaSql(formula.of, measures, modelled, binder)})`
    default:
      return assertNever(formula)
  }
}

/** Members of the import that counts. */
const importedSql = (list: string): string =>
  `SELECT visitor FROM madeleine.list_members WHERE list = ${list} AND (list, generation) IN (${CURRENT_IMPORTS})`

/** Answers are put into numbers of 64 bits, and of those only the bits that are set cost anything: filtering an array of all answers takes ten times as long. */
function heldSql(plan: Plan, measures: PrintedMeasures, modelled: string, binder: Binder): string {
  const words: string[] = []
  for (let first = 0; first < plan.audiences.length; first += WORD_BITS) {
    const bits = plan.audiences
      .slice(first, first + WORD_BITS)
      .map(({ formula }, n) => `${formulaSql(formula, measures, modelled, binder)} * toUInt64(${1n << BigInt(n)})`)
    words.push(`arrayMap(bit -> toUInt16(bit + ${first + 1}), bitPositionsToArray(${joined(bits, 'bitOr')}))`)
  }
  if (words.length <= 1) return words[0] ?? 'emptyArrayUInt16()'
  return `arrayConcat(${words.join(', ')})`
}

/** The events that a moment may see, whatever they permit. */
function reachSql({ atMs, nowMs, retentionMs }: Moment, binder: Binder): string {
  const from = Math.max(atMs, nowMs) - retentionMs
  return `ts > ${binder.moment(Math.max(from, atMs - retentionMs))} AND ts <= ${binder.moment(atMs)}`
}

const manySql = (reach: string): string =>
  `SELECT visitor FROM madeleine.events WHERE ${reach} GROUP BY visitor HAVING count() > ${NARROW_LANE_EVENTS}`

/** What every statement of a pass would otherwise find out event by event: rows `(place, text, tried)`. */
export const printTexts = (plan: Plan, moment: Moment): Printed[] =>
  printAllTried(layOut(plan, moment.retentionMs), (binder) => reachSql(moment, binder))

/** One row `many`: whether somebody among them may need lanes of 32 bits. Counts whatever is stored, without its moment, which is a third of the work. */
export function printMany(among: (binder: Binder) => string): Printed {
  const binder = new Binder()
  return { sql: `SELECT count() AS many FROM (${manySql(`true${among(binder)}`)})`, values: binder.values }
}

/**
 * Rows `(visitor UUID, held Array(UInt16), expires DateTime64(3), turns DateTime64(3))` of known visitors: the numbers, from 1, of the plan's audiences that hold the
 * visitor at the moment; `expires` is when the last visible event leaves retention; before `turns` nothing changes unless something new comes in. One pass over the
 * events that permit profiling as things stand.
 */
export function printPlan(plan: Plan, moment: Moment, { among, lane, prepared }: Part): Printed {
  const binder = new Binder()
  const layout = layOut(plan, moment.retentionMs)
  const measures = printMeasures(plan, layout, lane)
  const sums = [...new Set(plan.sums.map(({ field }) => field))]
  const whom = among(binder)
  const reach = `${reachSql(moment, binder)}${whom}`
  const from = binder.moment(Math.max(moment.atMs, moment.nowMs) - moment.retentionMs)
  const forModel = moment.isModelUncontested ? ownPermissionSql('model') : permittedSql('model', from, whom)
  const modelled = `SELECT visitor FROM madeleine.events WHERE ${reach} AND ${forModel}`
  const visible = moment.isUncontested ? ownPermissionSql('profile') : permittedSql('profile', from, whom)
  const where = `${reach} AND ${visible}${lane === 16 ? '' : ` AND visitor IN (${manySql(reach)})`}`
  const triedOf =
    prepared === undefined
      ? undefined
      : (place: string) =>
          `SELECT text, tried FROM madeleine.pass_texts WHERE pass = ${binder.bind('UInt64', String(prepared))} AND place = ${binder.bind('String', place)}`
  const { atMs, retentionMs } = moment
  const marked = printMarked(layout, sums, { where, atMs, triedOf, retentionMs }, binder)
  const grouped = `SELECT visitor, max(ms) AS last, min(leaves) AS first_leaves, count() AS events${measures.aggregates.map((aggregate) => `,\n    ${aggregate}`).join('')}
  FROM (
    ${marked}
  ) GROUP BY visitor HAVING ${lane === 16 ? '' : 'NOT '}events <= ${NARROW_LANE_EVENTS}`
  // A level of its own for what uses another name: as aliases of one level they would be written out in each other, and be analysed for seconds.
  const measured = measures.levels.reduce((inner, level) => `SELECT *, ${level.join(',\n  ')}\nFROM (\n  ${inner}\n)`, grouped)
  const sql = `SELECT visitor, ${heldSql(plan, measures, modelled, binder)} AS held,
  fromUnixTimestamp64Milli(last + ${binder.bind('Int64', retentionMs)}, 'UTC') AS expires,
  fromUnixTimestamp64Milli(first_leaves, 'UTC') AS turns
FROM (
  ${measured}
)`
  return { sql, values: binder.values }
}
