// Rules of the whole language and histories to hold them against, from a seed. Histories hold ties, exact window edges, pauses of exactly half an hour, missing
// and empty fields, unicode, quotes, lists, fractions, and events without permission to profile.

import fc from 'fast-check'
import { expect } from 'vitest'
import { type ConsentSignal, EVERYWHERE } from '../../src/consent/standing.ts'
import { DAY_MS, HOUR_MS, MINUTE_MS, RETENTION_MAX_MS } from '../../src/core/duration.ts'
import type { AudienceId } from '../../src/core/ids.ts'
import { ALL_PERMISSIONS, permissionSet, SIGNALLED_BIT } from '../../src/core/permissions.ts'
import type { Event } from '../../src/event/event.ts'
import { Checker } from '../../src/rules/checker.ts'
import { parseRule } from '../../src/rules/parse.ts'
import { resolveSegment } from '../../src/rules/resolve.ts'
import type { ResolvedRule } from '../../src/rules/rule.ts'
import { contentDescendants } from '../../src/taxonomy/content.ts'
import { anEvent, decimal, visitorNumber } from '../support/events.ts'

export const SEED = Number(process.env['SEED'] ?? 20261121)
const GENERATED = 120
const LONG = 120
const SHORT = 60
export const HISTORIES = LONG + SHORT
/** Ahead of the clock, so that the table's own expiry takes none of the rows on the edge of retention away meanwhile. */
export const now = Math.floor(Date.now() / DAY_MS + 3) * DAY_MS + 123
const WINDOWS = ['1m', '30m', '1h', '1d', '7d', '4w', '90d'] as const
const WINDOW_MS = [MINUTE_MS, 30 * MINUTE_MS, HOUR_MS, DAY_MS, 7 * DAY_MS, 28 * DAY_MS, RETENTION_MAX_MS]

const TEXTS = [
  'a',
  'ab',
  'abc',
  'A',
  "it's",
  'back\\slash',
  'tab\tline\n',
  'Grüße',
  '日本',
  '🚗',
  '🚗🚙',
  '%',
  '{x:String}',
  '0',
  'ß',
  'é',
  'e\u0301',
]
const CATEGORIES = ['1', '2', '52', '53', '150', '151', 'JLBCU7', 'unknown']
const NUMBERS = ['0', '0.1', '0.2', '0.3', '-1.5', '19.99', '0.000001', '999999999999.999999', '1', '3']
const NUMERIC_TEXTS = [
  '5',
  '+5',
  '-5',
  '05',
  '1e3',
  '1E-2',
  '1e999',
  '1.5',
  '.5',
  '5.',
  '0x10',
  '1 ',
  '５',
  'nan',
  'inf',
  '',
  '1\n',
  '9007199254740993',
  '0.1',
  '0.30000000000000004',
]
/** Mean the same to RegExp with the flags `su`. */
const PATTERNS = ['^a', 'a.*b', '[0-9]+$', '^.{2}$', '日.', '(a|b)c', '^tab.line.$', '🚗', '[^a-z]', 'b+|^$']
const EVENTS = ['page_view', 'click', 'conversion']

const text = fc.constantFrom(...TEXTS)
const maybe = <T>(arbitrary: fc.Arbitrary<T>, missing: T) =>
  fc.oneof({ weight: 1, arbitrary: fc.constant(missing) }, { weight: 2, arbitrary })

const event: fc.Arbitrary<Partial<Event>> = fc.record({
  ts: fc.oneof(
    fc.constantFrom(...WINDOW_MS.flatMap((ms) => [now - ms - 1, now - ms, now - ms + 1]), now - 1, now, now + 1),
    fc.integer({ min: now - 100 * DAY_MS, max: now + HOUR_MS }),
    fc.integer({ min: now - 2 * HOUR_MS, max: now }),
    // Pauses of exactly half an hour, and a millisecond beside.
    fc.tuple(fc.integer({ min: 0, max: 6 }), fc.integer({ min: -1, max: 1 })).map(([n, ms]) => now - n * 30 * MINUTE_MS + ms),
  ),
  event: fc.constantFrom(...EVENTS),
  source: fc.constantFrom('news', 'shop'),
  permissions: fc
    .tuple(
      fc.constantFrom(ALL_PERMISSIONS, ALL_PERMISSIONS, ALL_PERMISSIONS, ALL_PERMISSIONS, permissionSet(['store'])),
      fc.boolean(),
    )
    .map(([permissions, isSignal]) => (isSignal ? permissions | (1 << SIGNALLED_BIT) : permissions)),
  campaign: maybe(text, ''),
  keyword: fc.array(text, { maxLength: 3 }),
  category: fc.array(fc.constantFrom(...CATEGORIES), { maxLength: 2 }),
  value: maybe(fc.constantFrom(...NUMBERS).map(decimal), null),
  cost: maybe(fc.constantFrom(...NUMBERS).map(decimal), null),
  dwell_ms: maybe(fc.constantFrom(...NUMBERS).map(decimal), null),
  attr: fc.record({ n: fc.constantFrom(...NUMERIC_TEXTS), t: text }, { requiredKeys: [] }),
})

