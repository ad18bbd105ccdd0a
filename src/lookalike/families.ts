// What a visitor's events say that a model may learn from: families of features, each by what one event brings to it. Everything is there or not there; how often is
// told by further features of the same value (LEVELS).

/** Seen so often at least: once, and these. */
export const LEVELS = [1, 2, 4, 8] as const

export type Family = {
  readonly kind: string
  /** Names under which `exclude` leaves it out. */
  readonly names: readonly string[]
  /** SQL of what an event brings: a text, or an array of texts. Empty texts bring nothing. */
  readonly values: string
  readonly isList: boolean
  /** How often is told too. */
  readonly isCounted: boolean
}

const text = (kind: string, more: Partial<Family> = {}): Family => ({
  kind,
  names: [kind],
  values: kind,
  isList: false,
  isCounted: false,
  ...more,
})

// A page and its section are told with their host: `/` of one site is not `/` of another.
const WITHOUT_PAGE = "path = '' OR path = '/'"
/** How large, as a power of the root of two; of nothing and less a dash. */
const size = (column: string): string =>
  `if(${column} IS NULL, '', if(${column} <= 0, '-', toString(toInt16(floor(2 * log2(toFloat64(${column})))))))`
const sizeName = (value: string): string =>
  value === '-' ? '0 or less' : `about ${Number((2 ** (Number(value) / 2)).toPrecision(2))}`

/** Categories are looked up with those above them (dictionary.ts), by the tier of each. */
export const CATEGORY_TIERS = 5
export const tierPlace = (tier: number): string => `category/${tier}`

export const EVENT_FAMILIES: readonly Family[] = [
  text('event', { isCounted: true }),
  text('source'),
  text('host', { names: ['host', 'url'], isCounted: true }),
  text('section', {
    names: ['path', 'host', 'url'],
    // What is the page itself says nothing more.
    values: `if(${WITHOUT_PAGE}, [], arrayFilter(one -> one != concat(host, path) AND one != host, arrayDistinct([concat(host, substring(path, 1, position(concat(path, '/'), '/', 2) - 1)), concat(host, substring(path, 1, length(path) - position(reverse(path), '/')))])))`,
    isList: true,
    isCounted: true,
  }),
  text('page', { names: ['path', 'host', 'url'], values: "if(path = '', '', concat(host, path))", isCounted: true }),
  text('category', { values: 'category', isList: true, isCounted: true }),
  text('keyword', { isList: true, isCounted: true }),
  // As it is written, and, of numbers, about how large.
  text('attr', {
    names: [],
    values: `arrayConcat(
      arrayMap((name, value) -> if(value = '', '', concat(name, '=', value)), mapKeys(attr), mapValues(attr)),
      arrayMap((name, value) -> if(isFinite(toFloat64OrNull(value)), concat(name, '~', ${size('toFloat64OrZero(value)')}), ''), mapKeys(attr), mapValues(attr)))`,
    isList: true,
  }),
  text('device'),
  text('browser'),
  text('os'),
  text('country'),
  text('region', { names: ['region', 'country'], values: "if(region = '', '', concat(country, '-', region))" }),
  text('language'),
  text('referrer', { names: ['referrer_host'], values: 'referrer_host' }),
  text('campaign'),
  text('creative'),
  text('placement'),
  text('currency'),
  text('value', { values: size('value') }),
  text('dwell', { names: ['dwell_ms'], values: size('dwell_ms') }),
  text('hour', { values: "concat(toString(intDiv(toHour(ts), 4) * 4), 'h')" }),
  text('weekday', { names: ['hour'], values: "if(toDayOfWeek(ts) > 5, 'weekend', 'weekday')" }),
]

/** What all of a visitor's events say together, at least so much of it (STEPS). `sql` is made of events, days, pages and the age of the last one in days. */
export const VISITOR_FAMILIES = [
  { kind: 'events', names: ['activity'], sql: 'events' },
  { kind: 'days', names: ['activity'], sql: 'days' },
  { kind: 'pages', names: ['activity'], sql: 'pages' },
  { kind: 'again', names: ['activity'], sql: 'events - pages' },
  { kind: 'idle_days', names: ['activity'], sql: 'idle' },
] as const
/** Of visitors with one, two or three events, as most are, two or three is a difference. The last and more is one. */
export const STEPS = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256, 512, 1024, 2048] as const

export const ALL_KINDS: readonly { readonly kind: string; readonly names: readonly string[] }[] = [
  ...EVENT_FAMILIES,
  ...VISITOR_FAMILIES,
]

export type Feature = {
  readonly kind: string
  readonly value: string
  /** Seen so often at least. */
  readonly times: number
}

/** Whether a field that `exclude` names brings the feature. */
export function isOf(name: string, { kind, value }: Feature): boolean {
  if (kind === 'attr') return name === `attr.${/^[a-z0-9_]*/.exec(value)?.[0]}`
  return ALL_KINDS.some((family) => family.kind === kind && family.names.includes(name))
}

const QUANTITIES: Readonly<Record<string, string>> = {
  events: 'events',
  days: 'days',
  pages: 'pages',
  again: 'returns to a page',
  idle_days: 'days since the last event',
}

/** As people read it: `page news.example/cars, 4 times or more`. */
export function nameOf({ kind, value, times }: Feature): string {
  const quantity = QUANTITIES[kind]
  if (quantity !== undefined) return `${value} ${quantity} or more`
  const [, name, about] = /^([a-z0-9_]+)~(-?\d+|-)$/.exec(value) ?? []
  const told =
    kind === 'value' || kind === 'dwell' ? sizeName(value) : kind === 'attr' && about ? `${name} ${sizeName(about)}` : value
  return `${kind} ${told}${times > 1 ? `, ${times} times or more` : ''}`
}
