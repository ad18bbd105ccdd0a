// The JSON body of /e and /v1/events: one event, or a list of events with defaults (contract 3).

import { LIMITS } from '../core/limits.ts'

export type Body =
  | { readonly ok: true; readonly events: readonly Readonly<Record<string, unknown>>[] }
  | { readonly ok: false; readonly message: string }

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export function parseBody(text: string): Body {
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    return { ok: false, message: 'is not JSON' }
  }
  if (!isObject(body)) return { ok: false, message: 'must be an event, or {"events": [...]}' }
  if (!('events' in body)) return { ok: true, events: [body] }
  const { events, ...defaults } = body
  if (!Array.isArray(events)) return { ok: false, message: '`events` must be a list' }
  if (events.length > LIMITS.requestEvents) return { ok: false, message: `more than ${LIMITS.requestEvents} events` }
  if (!events.every(isObject))
    return { ok: false, message: `event ${events.findIndex((event) => !isObject(event))} is no object` }
  return { ok: true, events: events.map((event) => ({ ...defaults, ...event })) }
}
