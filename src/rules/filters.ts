// Which filters an event passes, of a thousand: each column's value is tried once for all of them and remembered, as bits.

import { assertNever } from '../core/never.ts'
import type { Event } from '../event/event.ts'
import { matches } from './evaluate.ts'
import type { EventFilter, Match } from './rule.ts'

/** Values of a column that are remembered: so many that came lately, and as many from before that. */
const VALUES_MAX = 25_000

/** What one column leaves of the filters, by its value. */
type Column = {
  keyOf(event: Event): Key
  /** Filters that do not look at it. */
  readonly free: Uint32Array
  readonly tested: readonly { readonly filter: number; readonly tests: readonly Match[] }[]
  known: Map<Key, Uint32Array>
  earlier: Map<Key, Uint32Array>
}

/** What two events have in common whose values pass the same tests. */
type Key = string | bigint | null

const columnOf = (match: Match): string => (match.type === 'attr' ? `attr.${match.attr}` : match.field)

function keyOf(match: Match): (event: Event) => Key {
  switch (match.type) {
    case 'text':
      return (event) => event[match.field as 'source']
    case 'attr':
      return ({ attr }) => (Object.hasOwn(attr, match.attr) ? (attr[match.attr] ?? '') : '')
    case 'list':
      // Most have one element, which is its own key; written as JSON every key begins with a bracket.
      return (event) => {
        const list = event[match.field]
        const [first] = list.length === 1 ? list : []
        return first === undefined || first.startsWith('[') ? JSON.stringify(list) : first
      }
    case 'number':
      return (event) => event[match.field]
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
      keyOf: keyOf(match),
      free: bitsWhere(filters.length, (filter) => tests[filter]?.length === 0),
      tested: tests.flatMap((own, filter) => (own.length === 0 ? [] : [{ filter, tests: own }])),
      known: new Map(),
      earlier: new Map(),
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

/** The filters that a column's value leaves. */
function leftOf(column: Column, event: Event): Uint32Array {
  const key = column.keyOf(event)
  const known = column.known.get(key)
  if (known) return known
  let left = column.earlier.get(key)
  if (!left) {
    left = Uint32Array.from(column.free)
    for (const { filter, tests } of column.tested) if (tests.every((match) => matches(event, match))) setBit(left, filter)
  }
  if (column.known.size >= VALUES_MAX) {
    column.earlier = column.known
    column.known = new Map()
  }
  column.known.set(key, left)
  return left
}

/** Reads an event into `bits`, a bit a filter. */
export function makeReader(filters: readonly EventFilter[], bits: Uint32Array): (event: Event) => void {
  const columns = columnsOf(filters)
  const names = new Map<string, Uint32Array>()
  return (event) => {
    let named = names.get(event.event)
    if (!named) {
      named = bitsWhere(filters.length, (n) => filters[n]?.events?.includes(event.event) ?? true)
      if (names.size < VALUES_MAX) names.set(event.event, named)
    }
    bits.set(named)
    for (const column of columns) {
      const left = leftOf(column, event)
      for (let w = 0; w < bits.length; w++) bits[w] = (bits[w] as number) & (left[w] as number)
    }
  }
}