/** What a visitor said without an event; everywhere, or at one source. Times meet those of events. */
const signal = fc.record({
  tsMs: fc.oneof(
    fc.constantFrom(...WINDOW_MS.flatMap((ms) => [now - ms, now - ms + 1]), now),
    fc.integer({ min: now - 80 * DAY_MS, max: now }),
  ),
  source: fc.constantFrom('news', 'shop', 'news', 'shop', EVERYWHERE),
  permissions: fc.constantFrom(0, 0, ALL_PERMISSIONS),
  receivers: fc.constant([]),
})

const textMatcher = (value: fc.Arbitrary<string>) => {
  const list = fc.uniqueArray(value, { minLength: 1, maxLength: 3 })
  const keyed = fc
    .record(
      {
        eq: value,
        ne: value,
        in: list,
        not_in: list,
        contains: value,
        starts_with: value,
        ends_with: value,
        exists: fc.boolean(),
        matches: fc.constantFrom(...PATTERNS),
      },
      { requiredKeys: [] },
    )
    .chain((all) => fc.subarray(Object.entries(all), { maxLength: Math.min(2, Object.keys(all).length) }))
    .map((entries) => Object.fromEntries(entries))
    .filter((some) => Object.keys(some).length > 0)
  return fc.oneof(value, list, keyed, keyed)
}
const number = fc.constantFrom(...NUMBERS.filter((n) => n.length < 15)).map(Number)
const numberMatcher = (order: boolean) =>
  fc
    .record(
      {
        eq: number,
        ne: number,
        in: fc.array(number, { minLength: 1, maxLength: 3 }),
        not_in: fc.array(number, { minLength: 1, maxLength: 3 }),
        exists: fc.boolean(),
        ...(order ? { gt: number, gte: number, lt: number, lte: number } : {}),
      },
      { requiredKeys: [] },
    )
    .filter((all) => Object.keys(all).length > 0)
    .chain((all) => fc.subarray(Object.entries(all), { minLength: 1, maxLength: Math.min(2, Object.keys(all).length) }))
    .map((entries) => Object.fromEntries(entries))
const attrOrder = fc.oneof(
  ...['gt', 'gte', 'lt', 'lte'].map((key) => fc.record({ [key]: fc.constantFrom(5, 1.5, -5, 1000, 0.3, 9007199254740992) })),
)

const where = fc
  .record(
    {
      campaign: textMatcher(text),
      keyword: textMatcher(text),
      category: textMatcher(fc.constantFrom(...CATEGORIES)),
      value: numberMatcher(true),
      dwell_ms: numberMatcher(true),
      cost: numberMatcher(false),
      'attr.n': fc.oneof(attrOrder, textMatcher(fc.constantFrom(...NUMERIC_TEXTS.filter((n) => n !== '')))),
      'attr.t': textMatcher(text),
    },
    { requiredKeys: [] },
  )
  .chain((all) => fc.subarray(Object.entries(all), { minLength: 0, maxLength: 2 }))
  .map((entries) => Object.fromEntries(entries))

/** A few comparisons around what histories of eight events come to. */
const whole = fc.constantFrom<object>(
  { gte: 1 },
  { gte: 2 },
  { gt: 1 },
  { lte: 1 },
  { lt: 2 },
  { eq: 0 },
  { eq: 2 },
  { between: [1, 3] },
  { gte: 1, lte: 2 },
  { gt: 0 },
  { lte: 0 },
  { between: [0, 2] },
)
const summed = fc.record({
  field: fc.constantFrom('value', 'dwell_ms'),
  by: fc.constantFrom<object>({ gte: 0.3 }, { gt: 0 }, { lte: 1.5 }, { lt: 0.3 }, { eq: 0 }, { eq: 0.3 }, { between: [-1, 1] }),
})
const measure = fc.oneof(
  fc.record({ count: whole }),
  fc.record({ days: whole }),
  fc.record({ sessions: whole }),
  summed.map(({ field, by }) => ({ sum: { field, ...by } })),
)
const step = fc
  .record({ event: fc.oneof(fc.constantFrom(...EVENTS), fc.constant([...EVENTS])), where }, { requiredKeys: ['event'] })
  .map(({ event: name, where: fields }) =>
    fields && Object.keys(fields).length > 0 ? { event: name, where: fields } : { event: name },
  )
const sequence = fc.record(
  {
    sequence: fc.array(step, { minLength: 2, maxLength: 4 }),
    gap: fc.constantFrom('1m', '30m', '1h', '1d'),
    within: fc.constantFrom(...WINDOWS),
  },
  { requiredKeys: ['sequence'] },
)

const condition = fc
  .record(
    {
      event: fc.oneof(fc.constantFrom(...EVENTS), fc.uniqueArray(fc.constantFrom(...EVENTS), { minLength: 1 })),
      where,
      measure,
      within: fc.constantFrom(...WINDOWS),
    },
    { requiredKeys: [] },
  )
  .map(({ where: fields, measure: measured, ...rest }) => ({
    ...rest,
    ...measured,
    ...(fields && Object.keys(fields).length > 0 ? { where: fields } : {}),
  }))
  .filter((rule) => Object.keys(rule).length > 0)
