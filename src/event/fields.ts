// What a sender may say about an event, from a query string, a JSON object or an imported row, checked field by field.
// One reader for all of them: a field means the same whichever way it came.

import { parseDecimal } from '../core/decimal.ts'
import { isEventName } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import { attrName, DEVICES, type Event, FIELD_TYPES, isFieldName, NO_PAGE, type Page } from './event.ts'
import { isHost, parsePage, parseReferrerHost } from './page.ts'
import { scrubText } from './scrub.ts'

/** An event without what the receiver decides: who, when, under which permissions, and from where. */
export type EventFields = Omit<Event, 'ts' | 'visitor' | 'scope' | 'permissions' | 'receivers' | 'source'>

/** What the receiver decides. */
export type Received = Pick<Event, 'ts' | 'visitor' | 'scope' | 'permissions' | 'receivers' | 'source'>
/** What a browser's headers and its address say of it. */
export type FromHeaders = Pick<Event, 'device' | 'browser' | 'os' | 'language' | 'country' | 'region'>

/** The whole event. Takes `fields` over: the caller must not use them again. Copied by name: Object.assign costs a microsecond on the pixel's path. */
export function completeEvent(fields: EventFields, received: Received, headers?: FromHeaders): Event {
  const event = fields as { -readonly [K in keyof Event]: Event[K] }
  event.ts = received.ts
  event.visitor = received.visitor
  event.scope = received.scope
  event.permissions = received.permissions
  event.receivers = received.receivers
  event.source = received.source
  if (headers) {
    event.device = headers.device
    event.browser = headers.browser
    event.os = headers.os
    event.language = headers.language
    event.country = headers.country
    event.region = headers.region
  }
  return event
}

export type FieldProblem = { readonly field: string; readonly message: string }

export type ParsedFields =
  | { readonly ok: true; readonly fields: EventFields; readonly ignored: readonly string[] }
  | { readonly ok: false; readonly problem: FieldProblem }

export type FieldRules = {
  /** `query`: all values are texts, lists are comma-separated. `json`: values have their types. */
  readonly form: 'query' | 'json'
  /** Browser hits: device, browser, os, country, region and language are derived, never taken. */
  readonly derived: boolean
}

/** Read by the receiver, not fields of the event itself. `cb` is the usual name of an ad server's cache buster. */
const META: ReadonlySet<string> = new Set([
  'source',
  'visitor',
  'ts',
  'fpid',
  'fpid_known',
  'gdpr',
  'gdpr_consent',
  'gpp',
  'gpp_sid',
  'us_privacy',
  'cb',
])
const DERIVED: ReadonlySet<string> = new Set(['device', 'browser', 'os', 'country', 'region', 'language'])
const FROM_URL: ReadonlySet<string> = new Set(['host', 'path'])

class Invalid extends Error {
  readonly field: string
  constructor(field: string, message: string) {
    super(message)
    this.field = field
  }
}

function text(field: string, value: unknown): string {
  if (typeof value !== 'string') throw new Invalid(field, 'must be text')
  if (value.length > LIMITS.textChars) throw new Invalid(field, `is longer than ${LIMITS.textChars} characters`)
  return value.toWellFormed()
}

function list(field: string, value: unknown, form: FieldRules['form']): string[] {
  const elements = form === 'query' && typeof value === 'string' ? value.split(',') : typeof value === 'string' ? [value] : value
  if (!Array.isArray(elements)) throw new Invalid(field, 'must be a list of texts')
  if (elements.length > LIMITS.listElements) throw new Invalid(field, `has more than ${LIMITS.listElements} elements`)
  return elements.map((element) => text(field, element).trim()).filter((element) => element !== '')
}

function number(field: string, value: unknown, form: FieldRules['form']): bigint {
  const written =
    typeof value === 'number' ? String(value) : form === 'query' && typeof value === 'string' ? value.trim() : undefined
  if (written === undefined) throw new Invalid(field, 'must be a number')
  const parsed = parseDecimal(written)
  if (parsed === undefined) throw new Invalid(field, 'must be a decimal with at most 12 digits before and 6 after the point')
  return parsed
}

/** Numbers and switches are common in properties; they are kept as the text a sender would have written. */
function attribute(field: string, value: unknown): string {
  return scrubText(text(field, typeof value === 'number' || typeof value === 'boolean' ? String(value) : value))
}

