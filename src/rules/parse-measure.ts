// What a condition measures of its events, and what that is compared with: `count`, `days`, `sessions`, `sum` (contract 2.1).

import { decimalOfNumber, decimalText } from '../core/decimal.ts'
import type { Checker, Mapping } from './checker.ts'
import {
  COMPARISON_OPERATORS,
  type Comparison,
  type ComparisonOperator,
  type Measure,
  type ProblemPath,
  SUM_FIELDS,
  type SumField,
} from './rule.ts'

export const MEASURE_KEYS = ['count', 'days', 'sessions', 'sum'] as const

const isOperator = (key: string): key is ComparisonOperator => (COMPARISON_OPERATORS as readonly string[]).includes(key)

type Numbers<N extends number | bigint> = {
  readonly read: (value: unknown, path: ProblemPath) => N | undefined
  readonly show: (n: N) => string
  /** At and above it every number lies. */
  readonly least: N
}

function parseComparison<N extends number | bigint>(
  check: Checker,
  mapping: Mapping,
  path: ProblemPath,
  { read, show, least }: Numbers<N>,
): Comparison<N> {
  return Object.entries(mapping).flatMap(([key, operand]): Comparison<N> => {
    const at = [...path, key]
    if (key === 'between') {
      const ends = check.list(operand, at, '`between`')
      if (ends && ends.length !== 2) check.value(at, '`between` takes two numbers')
      const low = ends && read(ends[0], [...at, 0])
      const high = ends && ends.length === 2 ? read(ends[1], [...at, 1]) : undefined
      if (low === undefined || high === undefined) return []
      if (low > high) check.value(at, `\`between\` is reversed: ${show(low)} is more than ${show(high)}`)
      return [
        { operator: 'gte', than: low },
        { operator: 'lte', than: high },
      ]
    }
    if (!isOperator(key)) {
      check.key(at, `unknown comparison \`${key}\`${check.nearest(key, [...COMPARISON_OPERATORS, 'between'])}`)
      return []
    }
    const than = read(operand, at)
    if (than === undefined) return []
    if (key === 'gte' && than === least) check.value(at, '`gte: 0` holds for everybody')
    if (key === 'lt' && than === least) check.value(at, '`lt: 0` holds for nobody')
    return [{ operator: key, than }]
  })
}

function parseSum(check: Checker, value: unknown, path: ProblemPath): Measure | undefined {
  const mapping = check.mapping(value, path, '`sum`')
  if (!mapping) return undefined
  const { field, ...rest } = mapping
  const isField = (SUM_FIELDS as readonly unknown[]).includes(field)
  if (field === undefined) check.value(path, `\`sum\` needs a \`field\`: ${SUM_FIELDS.join(' or ')}`)
  else if (!isField) check.value([...path, 'field'], `only ${SUM_FIELDS.join(' and ')} can be summed`)
  if (Object.keys(rest).length === 0)
    check.value(path, `\`sum\` needs a comparison: ${COMPARISON_OPERATORS.join(', ')} or between`)
  const comparison = parseComparison<bigint>(check, rest, path, {
    read: (n, at) =>
      (typeof n === 'number' ? decimalOfNumber(n) : undefined) ??
      check.value(at, 'a sum is compared with a decimal of at most 12 digits before and 6 after the point'),
    show: decimalText,
    least: 0n,
  })
  return { kind: 'sum', field: field as SumField, comparison }
}

/** At most one of the four; none means at least one event. */
export function parseMeasure(check: Checker, mapping: Mapping, path: ProblemPath): Measure {
  const atLeastOne: Measure = { kind: 'count', comparison: [{ operator: 'gte', than: 1 }] }
  const [key, ...more] = MEASURE_KEYS.filter((name) => mapping[name] !== undefined)
  for (const other of more)
    check.key([...path, other], `\`${other}\` cannot stand beside \`${key}\`: a condition measures one thing`)
  if (key === undefined) return atLeastOne
  const at = [...path, key]
  if (key === 'sum') return parseSum(check, mapping['sum'], at) ?? atLeastOne
  const compared = check.mapping(mapping[key], at, `\`${key}\``)
  const comparison = parseComparison<number>(check, compared ?? {}, at, {
    read: (n, where) =>
      typeof n === 'number' && Number.isSafeInteger(n) && n >= 0
        ? n
        : check.value(where, `${key === 'count' ? 'a count' : `\`${key}\``} is compared with a whole number from 0`),
    show: String,
    least: 0,
  })
  return { kind: key, comparison }
}
