// The JSON body of /e and /v1/events: one event, or a list of events with defaults (contract 3).

import type { IncomingMessage } from 'node:http'
import { LIMITS } from '../core/limits.ts'

export type Body =
  | { readonly ok: true; readonly events: readonly Readonly<Record<string, unknown>>[] }
  | { readonly ok: false; readonly message: string }

/**
 * The body as text; undefined where it is larger than the limit: then the rest of it has not been read, and the answer must close the connection (`tooLarge`). Read from Node's own request: a web Request with its stream costs 0.12 ms for each beacon
 * (CPU profile of the demo's traffic).
 */
export async function readBodyText(incoming: IncomingMessage): Promise<string | undefined> {
  if (Number(incoming.headers['content-length'] ?? 0) > LIMITS.requestBytes) return undefined
  const chunks: Buffer[] = []
  let bytes = 0
  // Not destroyed when we leave: a connection whose request was destroyed while its body was coming answers nobody any more, and is not closed either.
  for await (const chunk of incoming.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > LIMITS.requestBytes) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** A signal that was given is not taken back by an empty one beside it: of several, what restricts most must be seen. */
const CONSENT_NAMES: ReadonlySet<string> = new Set(['gdpr', 'gdpr_consent', 'gpp', 'gpp_sid', 'us_privacy'])

/** As URLSearchParams decodes, which costs twice as much; it is asked where something is encoded that is no UTF-8. */
function decoded(text: string): string {
  if (!text.includes('%') && !text.includes('+')) return text
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return new URLSearchParams(`v=${text}`).get('v') ?? ''
  }
}

/** The parameters of a query string. The last of a repeated name counts; repeated consent signals are all kept, as one text that nobody takes for a yes. */
export function parseQuery(query: string): Record<string, string> {
  const given: Record<string, string> = Object.create(null)
  for (let start = 0; start < query.length; ) {
    let end = query.indexOf('&', start)
    if (end < 0) end = query.length
    let equals = query.indexOf('=', start)
    if (equals < 0 || equals > end) equals = end
    if (end > start) {
      const name = decoded(query.slice(start, equals))
      const value = decoded(query.slice(equals + 1, end))
      const before = given[name]
      if (before === undefined || before === '' || !CONSENT_NAMES.has(name)) {
        if (before === undefined || value !== '' || !CONSENT_NAMES.has(name)) given[name] = value
      } else if (value !== '') given[name] = `${before},${value}`
    }
    start = end + 1
  }
  return given
}

function withDefaults(defaults: Readonly<Record<string, unknown>>, event: Record<string, unknown>): Record<string, unknown> {
  const merged = { ...defaults, ...event }
  for (const name of CONSENT_NAMES) {
    const [first, own] = [defaults[name], event[name]]
    if (first !== undefined && first !== null && first !== '' && (own === null || own === '')) merged[name] = first
  }
  return merged
}

export function parseBody(text: string): Body {
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    return { ok: false, message: 'is not JSON' }
  }
  if (!isObject(body)) return { ok: false, message: 'must be an event, or {"events": [...]}' }
  if (!('events' in body)) return hasTooManyKeys(body) ? TOO_MANY_KEYS : { ok: true, events: [body] }
  const { events, ...defaults } = body
  if (!Array.isArray(events)) return { ok: false, message: '`events` must be a list' }
  if (events.length > LIMITS.requestEvents) return { ok: false, message: `more than ${LIMITS.requestEvents} events` }
  if (!events.every(isObject))
    return { ok: false, message: `event ${events.findIndex((event) => !isObject(event))} is no object` }
  if (hasTooManyKeys(defaults) || events.some(hasTooManyKeys)) return TOO_MANY_KEYS
  // Each event gets all defaults: a small body must not become a large one.
  if (JSON.stringify(defaults).length * events.length > LIMITS.expandedChars)
    return { ok: false, message: 'has too large defaults for so many events' }
  return { ok: true, events: events.map((event) => withDefaults(defaults, event)) }
}

const TOO_MANY_KEYS: Body = { ok: false, message: `has more than ${LIMITS.eventKeys} parameters in one event` }
const hasTooManyKeys = (event: Readonly<Record<string, unknown>>): boolean => Object.keys(event).length > LIMITS.eventKeys
