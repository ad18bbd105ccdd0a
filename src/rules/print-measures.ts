// What is asked of a visitor, as SQL over the words of the events: aggregates first, answers out of them second.
//
// Counts of up to 16 marks are one sum: a bit in each 16 bits of a 256-bit number, added up over the events. Adding what a lane lacks to 32,768 then sets the top
// bit of those that reach their number, all at once. Visitors with more events than that are counted by another statement in lanes of 32 bits.
// Days and sessions are counted the same way, after the words of each day or session were put together.

import { DAY_MS } from '../core/duration.ts'
import { SESSION_GAP_MS } from './evaluate.ts'
import { type Layout, type Place, type Purpose, WORD_BITS } from './masks.ts'
import type { Plan } from './plan.ts'

/** Bits of a counting lane. */
export type Lane = 16 | 32
/** How many events of one visitor lanes of 16 bits can count. */
export const NARROW_LANE_EVENTS = 32_767

/** Later than any moment of an event. */
const NEVER = '9000000000000000'

/** Columns of one level of a statement: `sql AS name`. */
type Level = string[]
export type PrintedMeasures = {
  /** Aggregates over a visitor's events. */
  readonly aggregates: Level
  /** From aggregates to answers, level by level: each may use the names of the levels before. */
  readonly levels: readonly Level[]
  /** Answers by their place in the plan: conditions, and sums to be compared. */
  readonly asked: readonly string[]
  readonly sums: readonly string[]
  readonly sequences: readonly string[]
}

const wordsOf = (layout: Layout, purpose: Purpose): number[] =>
  layout.words.flatMap((word, n) => (word.purpose === purpose ? [n] : []))

/** `each` gives what stands in the lane of a bit; the lanes of one shift side by side. */
function lanes(bits: number, lane: Lane, each: (bit: number) => bigint, shift = 0): bigint {
  let number = 0n
  for (let at = 0; at < bits; at += lane) number |= each(at + shift) << BigInt(at)
  return number
}

/** Shifts at which some bit is in use. */
const shiftsOf = (bits: number, lane: Lane): number[] => Array.from({ length: Math.min(bits, lane) }, (_, shift) => shift)

/** Bits of those whose lanes, summed for each shift, reach their numbers; at the places where the marks stand in their word. */
function reachedSql(
  sums: readonly string[],
  atLeast: readonly number[],
  { lane, bits, type }: { readonly lane: Lane; readonly bits: number; readonly type: string },
): string {
  const top = 1n << BigInt(lane - 1)
  const tops = lanes(bits, lane, () => top)
  const found = sums.map((sum, shift) => {
    // Nothing is lacking to a number that no lane can reach: its top bit stays unset.
    const lack = lanes(
      bits,
      lane,
      (bit) => {
        const wanted = BigInt(atLeast[bit] ?? 0)
        return wanted > 0n && wanted < top ? top - wanted : 0n
      },
      shift,
    )
    return `bitShiftRight(bitAnd(${sum} + to${type}('${lack}'), to${type}('${tops}')), ${lane - 1 - shift})`
  })
  return found.reduce((all, one) => `bitOr(${all}, ${one})`)
}

/** How many words stand side by side in one number. */
const WIDE = 4

