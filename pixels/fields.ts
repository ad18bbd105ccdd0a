// Turns what a page hands over into the fields of an event (contract 2.1 and 3). What JSON or the collector could not take is mended or left out here,
// field by field: the collector refuses a request whole, so one odd value would take its neighbours with it.

import { attempt } from './guard.ts'
import { ADDRESS_CHARS_MAX, ATTRIBUTES_MAX, ELEMENTS_MAX, TEXT_CHARS_MAX } from './limits.ts'

type Scalar = string | number | boolean
type Given = Scalar | readonly Scalar[]
/** What was given, as it was given. `null` and empty values stay until the event is written: they hide a default (`category: []` is "none for this event"). */
export type Fields = Record<string, Given | null>
/** What the collector takes. */
export type Event = Record<string, string | number | readonly string[]>

const isScalar = (value: unknown): value is Scalar =>
  typeof value === 'string' || typeof value === 'boolean' || Number.isFinite(value)

export function toFields(given: unknown, prefix = ''): Fields {
  const fields: Fields = {}
  if (typeof given !== 'object' || given === null || Array.isArray(given)) return fields
  for (const key of Object.keys(given)) {
    // A getter or proxy of the page may throw: that field is left out, the others are good.
    attempt(() => {
      const value: unknown = (given as Record<string, unknown>)[key]
      const name = prefix + key
      if (name === 'attr') Object.assign(fields, toFields(value, 'attr.'))
      else if (Array.isArray(value)) fields[name] = value.filter(isScalar)
      else if (value === null || isScalar(value)) fields[name] = value
    })
  }
  return fields
}

/** Of an event or an attribute. */
export const isName = (text: string): boolean => /^[a-z][a-z0-9_]{0,63}$/.test(text)

const cut = (text: string): string => text.slice(0, TEXT_CHARS_MAX)

/** Six places, and so no exponent: the smallest that is left is 0.000001. */
function toNumber(text: string): number | '' {
  const n = +(+text).toFixed(6)
  // A blank text is 0 to `Number`.
  return /\d/.test(text) && Math.abs(n) < 1e12 ? n : ''
}

const toList = (value: Given): string[] =>
  (typeof value === 'object' ? value : String(value).split(','))
    .map((element) => cut(String(element).trim()))
    .filter(Boolean)
    .slice(0, ELEMENTS_MAX)

/** Query and fragment may hold what must not travel (sessions, searches, addresses); the collector would drop them anyway. */
const toAddress = (text: string, isPage: boolean): string =>
  attempt(() => {
    const address = (isPage ? new URL(text, location.href) : new URL(text)).href.replace(/[?#].*/, '')
    return address.length > ADDRESS_CHARS_MAX || (isPage && !/^https?:/.test(address)) ? '' : address
  }) || ''

/** Empty: to be left out. A list where one text belongs is written as it would be in a query string, with commas. */
function mend(name: string, value: Given): string | number | string[] {
  const text = String(value)
  // `source` and the name are not a page's to override, and `events` would turn one event into a batch of others.
  if (!text || /^(source|events?)$/.test(name) || (/^attr\./.test(name) && !isName(name.slice(5)))) return ''
  if (/^(value|cost|dwell_ms)$/.test(name)) return toNumber(text)
  if (/^(category|keyword)$/.test(name)) return toList(value)
  if (/^(url|referrer)$/.test(name)) return toAddress(text, name === 'url')
  // Half a consent string would say something else; the collector sets these no limit.
  return /^g(dpr_consent|pp)$/.test(name) ? text : cut(text)
}

export function toEvent(source: string, event: string, fields: Fields): Event {
  const written: Event = { source, event }
  let attributes = 0
  for (const [name, value] of Object.entries(fields)) {
    const mended = value === null ? '' : mend(name, value)
    // '' and [] are both empty as text.
    if (String(mended) && (!/^attr\./.test(name) || attributes++ < ATTRIBUTES_MAX)) written[name] = mended
  }
  return written
}
