// Decides how marks become bits. An event's marks are the bits of a few 64-bit words; each column that rules look at says, for its value, which bits are
// still possible, and the word is what all columns leave. So the cost of an event is a look-up a column and word, however many audiences there are.

import type { FieldName } from '../event/event.ts'
import type { Mark, Plan } from './plan.ts'
import type { Match, NumberTest, OrderTest, TextTest } from './rule.ts'

export const WORD_BITS = 64
export const ALL_BITS = (1n << BigInt(WORD_BITS)) - 1n

/** Words are aggregated by what is asked of their bits. */
const PURPOSES = ['any', 'count', 'days', 'sessions', 'sum', 'step'] as const
export type Purpose = (typeof PURPOSES)[number]

/** `event` is a column like the fields; of `attr` the name. */
export type TextColumn =
  | 'event'
  | Exclude<FieldName, 'category' | 'keyword' | 'value' | 'cost' | 'dwell_ms'>
  | { readonly attr: string }
export type ListColumn = 'category' | 'keyword'
export type NumberColumn = 'value' | 'cost' | 'dwell_ms'

/** What no list of values can say: it is tried on each distinct value once. */
export type Trial = Exclude<TextTest, { test: 'in' | 'not_in' | 'exists' }> | OrderTest<number>
/** `bits` hold only where the trial succeeds. */
export type TrialBits = { readonly trial: Trial; readonly bits: bigint }
/** Bits of each value, and of all others. */
export type Values = { readonly values: readonly string[]; readonly bits: readonly bigint[]; readonly others: bigint }

/** What one column leaves of a word. */
export type Mask =
  | { readonly kind: 'values'; readonly column: TextColumn; readonly table: Values }
  | { readonly kind: 'trials'; readonly column: TextColumn; readonly trials: readonly TrialBits[] }
  /** Bits that some element has, by value or by trial, are turned round under `negated`, which also holds those that nothing is asked of. */
  | {
      readonly kind: 'list'
      readonly column: ListColumn
      readonly table: Values
      readonly trials: readonly TrialBits[]
      readonly negated: bigint
    }
  /** `bits` are left where there are elements (`filled`), or where there are none. */
  | { readonly kind: 'filled'; readonly column: ListColumn; readonly filled: bigint; readonly empty: bigint }
  | { readonly kind: 'number'; readonly column: NumberColumn; readonly test: NumberTest; readonly bits: bigint }
  /** By the number of windows, from the widest, that the event lies in. */
  | { readonly kind: 'age'; readonly bits: readonly bigint[] }

/** `atLeast`: of each bit, the number that is asked for. */
export type Word = {
  readonly purpose: Purpose
  readonly atLeast: readonly number[]
  readonly masks: readonly Mask[]
}
export type Place = { readonly word: number; readonly bit: number }
export type Layout = {
  readonly words: readonly Word[]
  /** Windows shorter than retention, from the widest. */
  readonly windows: readonly number[]
  place(purpose: Purpose, mark: number, atLeast?: number): Place
}

type TextMatch = { readonly column: TextColumn; readonly tests: readonly (TextTest | OrderTest<number>)[] }
export const columnKey = (column: TextColumn): string => (typeof column === 'string' ? column : `attr.${column.attr}`)

function textMatches({ events, where }: Mark): TextMatch[] {
  const named: TextMatch[] = events ? [{ column: 'event', tests: [{ test: 'in', values: events }] }] : []
  const fields = where.flatMap((match): TextMatch[] => {
    if (match.type === 'text') return [{ column: match.field as Exclude<TextColumn, object>, tests: match.tests }]
    if (match.type === 'attr') return [{ column: { attr: match.attr }, tests: match.tests }]
    return []
  })
  return [...named, ...fields]
}

const isTrial = (test: TextTest | OrderTest<number>): test is Trial =>
  test.test !== 'in' && test.test !== 'not_in' && test.test !== 'exists'

/** The value is one of these, or none of them. */
type Equality = { readonly values: ReadonlySet<string>; readonly is: boolean }
const equalityOf = (test: Exclude<TextTest, Trial>): Equality =>
  test.test === 'exists' ? { values: new Set(['']), is: !test.is } : { values: new Set(test.values), is: test.test === 'in' }

const bitsWhere = (marks: readonly Mark[], holds: (mark: Mark, n: number) => boolean): bigint =>
  marks.reduce((bits, mark, n) => (holds(mark, n) ? bits | (1n << BigInt(n)) : bits), 0n)

function textMasks(marks: readonly Mark[]): Mask[] {
  const columns = new Map<string, TextColumn>()
  for (const mark of marks) for (const { column } of textMatches(mark)) columns.set(columnKey(column), column)
  return [...columns].flatMap(([key, column]): Mask[] => {
    const tests = marks.map((mark) => textMatches(mark).flatMap((match) => (columnKey(match.column) === key ? match.tests : [])))
    const equalities = tests.map((list) => list.flatMap((test) => (isTrial(test) ? [] : [equalityOf(test)])))
    const values = [...new Set(equalities.flat().flatMap((test) => [...test.values]))]
    const bitsOf = (value: string | undefined): bigint =>
      bitsWhere(marks, (_, n) =>
        (equalities[n] ?? []).every((test) => (value !== undefined && test.values.has(value)) === test.is),
      )
    const masks: Mask[] = []
    if (values.length > 0)
      masks.push({ kind: 'values', column, table: { values, bits: values.map(bitsOf), others: bitsOf(undefined) } })
    const trials = gatherTrials(tests.map((list) => list.filter(isTrial)))
    if (trials.length > 0) masks.push({ kind: 'trials', column, trials })
    return masks
  })
}

