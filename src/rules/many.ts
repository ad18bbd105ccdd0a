// All audiences at once for one visitor, in memory: what a tick asks of those whom something happened to. The same plan
// as the SQL's.
//
// It also says when time alone may change an answer. Exactly: a count that holds turns when the event leaves its window that is the n-th from the last; a sequence,
// when the first step of its latest chain does. Only of sums it is the next event to leave, which is early at worst.

import { DAY_MS } from '../core/duration.ts'
import { assertNever } from '../core/never.ts'
import type { FieldName } from '../event/event.ts'
import { compares, SESSION_GAP_MS, type Seen } from './evaluate.ts'
import { makeReader } from './filters.ts'
import type { AtLeast, Formula, Mark, Plan, Steps, Sum } from './plan.ts'
import type { EventFilter } from './rule.ts'

export type Decided = {
  /** Places in the plan of the audiences that hold the visitor. */
  readonly held: readonly number[]
  /** Nothing changes before this moment unless something new comes in. Undefined: nothing will. */
  readonly turnsMs: number | undefined
}
export type Decide = {
  /** Columns of an event that the rules look at, beside its moment, source and permissions. */
  readonly columns: readonly (FieldName | 'event' | 'attr')[]
  /** Some rule asks whether a list holds the visitor. */
  readonly asksLists: boolean
  /** And whether some event of the visitor permits models. */
  readonly asksModel: boolean
  (seen: Seen): Decided
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

type Summed = { readonly sum: bigint; readonly until: number | undefined }
const NOTHING: Summed = { sum: 0n, until: undefined }

const listsIn = (formula: Formula): readonly (Formula & { kind: 'list' })[] => {
  if (formula.kind === 'all' || formula.kind === 'any') return formula.of.flatMap(listsIn)
  return formula.kind === 'not' ? listsIn(formula.of) : formula.kind === 'list' ? [formula] : []
}

/**
 * Questions of which one must be answered with yes for the formula to hold; undefined: it may hold whatever they say. Of a thousand audiences most need not be looked at.
 */
function needs(formula: Formula): readonly number[] | undefined {
  switch (formula.kind) {
    case 'at_least':
      return [formula.index]
    case 'all': {
      const all = formula.of.flatMap((one) => {
        const own = needs(one)
        return own ? [own] : []
      })
      return all.reduce<readonly number[] | undefined>(
        (least, own) => (least && least.length <= own.length ? least : own),
        undefined,
      )
    }
    case 'any': {
      const all = formula.of.map(needs)
      return all.every((own) => own !== undefined) ? [...new Set(all.flat())] : undefined
    }
    default:
      return undefined
  }
}

export function makeDecide(plan: Plan): Decide {
  const filters: EventFilter[] = []
  const places = new Map<string, number>()
  const filterOf = plan.marks.map(({ events, where }) => {
    const key = JSON.stringify([events, where], (_, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value))
    const place = places.get(key) ?? filters.push({ events, where }) - 1
    places.set(key, place)
    return place
  })
  const bits = new Uint32Array((filters.length + 31) >> 5)
  const readBits = makeReader(filters, bits)
  /** By filter, the questions about its events: only those of filters that some event passes are asked. */
  const askedOf: number[][] = filters.map(() => [])
  plan.asked.forEach(({ mark }, n) => {
    askedOf[filterOf[mark] as number]?.push(n)
  })
  const sumsOf: number[][] = filters.map(() => [])
  plan.sums.forEach(({ mark }, n) => {
    sumsOf[filterOf[mark] as number]?.push(n)
  })

  /** Of the visitor in hand; made once, because a thousand lists a visitor are most of the work otherwise. */
  const passing: number[][] = filters.map(() => [])
  /** Filters that some event of the visitor passes. */
  let filled: number[] = []

  function sort(seen: Seen): Sorted {
    for (const filter of filled) (passing[filter] as number[]).length = 0
    filled = []
    seen.history.forEach((event, place) => {
      readBits(event)
      for (let w = 0; w < bits.length; w++) {
        for (let word = bits[w] as number; word !== 0; word &= word - 1) {
          const filter = (w << 5) + 31 - Math.clz32(word & -word)
          if ((passing[filter] as number[]).push(place) === 1) filled.push(filter)
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

  /** Until when it holds; 0: it does not. */
  function heldUntil({ kind, mark, atLeast }: AtLeast, sorted: Sorted): number {
    const ms = nthFromLast(kind, placesOf(mark, sorted), atLeast, sorted)
    const until = ms === undefined ? 0 : ms + markOf(mark).withinMs
    return until > sorted.seen.atMs ? until : 0
  }
  function sequenceUntil(steps: Steps, sorted: Sorted): number | undefined {
    if (steps.steps.some((mark) => placesOf(mark, sorted).length === 0)) return undefined
    const moments = steps.steps.map((mark) => inWindow(mark, sorted).map((place) => sorted.ts[place] ?? 0))
    if (moments.some((found) => found.length === 0)) return undefined
    const start = chainStart(steps, moments)
    return start === undefined ? undefined : start + markOf(steps.steps[0] ?? 0).withinMs
  }
  function summed({ field, mark }: Sum, sorted: Sorted): Summed {
    const counted = inWindow(mark, sorted)
    const first = counted[0]
    return {
      sum: counted.reduce((sum, place) => sum + (sorted.seen.history[place]?.[field] ?? 0n), 0n),
      until: first === undefined ? undefined : (sorted.ts[first] ?? 0) + markOf(mark).withinMs,
    }
  }

  /** Audiences by a question that they need, and those that need none. */
  const neededBy: number[][] = plan.asked.map(() => [])
  const always: number[] = []
  plan.audiences.forEach(({ formula }, n) => {
    const questions = needs(formula)
    if (questions) for (const question of questions) neededBy[question]?.push(n)
    else always.push(n)
  })

  const asked = new Float64Array(plan.asked.length)
  const sums: Summed[] = plan.sums.map(() => NOTHING)
  const decide = (seen: Seen): Decided => {
    const sorted = sort(seen)
    let turnsMs = Number.POSITIVE_INFINITY
    asked.fill(0)
    sums.fill(NOTHING)
    for (const filter of filled) {
      for (const n of askedOf[filter] as number[]) {
        const until = heldUntil(plan.asked[n] as AtLeast, sorted)
        asked[n] = until
        if (until !== 0 && until < turnsMs) turnsMs = until
      }
      for (const n of sumsOf[filter] as number[]) {
        const sum = summed(plan.sums[n] as Sum, sorted)
        sums[n] = sum
        if (sum.until !== undefined && sum.until < turnsMs) turnsMs = sum.until
      }
    }
    const sequences = plan.sequences.map((one) => sequenceUntil(one, sorted))
    for (const until of sequences) if (until !== undefined && until < turnsMs) turnsMs = until
    const holds = (formula: Formula): boolean => {
      switch (formula.kind) {
        case 'at_least':
          return asked[formula.index] !== 0
        case 'sequence':
          return sequences[formula.index] !== undefined
        case 'sum':
          return compares(sums[formula.index]?.sum ?? 0n, formula.comparison)
        case 'list':
          return seen.isListed(formula.id, formula.needs)
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
    if (seen.history.length === 0) return { held: [], turnsMs: Number.isFinite(turnsMs) ? turnsMs : undefined }
    const candidates = new Set(always)
    for (const filter of filled)
      for (const n of askedOf[filter] as number[])
        if (asked[n] !== 0) for (const one of neededBy[n] as number[]) candidates.add(one)
    const held = [...candidates].filter((n) => holds(plan.audiences[n]?.formula as Formula)).sort((a, b) => a - b)
    return { held, turnsMs: Number.isFinite(turnsMs) ? turnsMs : undefined }
  }
  const looked = filters.flatMap(({ where }) =>
    where.map((match): FieldName | 'attr' => (match.type === 'attr' ? 'attr' : (match.field as FieldName))),
  )
  const summedFields = plan.sums.map(({ field }): FieldName => field)
  const lists = plan.audiences.flatMap(({ formula }) => listsIn(formula))
  return Object.assign(decide, {
    asksLists: lists.length > 0,
    asksModel: lists.some(({ needs }) => needs === 'model'),
    columns: [...new Set<FieldName | 'event' | 'attr'>(['event', ...looked, ...summedFields])],
  })
}