function countSql(layout: Layout, lane: Lane): { aggregates: Level; levels: Level[] } {
  const words = wordsOf(layout, 'count')
  const aggregates: Level = []
  const wide: Level = []
  const split: Level = []
  for (let first = 0; first < words.length; first += WIDE) {
    const own = words.slice(first, first + WIDE)
    const name = `count${first / WIDE}`
    const bits = WORD_BITS * (own.length === 3 ? 4 : own.length)
    const type = `UInt${bits}`
    const joined = own
      .map((n, part) => (part === 0 ? `to${type}(w${n})` : `bitShiftLeft(to${type}(w${n}), ${part * WORD_BITS})`))
      .reduce((all, one) => `bitOr(${all}, ${one})`)
    const atLeast = own.flatMap((n) => {
      const numbers = layout.words[n]?.atLeast ?? []
      return Array.from({ length: WORD_BITS }, (_, bit) => numbers[bit] ?? 0)
    })
    const most = Math.max(...own.map((n) => layout.words[n]?.atLeast.length ?? 0))
    const foot = lanes(bits, lane, () => 1n)
    const sums = shiftsOf(most, lane).map((shift) => {
      aggregates.push(`sum(bitAnd(bitShiftRight(${joined}, ${shift}), to${type}('${foot}'))) AS ${name}_${shift}`)
      return `${name}_${shift}`
    })
    wide.push(`${reachedSql(sums, atLeast, { lane, bits, type })} AS ${name}`)
    own.forEach((n, part) => {
      split.push(`toUInt64(${part === 0 ? name : `bitShiftRight(${name}, ${part * WORD_BITS})`}) AS reached${n}`)
    })
  }
  return { aggregates, levels: [wide, split] }
}

/** Days and sessions: the visitor's timeline is split, the words of each piece are put together, and the pieces are counted. */
function pieceLevels(layout: Layout, kind: 'days' | 'sessions', lane: Lane): Level[] {
  const words = wordsOf(layout, kind)
  if (words.length === 0) return []
  const moments = 'arrayMap(moment -> moment.1, timeline)'
  const steps =
    kind === 'days' ? `arrayDifference(arrayMap(moment -> intDiv(moment.1, ${DAY_MS}), timeline))` : `arrayDifference(${moments})`
  const isNew = kind === 'days' ? 'step != 0' : `step >= ${SESSION_GAP_MS}`
  const pieces = words.map((n) => {
    const own = `arrayMap(moment -> moment.${timelinePlace(layout, n)}, timeline)`
    return `arrayMap(piece -> arrayReduce('groupBitOr', piece), arraySplit((word, step) -> ${isNew}, ${own}, ${kind}_steps)) AS pieces${n}`
  })
  const foot = lanes(WORD_BITS, lane, () => 1n)
  const bitsOf = (n: number): number => layout.words[n]?.atLeast.length ?? 0
  const sums = words.flatMap((n) =>
    shiftsOf(bitsOf(n), lane).map(
      (shift) => `arraySum(word -> bitAnd(bitShiftRight(word, ${shift}), toUInt64(${foot})), pieces${n}) AS pieces${n}_${shift}`,
    ),
  )
  const reached = words.map((n) => {
    const names = shiftsOf(bitsOf(n), lane).map((shift) => `pieces${n}_${shift}`)
    return `${reachedSql(names, layout.words[n]?.atLeast ?? [], { lane, bits: WORD_BITS, type: 'UInt64' })} AS reached${n}`
  })
  return [[], [`${steps} AS ${kind}_steps`], pieces, sums, reached]
}

const timelineWords = (layout: Layout): number[] => [...wordsOf(layout, 'days'), ...wordsOf(layout, 'sessions')]
/** Place of a word in the timeline's tuples, behind the moment. */
const timelinePlace = (layout: Layout, word: number): number => timelineWords(layout).indexOf(word) + 2

/** Sessions are counted over all events, days over those with a mark. */
function timelineSql(layout: Layout): { aggregates: Level; levels: Level[] } {
  const words = timelineWords(layout)
  if (words.length === 0) return { aggregates: [], levels: [] }
  const isAll = wordsOf(layout, 'sessions').length > 0
  const marked = words.map((n) => `w${n} != 0`).join(' OR ')
  const gather = (column: string) => (isAll ? `groupArray(${column})` : `groupArrayIf(${column}, ${marked})`)
  const aggregates = [`${gather('ms')} AS at_all`, ...words.map((n) => `${gather(`w${n}`)} AS w${n}_all`)]
  // A visitor without any mark needs no order.
  if (isAll) aggregates.push(`max(${marked}) AS has_marks`)
  const zipped = `arrayZip(at_all${words.map((n) => `, w${n}_all`).join('')})`
  return {
    aggregates,
    levels: [[`arraySort(moment -> moment.1, ${isAll ? `if(has_marks, ${zipped}, [])` : zipped}) AS timeline`]],
  }
}

