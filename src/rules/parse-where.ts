// `where`: fields and their matchers (contract 2.1).

import { decimalOfNumber } from '../core/decimal.ts'
import { attrName, FIELD_TYPES, type FieldType, isFieldName, type ListField, type NumberField } from '../event/event.ts'
import { type Checker, isMapping } from './checker.ts'
import { patternFault } from './pattern.ts'
import type { Match, NumberTest, OrderOperator, OrderTest, ProblemPath, TextTest } from './rule.ts'

const TEXT_OPERATORS = ['eq', 'ne', 'in', 'not_in', 'contains', 'starts_with', 'ends_with', 'matches', 'exists'] as const
const ORDER_OPERATORS: readonly OrderOperator[] = ['gt', 'gte', 'lt', 'lte']
const NUMBER_OPERATORS = ['eq', 'ne', 'in', 'not_in', 'exists', ...ORDER_OPERATORS] as const

const isOrder = (operator: string): operator is OrderOperator => (ORDER_OPERATORS as readonly string[]).includes(operator)

/** `field: x` means eq, `field: [x, y]` means in. */
function operators(value: unknown): readonly (readonly [operator: string, operand: unknown, path: ProblemPath])[] | 'empty' {
  if (Array.isArray(value)) return [['in', value, []]]
  if (!isMapping(value)) return [['eq', value, []]]
  const entries = Object.entries(value)
  return entries.length === 0 ? 'empty' : entries.map(([operator, operand]) => [operator, operand, [operator]] as const)
}

function oneOrMany<T>(
  check: Checker,
  operator: string,
  operand: unknown,
  path: ProblemPath,
  one: (value: unknown, path: ProblemPath) => T | undefined,
): T[] | undefined {
  if (operator === 'eq' || operator === 'ne') {
    const value = one(operand, path)
    return value === undefined ? undefined : [value]
  }
  const list = check.list(operand, path, `\`${operator}\``)
  const values = list?.map((item, i) => one(item, [...path, i])) ?? []
  const good = values.filter((value) => value !== undefined)
  return list && good.length === list.length ? good : undefined
}

function existsTest(check: Checker, operand: unknown, path: ProblemPath): { test: 'exists'; is: boolean } | undefined {
  return typeof operand === 'boolean' ? { test: 'exists', is: operand } : check.value(path, '`exists` must be true or false')
}

function textTest(check: Checker, operator: string, operand: unknown, path: ProblemPath, field: string): TextTest | undefined {
  switch (operator) {
    case 'eq':
    case 'in':
    case 'ne':
    case 'not_in': {
      const values = oneOrMany(check, operator, operand, path, (value, at) => check.text(value, at, field))
      return values && { test: operator === 'eq' || operator === 'in' ? 'in' : 'not_in', values }
    }
    case 'contains':
    case 'starts_with':
    case 'ends_with': {
      const text = check.text(operand, path, `\`${operator}\` of ${field}`)
      return text === undefined ? undefined : { test: operator, text }
    }
    case 'matches': {
      const pattern = check.text(operand, path, `\`matches\` of ${field}`)
      if (pattern === undefined) return undefined
      const fault = patternFault(pattern)
      return fault === undefined ? { test: 'matches', pattern } : check.value(path, `\`matches\` of ${field}: ${fault}`)
    }
    case 'exists':
      return existsTest(check, operand, path)
    default:
      return check.key(path, `unknown operator \`${operator}\` for ${field}${check.nearest(operator, TEXT_OPERATORS)}`)
  }
}

function decimal(check: Checker, value: unknown, path: ProblemPath, field: string): bigint | undefined {
  if (typeof value !== 'number') return check.value(path, `${field} is a number`)
  return (
    decimalOfNumber(value) ??
    check.value(path, `${field} holds decimals with at most 12 digits before and 6 after the point, not ${value}`)
  )
}

function numberTest(
  check: Checker,
  operator: string,
  operand: unknown,
  path: ProblemPath,
  field: NumberField,
): NumberTest | undefined {
  if (operator === 'exists') return existsTest(check, operand, path)
  // `cost` may be asked for but not compared in order: contract 2.1 names value, dwell_ms and attr.* only.
  if (isOrder(operator)) {
    if (field === 'cost') return check.key(path, `\`${operator}\` exists for value, dwell_ms and attr.* only`)
    const than = decimal(check, operand, path, field)
    return than === undefined ? undefined : { test: operator, than }
  }
  if (!(NUMBER_OPERATORS as readonly string[]).includes(operator))
    return check.key(path, `unknown operator \`${operator}\` for ${field}${check.nearest(operator, NUMBER_OPERATORS)}`)
  const values = oneOrMany(check, operator, operand, path, (value, at) => decimal(check, value, at, field))
  return values && { test: operator === 'eq' || operator === 'in' ? 'in' : 'not_in', values }
}

function attrTest(
  check: Checker,
  operator: string,
  operand: unknown,
  path: ProblemPath,
  field: string,
): TextTest | OrderTest<number> | undefined {
  if (!isOrder(operator)) return textTest(check, operator, operand, path, field)
  if (typeof operand !== 'number' || !Number.isFinite(operand))
    return check.value(path, `\`${operator}\` of ${field} must be a number`)
  return { test: operator, than: operand }
}

function match(check: Checker, field: string, value: unknown, path: ProblemPath): Match | undefined {
  const attr = attrName(field)
  if (attr === undefined && !isFieldName(field))
    return check.key(path, `unknown field \`${field}\`${check.nearest(field, [...Object.keys(FIELD_TYPES), 'attr.<name>'])}`)
  const entries = operators(value)
  if (entries === 'empty') return check.value(path, `the matcher of ${field} is empty`)
  function tests<T>(one: (operator: string, operand: unknown, at: ProblemPath) => T | undefined): T[] {
    return (entries as Exclude<typeof entries, 'empty'>).flatMap(([operator, operand, under]) => {
      const test = one(operator, operand, [...path, ...under])
      return test === undefined ? [] : [test]
    })
  }
  if (attr !== undefined)
    return { type: 'attr', attr, tests: tests((operator, operand, at) => attrTest(check, operator, operand, at, field)) }
  const type: FieldType = FIELD_TYPES[field as keyof typeof FIELD_TYPES]
  if (type === 'number') {
    const number = field as NumberField
    return { type, field: number, tests: tests((operator, operand, at) => numberTest(check, operator, operand, at, number)) }
  }
  const text = tests((operator, operand, at) => textTest(check, operator, operand, at, field))
  return type === 'list' ? { type, field: field as ListField, tests: text } : { type, field, tests: text }
}

export function parseWhere(check: Checker, value: unknown, path: ProblemPath): Match[] {
  const mapping = check.mapping(value, path, '`where`')
  return Object.entries(mapping ?? {}).flatMap(([field, matcher]) => match(check, field, matcher, [...path, field]) ?? [])
}
