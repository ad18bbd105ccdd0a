// All audiences at once for one visitor, in memory: what a tick asks of those whom something happened to. The same plan as the SQL's; each column's value is tried once
// for all rules and remembered, so that the cost of an event is a look-up a column, however many audiences there are.
//
// It also says when time alone may change an answer. Exactly: a count that holds turns when the event leaves its window that is the n-th from the last; a sequence,
// when the first step of its latest chain does. Only of sums it is the next event to leave, which is early at worst.

import { DAY_MS } from '../core/duration.ts'
import { assertNever } from '../core/never.ts'
import type { Event, FieldName } from '../event/event.ts'
import { compares, matches, SESSION_GAP_MS, type Seen } from './evaluate.ts'
import type { AtLeast, Formula, Mark, Plan, Steps, Sum } from './plan.ts'
import type { EventFilter, Match } from './rule.ts'

export type Decided = {
  /** Places in the plan of the audiences that hold the visitor. */
  readonly held: readonly number[]
  /** Nothing changes before this moment unless something new comes in. Undefined: nothing will. */
  readonly turnsMs: number | undefined
}
export type Decide = {
  /** Columns of an event that the rules look at, beside its moment, source and permissions. */
  readonly columns: readonly (FieldName | 'event' | 'attr')[]
  (seen: Seen): Decided
}

/** Values of a column that are remembered; then it begins anew. */
const VALUES_MAX = 50_000

/** What one column leaves of the filters, by its value. */
type Column = {
  textOf(event: Event): string
  /** Filters that do not look at it. */
  readonly free: Uint32Array
  readonly tested: readonly { readonly filter: number; readonly tests: readonly Match[] }[]
  readonly known: Map<string, Uint32Array>
}

const columnOf = (match: Match): string => (match.type === 'attr' ? `attr.${match.attr}` : match.field)

function textOf(match: Match): (event: Event) => string {
  switch (match.type) {
    case 'text':
      return (event) => event[match.field as 'source']
    case 'attr':
      return ({ attr }) => (Object.hasOwn(attr, match.attr) ? (attr[match.attr] ?? '') : '')
    case 'list':
      return (event) => {
        const [first = '', ...others] = event[match.field]
        return others.length === 0 ? `.${first}` : JSON.stringify(event[match.field])
      }
    case 'number':
      return (event) => String(event[match.field])
    default:
      return assertNever(match)
  }
}

function columnsOf(filters: readonly EventFilter[]): Column[] {
  const byName = new Map<string, Match>()
  for (const { where } of filters) for (const match of where) byName.set(columnOf(match), match)
  return [...byName].map(([name, match]) => {
    const tests = filters.map(({ where }) => where.filter((own) => columnOf(own) === name))
    return {
      textOf: textOf(match),
      free: bitsWhere(filters.length, (filter) => tests[filter]?.length === 0),
      tested: tests.flatMap((own, filter) => (own.length === 0 ? [] : [{ filter, tests: own }])),
      known: new Map(),
    }
  })
}

const setBit = (bits: Uint32Array, n: number): void => {
  bits[n >> 5] = (bits[n >> 5] ?? 0) | (1 << (n & 31))
}

function bitsWhere(filters: number, holds: (filter: number) => boolean): Uint32Array {
  const bits = new Uint32Array((filters + 31) >> 5)
  for (let n = 0; n < filters; n++) if (holds(n)) setBit(bits, n)
  return bits
}

/** The events of one visitor, by the filter that they pass: their places in the history, in order. */
type Sorted = {
  readonly seen: Seen
  readonly passing: readonly (readonly number[])[]
  readonly ts: readonly number[]
  /** Of each event, the number of its session. */
  sessions(): readonly number[]
}

/** The moment of the n-th thing from the last, if there are so many: an event, or the last event of a day or a session. */
function nthFromLast(kind: AtLeast['kind'], places: readonly number[], n: number, { ts, sessions }: Sorted): number | undefined {
  if (kind === 'any' || kind === 'count') {
    const place = places[places.length - n]
    return place === undefined ? undefined : ts[place]
  }
  if (places.length < n) return undefined
  const pieces = kind === 'sessions' ? sessions() : undefined
  let last = Number.NaN
  let found = 0
  for (let i = places.length - 1; i >= 0; i--) {
    const place = places[i] ?? 0
    const piece = pieces ? pieces[place] : Math.floor((ts[place] ?? 0) / DAY_MS)
    if (piece === last) continue
    last = piece ?? Number.NaN
    if (++found === n) return ts[place]
  }
  return undefined
}

/** The latest moment at which a chain of the steps may have begun. Each end follows the nearest one before it, whose chain also began last. */
function chainStart({ gapMs }: Steps, steps: readonly (readonly number[])[]): number | undefined {
  let ends: readonly { readonly ms: number; readonly from: number }[] = (steps[0] ?? []).map((ms) => ({ ms, from: ms }))
  for (const moments of steps.slice(1)) {
    const next: { ms: number; from: number }[] = []
    let before = -1
    for (const ms of moments) {
      while (before + 1 < ends.length && (ends[before + 1]?.ms ?? 0) < ms) before++
      const end = ends[before]
      if (end && (gapMs === undefined || ms - end.ms <= gapMs)) next.push({ ms, from: end.from })
    }
    ends = next
  }
  return ends.at(-1)?.from
}

const NOTHING = { sum: 0n, until: undefined }