type Draft = { -readonly [K in keyof EventFields]: EventFields[K] } & { attr: Record<string, string> }

// With places for what completeEvent fills in: an object that keeps its shape is twice as cheap on the pixel's path as one copied with more keys.
const emptyDraft = (): Draft & Record<keyof Received, unknown> => ({
  ts: 0,
  visitor: '',
  source: '',
  scope: 'global',
  permissions: 0,
  receivers: [],
  event: 'page_view',
  ...NO_PAGE,
  referrer_host: '',
  category: [],
  keyword: [],
  attr: {},
  device: '',
  browser: '',
  os: '',
  country: '',
  region: '',
  language: '',
  campaign: '',
  creative: '',
  placement: '',
  order_id: '',
  currency: '',
  value: null,
  cost: null,
  dwell_ms: null,
})

function setAttribute(draft: Draft, name: string, value: unknown): void {
  if (Object.keys(draft.attr).length >= LIMITS.attributes) throw new Invalid('attr', `has more than ${LIMITS.attributes} names`)
  const kept = attribute(`attr.${name}`, value)
  if (kept !== '') draft.attr[name] = kept
}

function setPage(draft: Draft, { origin, url, host, path }: Page): void {
  draft.origin = origin
  draft.url = url
  draft.host = host
  draft.path = path
}

/** Takes one field into the draft. False where nobody knows the name. */
function take(draft: Draft, field: string, value: unknown, { form }: FieldRules): boolean {
  switch (field) {
    case 'event':
      if (!isEventName(value))
        throw new Invalid('event', 'must be a lower-case letter and at most 63 letters, digits or `_` after it')
      draft.event = value
      return true
    case 'url': {
      const page = typeof value === 'string' ? parsePage(value) : undefined
      if (!page) throw new Invalid('url', 'must be an http or https address')
      setPage(draft, page)
      return true
    }
    case 'referrer': {
      const host = typeof value === 'string' ? parseReferrerHost(value) : undefined
      if (host === undefined) throw new Invalid('referrer', 'must be an address')
      draft.referrer_host = host
      return true
    }
    case 'referrer_host':
      if (typeof value !== 'string' || !isHost(value)) throw new Invalid('referrer_host', 'must be a host name')
      draft.referrer_host = value
      return true
    case 'device':
      if (!(DEVICES as readonly unknown[]).includes(value)) throw new Invalid('device', `must be one of ${DEVICES.join(', ')}`)
      draft.device = value as string
      return true
  }
  const attr = attrName(field)
  if (attr !== undefined) {
    setAttribute(draft, attr, value)
    return true
  }
  if (field === 'attr' && form === 'json' && typeof value === 'object' && value !== null && !Array.isArray(value)) {
    for (const [name, inner] of Object.entries(value)) {
      if (attrName(`attr.${name}`) === undefined) throw new Invalid('attr', 'has a name that is no `[a-z][a-z0-9_]{0,63}`')
      if (inner !== null && inner !== undefined) setAttribute(draft, name, inner)
    }
    return true
  }
  if (!isFieldName(field)) return false
  switch (FIELD_TYPES[field]) {
    case 'text':
      draft[field as 'campaign'] = text(field, value)
      return true
    case 'number':
      draft[field as 'value'] = number(field, value, form)
      return true
    case 'list': {
      const elements = list(field, value, form)
      draft[field as 'keyword'] = field === 'keyword' ? elements.map(scrubText) : elements
      return true
    }
  }
}

const NOTHING_IGNORED: readonly string[] = []

/**
 * Absent, null and the empty text all mean "not said". The first field that is wrong ends the reading: the event is refused whole. `page`: the page where
 * the sender names none.
 */
export function parseFields(given: Readonly<Record<string, unknown>>, rules: FieldRules, page: Page = NO_PAGE): ParsedFields {
  const draft = emptyDraft()
  let ignored = NOTHING_IGNORED
  try {
    for (const field in given) {
      const value = given[field]
      if (META.has(field) || value === '' || value === null || value === undefined) continue
      if ((rules.derived && DERIVED.has(field)) || FROM_URL.has(field) || !take(draft, field, value, rules))
        ignored = [...ignored, field]
    }
    if (draft.url === '') setPage(draft, page)
  } catch (error) {
    if (error instanceof Invalid) return { ok: false, problem: { field: error.field, message: error.message } }
    throw error
  }
  return { ok: true, fields: draft, ignored }
}
