// The rule language as JSON Schema (draft 2020-12), for editors: names, shapes and what may stand beside what. It knows nothing of other segments or of retention; `check` does.

import { DEVICES, FIELD_TYPES } from '../event/event.ts'
import { COMPARISON_OPERATORS, SUM_FIELDS } from './rule.ts'

export type JsonSchema = { readonly [key: string]: unknown }

const DURATION = {
  type: 'string',
  pattern: '^[1-9][0-9]{0,8}[mhdw]$',
  description: 'a whole number and m, h, d or w, such as 14d',
}
const ID = { type: 'string', pattern: '^[a-z0-9][a-z0-9-]{0,63}$' }
const text = { type: 'string', minLength: 1 }
const oneOrMore = (items: JsonSchema): JsonSchema => ({ type: 'array', items, minItems: 1 })
const mapping = (properties: JsonSchema, more: JsonSchema = {}): JsonSchema => ({
  type: 'object',
  properties,
  additionalProperties: false,
  minProperties: 1,
  ...more,
})

const valueOrList = (value: JsonSchema): JsonSchema[] => [value, oneOrMore(value)]
const listOperators = (value: JsonSchema): JsonSchema => ({
  eq: value,
  ne: value,
  in: oneOrMore(value),
  not_in: oneOrMore(value),
})
const orders = (value: JsonSchema): JsonSchema => ({ gt: value, gte: value, lt: value, lte: value })
const searches = { contains: text, starts_with: text, ends_with: text, matches: { ...text, description: 'RE2, unanchored' } }
const exists = { exists: { type: 'boolean' } }

const textMatcher = (value: JsonSchema = text, more: JsonSchema = {}): JsonSchema => ({
  anyOf: [...valueOrList(value), mapping({ ...listOperators(value), ...searches, ...exists, ...more })],
})
const number = { type: 'number' }
const matcherOf = (field: string, type: string): JsonSchema => {
  if (type !== 'number') return textMatcher(field === 'device' ? { enum: [...DEVICES] } : text)
  const ordered = field === 'cost' ? {} : orders(number)
  return { anyOf: [...valueOrList(number), mapping({ ...listOperators(number), ...exists, ...ordered })] }
}

const where = mapping(Object.fromEntries(Object.entries(FIELD_TYPES).map(([field, type]) => [field, matcherOf(field, type)])), {
  patternProperties: { '^attr\\.[a-z][a-z0-9_]{0,63}$': textMatcher(text, orders(number)) },
})

const comparison = (value: JsonSchema, more: JsonSchema = {}, required: readonly string[] = []): JsonSchema =>
  mapping(
    {
      ...Object.fromEntries(COMPARISON_OPERATORS.map((operator) => [operator, value])),
      between: { type: 'array', items: value, minItems: 2, maxItems: 2 },
      ...more,
    },
    required.length > 0 ? { required, minProperties: 2 } : {},
  )
const whole = { type: 'integer', minimum: 0 }

const eventName = { type: 'string', pattern: '^[a-z][a-z0-9_]{0,63}$' }
const step = { event: { anyOf: valueOrList(eventName) }, where: { $ref: '#/$defs/where' } }
const measures = {
  count: comparison(whole),
  days: comparison(whole),
  sessions: comparison(whole),
  sum: comparison(number, { field: { enum: [...SUM_FIELDS] } }, ['field']),
}
const rule = { $ref: '#/$defs/rule' }
const alone = (key: string, value: JsonSchema): JsonSchema => mapping({ [key]: value }, { required: [key] })

/** `#/$defs/rule` and what it is made of. */
export const RULE_DEFINITIONS: JsonSchema = {
  where,
  rule: {
    anyOf: [
      alone('all', oneOrMore(rule)),
      alone('any', oneOrMore(rule)),
      alone('not', rule),
      alone('segment', ID),
      alone('list', ID),
      mapping({ ...step, ...measures, within: DURATION }),
      mapping(
        { sequence: { type: 'array', items: mapping(step), minItems: 2, maxItems: 8 }, gap: DURATION, within: DURATION },
        { required: ['sequence'] },
      ),
    ],
  },
}
