// A third reading of the rule language, of the YAML value itself: slow and plain, sharing nothing with the other two but the taxonomy's facts.

import type { Event } from '../../src/event/event.ts'
import { contentDescendants } from '../../src/taxonomy/content.ts'

type Raw = Record<string, unknown>
const DAY = 86_400_000
const UNIT: Record<string, number> = { m: 60_000, h: 3_600_000, d: DAY, w: 7 * DAY }
const spanOf = (text: unknown): number => Number(String(text).slice(0, -1)) * (UNIT[String(text).slice(-1)] ?? Number.NaN)

/** Millionths of a number that was written with at most six places. */
const millionths = (n: number): bigint => BigInt(Math.round(n * 1e6))

function compared(n: bigint | number, how: Raw, unit: (n: number) => bigint | number): boolean {
  return Object.entries(how).every(([operator, operand]) => {
    if (operator === 'between') {
      const [low, high] = operand as [number, number]
      return n >= unit(low) && n <= unit(high)
    }
    const than = unit(operand as number)
    return { gte: n >= than, gt: n > than, lte: n <= than, lt: n < than, eq: n === than }[operator] ?? false
  })
}

const inOrder = (a: number, operator: string, b: number): boolean =>
  ({ gt: a > b, gte: a >= b, lt: a < b, lte: a <= b })[operator] ?? false

function textHolds(value: string, operator: string, operand: unknown): boolean {
  switch (operator) {
    case 'eq':
      return value === operand
    case 'ne':
      return value !== operand
    case 'in':
      return (operand as string[]).includes(value)
    case 'not_in':
      return !(operand as string[]).includes(value)
    case 'contains':
      return value.includes(operand as string)
    case 'starts_with':
      return value.startsWith(operand as string)
    case 'ends_with':
      return value.endsWith(operand as string)
    case 'matches':
      // The patterns that tests use mean the same to both, given these flags.
      return new RegExp(operand as string, 'su').test(value)
    case 'exists':
      return (value !== '') === operand
    default: {
      if (!/^[+-]?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(value) || !Number.isFinite(Number(value))) return false
      return inOrder(Number(value), operator, operand as number)
    }
  }
}

function numberHolds(value: bigint | null, operator: string, operand: unknown): boolean {
  if (operator === 'exists') return (value !== null) === operand
  if (value === null) return false
  const list = (Array.isArray(operand) ? operand : [operand]).map(millionths)
  switch (operator) {
    case 'eq':
    case 'in':
      return list.includes(value)
    case 'ne':
    case 'not_in':
      return !list.includes(value)
    default:
      return compared(value, { [operator]: operand }, millionths)
  }
}

function listHolds(values: readonly string[], operator: string, operand: unknown, descend: boolean): boolean {
  const wide = (text: unknown): string[] => (descend ? [...contentDescendants(String(text))] : [String(text)])
  const named = (Array.isArray(operand) ? operand : [operand]).flatMap(wide)
  switch (operator) {
    case 'exists':
      return values.length > 0 === operand
    case 'eq':
    case 'in':
      return values.some((value) => named.includes(value))
    case 'ne':
    case 'not_in':
      return !values.some((value) => named.includes(value))
    default:
      return values.some((value) => textHolds(value, operator, operand))
  }
}

function fieldHolds(event: Event, field: string, matcher: unknown): boolean {
  const tests: [string, unknown][] = Array.isArray(matcher)
    ? [['in', matcher]]
    : typeof matcher === 'object' && matcher !== null
      ? Object.entries(matcher)
      : [['eq', matcher]]
  return tests.every(([operator, operand]) => {
    if (field === 'value' || field === 'dwell_ms' || field === 'cost') return numberHolds(event[field], operator, operand)
    if (field === 'category' || field === 'keyword') return listHolds(event[field], operator, operand, field === 'category')
    if (field.startsWith('attr.'))
      return textHolds(Object.getOwnPropertyDescriptor(event.attr, field.slice(5))?.value ?? '', operator, operand)
    return textHolds(String((event as unknown as Raw)[field]), operator, operand)
  })
}

const isHit = (event: Event, { event: name, where = {} }: Raw): boolean =>
  (name === undefined || (Array.isArray(name) ? name : [name]).includes(event.event)) &&
  Object.entries(where as Raw).every(([field, matcher]) => fieldHolds(event, field, matcher))

export type World = { readonly atMs: number; readonly isListed: (list: string) => boolean }

/** `history`: the visible events of one visitor inside retention at the moment. */
export function oracleHolds(rule: Raw, history: readonly Event[], world: World): boolean {
  const { atMs } = world
  if (rule['all']) return (rule['all'] as Raw[]).every((item) => oracleHolds(item, history, world))
  if (rule['any']) return (rule['any'] as Raw[]).some((item) => oracleHolds(item, history, world))
  if (rule['not']) return !oracleHolds(rule['not'] as Raw, history, world)
  if (rule['list']) return world.isListed(rule['list'] as string)
  const start = rule['within'] === undefined ? Number.NEGATIVE_INFINITY : atMs - spanOf(rule['within'])
  const inside = history.filter(({ ts }) => ts > start && ts <= atMs)
  if (rule['sequence']) {
    const [first, ...later] = rule['sequence'] as Raw[]
    const gap = rule['gap'] === undefined ? Number.POSITIVE_INFINITY : spanOf(rule['gap'])
    /** Every choice of events, one after another. */
    const follows = (from: number, steps: readonly Raw[]): boolean => {
      const [step, ...rest] = steps
      if (!step) return true
      return inside.some((event) => event.ts > from && event.ts - from <= gap && isHit(event, step) && follows(event.ts, rest))
    }
    return inside.some((event) => isHit(event, first ?? {}) && follows(event.ts, later))
  }
  const hits = inside.filter((event) => isHit(event, rule))
  if (rule['days'])
    return compared(new Set(hits.map(({ ts }) => new Date(ts).toISOString().slice(0, 10))).size, rule['days'] as Raw, Number)
  if (rule['sum']) {
    const { field, ...how } = rule['sum'] as Raw
    const sum = hits.reduce((total, event) => total + (event[field as 'value'] ?? 0n), 0n)
    return compared(sum, how, millionths)
  }
  if (rule['sessions']) {
    const sessions: Event[][] = []
    for (const event of [...history].sort((a, b) => a.ts - b.ts)) {
      const last = sessions.at(-1)
      if (last && event.ts - (last.at(-1)?.ts ?? 0) < 30 * 60_000) last.push(event)
      else sessions.push([event])
    }
    return compared(
      sessions.filter((session) => session.some((event) => hits.includes(event))).length,
      rule['sessions'] as Raw,
      Number,
    )
  }
  return compared(hits.length, (rule['count'] ?? { gte: 1 }) as Raw, Number)
}