/**
 * Whether steps follow each other. Without a gap the earliest end of each step is all that matters. With one, as evaluate.ts does it: ends of the step before
 * and events of this one are put in order, each event takes the nearest end before it (`arrayFill` carries the last one along), and stays if that is near enough.
 * An end is written as twice its moment and one, an event as twice its moment: at one moment the event comes first, because a step ends strictly after the one before.
 */
function sequenceSql(steps: readonly string[], gapMs: number | undefined): string {
  // A list of one element is how a thing gets a name inside an expression.
  if (gapMs === undefined) {
    const last = steps
      .slice(1, -1)
      .reduce(
        (end, step) => `arrayMap(end -> arrayMin(arrayPushBack(arrayFilter(ms -> ms > end, ${step}), ${NEVER})), [${end}])[1]`,
        `arrayMin(${steps[0]})`,
      )
    return `arrayMax(${steps.at(-1)}) > ${last}`
  }
  const NONE = '-1'
  const ends = steps.reduce((before, step) => {
    const both = `arraySort(arrayConcat([toInt64(${NONE})], arrayMap(ms -> ms * 2 + 1, ${before}), arrayMap(ms -> ms * 2, ${step})))`
    const followed = `arrayFilter((event, before) -> event % 2 = 0 AND before != ${NONE} AND event - before < ${2 * gapMs}, both, arrayFill(event -> event % 2 != 0, both))`
    return `arrayMap(both -> arrayMap(event -> intDiv(event, 2), ${followed}), [${both}])[1]`
  })
  return `notEmpty(${ends})`
}

/** Chains of levels side by side. */
const merged = (chains: readonly (readonly Level[])[]): Level[] =>
  Array.from({ length: Math.max(0, ...chains.map((chain) => chain.length)) }, (_, level) =>
    chains.flatMap((chain) => chain[level] ?? []),
  )

export function printMeasures(plan: Plan, layout: Layout, lane: Lane): PrintedMeasures {
  const count = countSql(layout, lane)
  const timeline = timelineSql(layout)
  const test = (name: string, { word, bit }: Place): string => `bitTest(${name}${word}, ${bit})`
  const aggregates = [
    ...wordsOf(layout, 'any').map((n) => `groupBitOr(w${n}) AS reached${n}`),
    ...count.aggregates,
    ...timeline.aggregates,
    ...plan.sums.map(({ field, mark }, n) => `sumIf(${field}_or_0, ${test('w', layout.place('sum', mark))}) AS sum${n}`),
    ...wordsOf(layout, 'step').flatMap((n) => [
      `groupBitOr(w${n}) AS steps${n}`,
      `groupArrayIf(ms, w${n} != 0) AS steps${n}_at`,
      `groupArrayIf(w${n}, w${n} != 0) AS steps${n}_words`,
    ]),
  ]
  const sequences = plan.sequences.map(({ steps: marks, gapMs }, n) => {
    const places = marks.map((mark) => layout.place('step', mark))
    const moments = places.map(
      ({ word, bit }) => `arrayFilter((ms, word) -> bitTest(word, ${bit}), steps${word}_at, steps${word}_words)`,
    )
    const isPossible = places.map((place) => test('steps', place)).join(' AND ')
    return `if(${isPossible}, ${sequenceSql(moments, gapMs)}, 0) AS sequence${n}`
  })
  const levels = merged([
    count.levels,
    timeline.levels,
    pieceLevels(layout, 'days', lane),
    pieceLevels(layout, 'sessions', lane),
    [sequences],
  ])
  return {
    aggregates,
    levels: levels.filter((level) => level.length > 0),
    asked: plan.asked.map(({ kind, mark, atLeast }) => test('reached', layout.place(kind, mark, atLeast))),
    sums: plan.sums.map((_, n) => `sum${n}`),
    sequences: plan.sequences.map((_, n) => `sequence${n}`),
  }
}