const { rule } = fc.letrec<{ rule: unknown }>((tie) => ({
  rule: fc.oneof(
    { maxDepth: 3, depthSize: 'small' },
    condition,
    sequence,
    fc.constantFrom({ list: 'odd' }, { list: 'never-imported' }),
    fc.record({ all: fc.array(tie('rule'), { minLength: 1, maxLength: 3 }) }),
    fc.record({ any: fc.array(tie('rule'), { minLength: 1, maxLength: 3 }) }),
    fc.record({ not: tie('rule') }),
  ),
}))

function resolved(value: unknown): ResolvedRule {
  const check = new Checker()
  const parsed = parseRule(check, value, [], { retentionMs: RETENTION_MAX_MS })
  expect(check.problems, JSON.stringify(value)).toEqual([])
  if (!parsed) throw new Error('no rule')
  const result = resolveSegment({ id: 'r' as AudienceId, rule: parsed }, new Map(), contentDescendants)
  if (!result) throw new Error('not resolved')
  return result
}

/** The events of each visitor, and what each said besides. A visitor says one thing a source: the store keeps the newest only. */
export function makeHistories(): { readonly histories: Event[][]; readonly said: ConsentSignal[][] } {
  const many = fc.sample(fc.array(event, { maxLength: 8 }), { seed: SEED, numRuns: LONG })
  // One event decides alone: where there are many, some other one satisfies the rule as well.
  const few = fc
    .sample(fc.array(event, { minLength: 1, maxLength: 2 }), { seed: SEED + 1, numRuns: SHORT })
    .map((events) =>
      events.map((given, n) => ({ ...given, ts: now - HOUR_MS - n * 20 * MINUTE_MS, permissions: ALL_PERMISSIONS })),
    )
  const histories = [...many, ...few].map((events, n) =>
    events
      .flatMap((given) => (n % 5 === 0 ? [given, given] : [given]))
      .map((given) => anEvent({ ...given, visitor: visitorNumber(n + 1) })),
  )
  const said = fc
    .sample(
      fc.oneof(fc.constant([]), fc.constant([]), fc.uniqueArray(signal, { selector: ({ source }) => source, maxLength: 2 })),
      {
        seed: SEED,
        numRuns: HISTORIES,
      },
    )
    .map((signals, n) => signals.map((given): ConsentSignal => ({ ...given, visitor: visitorNumber(n + 1) })))
  return { histories, said }
}

/** One thing at a time, over everything that a visitor did: what the generated rules seldom decide by. */
const PLAIN: readonly object[] = [
  ...['campaign', 'attr.t', 'keyword'].flatMap((field) =>
    [
      ...['a', 'b', 'ab', 'bc', 'Grüße', '🚗', "it's"].flatMap((some) =>
        ['eq', 'ne', 'contains', 'starts_with', 'ends_with'].map((key) => ({ [key]: some })),
      ),
      { in: ['a', '日本'] },
      { not_in: ['a', 'ab', 'abc', '%'] },
      { exists: true },
      { exists: false },
      ...PATTERNS.map((matches) => ({ matches })),
    ].map((matcher) => ({ where: { [field]: matcher } })),
  ),
  ...['value', 'cost'].flatMap((field) =>
    [
      ...[0.1, 0.3, 1, -1.5].flatMap((some) => [{ eq: some }, { ne: some }]),
      { in: [0, 3] },
      { not_in: [0, 1, 3] },
      { exists: true },
      { exists: false },
    ].map((matcher) => ({ where: { [field]: matcher } })),
  ),
  ...['gt', 'gte', 'lt', 'lte'].flatMap((key) => [
    ...[-1.5, 0, 0.3, 3].map((than) => ({ where: { value: { [key]: than } } })),
    ...[-5, 0.3, 5, 1000].map((than) => ({ where: { 'attr.n': { [key]: than } } })),
    ...['count', 'days', 'sessions'].flatMap((kind) => [1, 2, 3, 4].map((than) => ({ event: 'click', [kind]: { [key]: than } }))),
    ...[-1.5, 0.3, 1, 3].flatMap((than) =>
      ['click', 'page_view'].map((name) => ({ event: name, sum: { field: 'value', [key]: than } })),
    ),
  ]),
  ...['1m', '30m', '1h'].map((gap) => ({ sequence: [{ event: 'click' }, { event: ['click', 'page_view'] }], gap })),
].filter((rule) => !/"(gte|lt)":0[,}]/.test(JSON.stringify(rule)) || 'where' in rule)

export type MadeRule = { readonly id: AudienceId; readonly written: unknown; readonly rule: ResolvedRule }
export const makeRules = (): MadeRule[] =>
  [...fc.sample(rule, { seed: SEED, numRuns: GENERATED }), ...PLAIN].map((written, i) => ({
    id: `r${i}` as AudienceId,
    written,
    rule: resolved(written),
  }))

export const RULES = GENERATED + PLAIN.length

export const isListed = (list: string, n: number): boolean => list === 'odd' && n % 2 === 1