/** Each distinct trial once, with the bits of all that ask for it. `trials`: of each mark. */
function gatherTrials(trials: readonly (readonly Trial[])[]): TrialBits[] {
  const found = new Map<string, { trial: Trial; bits: bigint }>()
  trials.forEach((list, n) => {
    for (const trial of list) {
      const key = JSON.stringify(trial)
      const entry = found.get(key) ?? { trial, bits: 0n }
      entry.bits |= 1n << BigInt(n)
      found.set(key, entry)
    }
  })
  return [...found.values()]
}

/** Each test of a list is about some element of its own: the first test of every mark in one mask, the second ones in another. */
function listMasks(marks: readonly Mark[], column: ListColumn): Mask[] {
  const tests = marks.map((mark) =>
    mark.where.flatMap((match) => (match.type === 'list' && match.field === column ? match.tests : [])),
  )
  const masks: Mask[] = []
  if (tests.flat().some(({ test }) => test === 'exists')) {
    const left = (is: boolean) =>
      bitsWhere(marks, (_, n) => !(tests[n] ?? []).some((test) => test.test === 'exists' && test.is !== is))
    masks.push({ kind: 'filled', column, filled: left(true), empty: left(false) })
  }
  const asked = tests.map((list) => list.filter((test) => test.test !== 'exists'))
  const planes = Math.max(0, ...asked.map((list) => list.length))
  for (let plane = 0; plane < planes; plane++) {
    const here = asked.map((list) => list[plane])
    const listed = here.map((test) => new Set(test && !isTrial(test) ? test.values : []))
    const values = [...new Set(listed.flatMap((set) => [...set]))]
    const bits = values.map((value) => bitsWhere(marks, (_, n) => listed[n]?.has(value) ?? false))
    const trials = gatherTrials(here.map((test) => (test && isTrial(test) ? [test] : [])))
    const negated = bitsWhere(marks, (_, n) => here[n] === undefined || here[n]?.test === 'not_in')
    masks.push({ kind: 'list', column, table: { values, bits, others: 0n }, trials, negated })
  }
  return masks
}

function numberMasks(marks: readonly Mark[]): Mask[] {
  const found = new Map<string, { column: NumberColumn; test: NumberTest; bits: bigint }>()
  marks.forEach((mark, n) => {
    for (const match of mark.where) {
      if (match.type !== 'number') continue
      for (const test of match.tests) {
        const key = JSON.stringify([match.field, test], (_, value: unknown) => (typeof value === 'bigint' ? `${value}` : value))
        const entry = found.get(key) ?? { column: match.field, test, bits: 0n }
        entry.bits |= 1n << BigInt(n)
        found.set(key, entry)
      }
    }
  })
  return [...found.values()].map((entry) => ({ kind: 'number', ...entry }))
}

function ageMasks(marks: readonly Mark[], windows: readonly number[], retentionMs: number): Mask[] {
  if (marks.every(({ withinMs }) => withinMs >= retentionMs)) return []
  const bits = [0, ...windows].map((_, inside) =>
    bitsWhere(marks, ({ withinMs }) => withinMs >= retentionMs || windows.indexOf(withinMs) < inside),
  )
  return [{ kind: 'age', bits }]
}

const matchKey = (match: Match): string => (match.type === 'attr' ? `attr.${match.attr}` : match.field)
/** Marks that look at the same columns stand together, so that a word has few columns. */
const columnsOf = ({ events, where }: Mark): string => [...where.map(matchKey).sort(), events ? 'event' : ''].join(' ')

type Bit = { readonly mark: number; readonly atLeast: number }

export function layOut({ marks, asked, sums, sequences }: Plan, retentionMs: number): Layout {
  const windows = [...new Set(marks.map(({ withinMs }) => withinMs))].filter((ms) => ms < retentionMs).sort((a, b) => b - a)
  const bits = new Map<Purpose, Bit[]>(PURPOSES.map((purpose) => [purpose, []]))
  for (const { kind, mark, atLeast } of asked) bits.get(kind)?.push({ mark, atLeast })
  const alone = (indexes: Iterable<number>): Bit[] => [...new Set(indexes)].map((mark) => ({ mark, atLeast: 1 }))
  bits.set('sum', alone(sums.map(({ mark }) => mark)))
  bits.set('step', alone(sequences.flatMap(({ steps }) => steps)))
  const columns = marks.map(columnsOf)
  const words: Word[] = []
  const places = new Map<string, Place>()
  for (const purpose of PURPOSES) {
    const all = (bits.get(purpose) ?? []).toSorted(
      (a, b) => (columns[a.mark] ?? '').localeCompare(columns[b.mark] ?? '') || a.mark - b.mark,
    )
    for (let start = 0; start < all.length; start += WORD_BITS) {
      const own = all.slice(start, start + WORD_BITS)
      const held = own.map(({ mark }) => marks[mark] as Mark)
      own.forEach(({ mark, atLeast }, bit) => {
        places.set(`${purpose} ${mark} ${atLeast}`, { word: words.length, bit })
      })
      const masks = [
        ...textMasks(held),
        ...listMasks(held, 'category'),
        ...listMasks(held, 'keyword'),
        ...numberMasks(held),
        ...ageMasks(held, windows, retentionMs),
      ]
      words.push({ purpose, atLeast: own.map(({ atLeast }) => atLeast), masks })
    }
  }
  return {
    words,
    windows,
    place(purpose, mark, atLeast = 1) {
      const place = places.get(`${purpose} ${mark} ${atLeast}`)
      if (!place) throw new Error(`mark ${mark} has no place as ${purpose}`)
      return place
    },
  }
}