export function makeDecide(plan: Plan): Decide {
  const filters: EventFilter[] = []
  const places = new Map<string, number>()
  const filterOf = plan.marks.map(({ events, where }) => {
    const key = JSON.stringify([events, where], (_, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value))
    const place = places.get(key) ?? filters.push({ events, where }) - 1
    places.set(key, place)
    return place
  })
  const words = (filters.length + 31) >> 5
  const columns = columnsOf(filters)
  const names = new Map<string, Uint32Array>()

  const bits = new Uint32Array(words)
  function readBits(event: Event): void {
    let named = names.get(event.event)
    if (!named) {
      named = bitsWhere(filters.length, (n) => filters[n]?.events?.includes(event.event) ?? true)
      if (names.size < VALUES_MAX) names.set(event.event, named)
    }
    bits.set(named)
    for (const column of columns) {
      const text = column.textOf(event)
      let left = column.known.get(text)
      if (!left) {
        if (column.known.size >= VALUES_MAX) column.known.clear()
        left = Uint32Array.from(column.free)
        for (const { filter, tests } of column.tested) if (tests.every((match) => matches(event, match))) setBit(left, filter)
        column.known.set(text, left)
      }
      for (let w = 0; w < words; w++) bits[w] = (bits[w] as number) & (left[w] as number)
    }
  }

  /** Of the visitor in hand; made once, because a thousand lists a visitor are most of the work otherwise. */
  const passing: number[][] = filters.map(() => [])
  let filled: number[][] = []

  function sort(seen: Seen): Sorted {
    for (const places of filled) places.length = 0
    filled = []
    seen.history.forEach((event, place) => {
      readBits(event)
      for (let w = 0; w < words; w++) {
        for (let word = bits[w] as number; word !== 0; word &= word - 1) {
          const places = passing[(w << 5) + 31 - Math.clz32(word & -word)] as number[]
          if (places.push(place) === 1) filled.push(places)
        }
      }
    })
    const ts = seen.history.map((event) => event.ts)
    let numbered: number[] | undefined
    const sessions = () => {
      let session = 0
      numbered ??= ts.map((ms, n) => (n > 0 && ms - (ts[n - 1] ?? 0) >= SESSION_GAP_MS ? ++session : session))
      return numbered
    }
    return { seen, passing, ts, sessions }
  }

  const markOf = (mark: number): Mark => plan.marks[mark] as Mark
  const placesOf = (mark: number, { passing }: Sorted): readonly number[] => passing[filterOf[mark] ?? 0] ?? []
  /** Inside the mark's window, in order. */
  function inWindow(mark: number, sorted: Sorted): readonly number[] {
    const from = sorted.seen.atMs - markOf(mark).withinMs
    return placesOf(mark, sorted).filter((place) => (sorted.ts[place] ?? 0) > from)
  }

  /** Until when it holds; undefined: it does not. */
  function heldUntil({ kind, mark, atLeast }: AtLeast, sorted: Sorted): number | undefined {
    const ms = nthFromLast(kind, placesOf(mark, sorted), atLeast, sorted)
    const until = ms === undefined ? undefined : ms + markOf(mark).withinMs
    return until !== undefined && until > sorted.seen.atMs ? until : undefined
  }
  function sequenceUntil(steps: Steps, sorted: Sorted): number | undefined {
    if (steps.steps.some((mark) => placesOf(mark, sorted).length === 0)) return undefined
    const moments = steps.steps.map((mark) => inWindow(mark, sorted).map((place) => sorted.ts[place] ?? 0))
    if (moments.some((found) => found.length === 0)) return undefined
    const start = chainStart(steps, moments)
    return start === undefined ? undefined : start + markOf(steps.steps[0] ?? 0).withinMs
  }
  function summed({ field, mark }: Sum, sorted: Sorted): { readonly sum: bigint; readonly until: number | undefined } {
    if (placesOf(mark, sorted).length === 0) return NOTHING
    const counted = inWindow(mark, sorted)
    const first = counted[0]
    return {
      sum: counted.reduce((sum, place) => sum + (sorted.seen.history[place]?.[field] ?? 0n), 0n),
      until: first === undefined ? undefined : (sorted.ts[first] ?? 0) + markOf(mark).withinMs,
    }
  }

  const decide = (seen: Seen): Decided => {
    const sorted = sort(seen)
    const asked = plan.asked.map((one) => heldUntil(one, sorted))
    const sequences = plan.sequences.map((one) => sequenceUntil(one, sorted))
    const sums = plan.sums.map((one) => summed(one, sorted))
    const holds = (formula: Formula): boolean => {
      switch (formula.kind) {
        case 'at_least':
          return asked[formula.index] !== undefined
        case 'sequence':
          return sequences[formula.index] !== undefined
        case 'sum':
          return compares(sums[formula.index]?.sum ?? 0n, formula.comparison)
        case 'list':
          return seen.isListed(formula.id)
        case 'always':
          return true
        case 'all':
          return formula.of.every(holds)
        case 'any':
          return formula.of.some(holds)
        case 'not':
          return !holds(formula.of)
        default:
          return assertNever(formula)
      }
    }
    // Nobody is in anything whom we do not know.
    const held = seen.history.length === 0 ? [] : plan.audiences.flatMap(({ formula }, n) => (holds(formula) ? [n] : []))
    let turnsMs: number | undefined
    for (const ms of [...asked, ...sequences, ...sums.map(({ until }) => until)])
      if (ms !== undefined && (turnsMs === undefined || ms < turnsMs)) turnsMs = ms
    return { held, turnsMs }
  }
  const looked = filters.flatMap(({ where }) =>
    where.map((match): FieldName | 'attr' => (match.type === 'attr' ? 'attr' : (match.field as FieldName))),
  )
  const summedFields = plan.sums.map(({ field }): FieldName => field)
  return Object.assign(decide, { columns: [...new Set<FieldName | 'event' | 'attr'>(['event', ...looked, ...summedFields])] })
}
