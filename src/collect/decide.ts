// What becomes of one request and of each event in it: pure decisions, given the headers and `now`. The first reason to refuse ends the walk.

import { LIMITS } from '../core/limits.ts'
import { ALL_PERMISSIONS, type PermissionSet, permits } from '../core/permissions.ts'
import { parseMoment } from '../core/time.ts'
import { type EventFields, type FieldRules, parseFields } from '../event/fields.ts'
import { parsePage } from '../event/page.ts'
import type { Source } from '../settings/load.ts'

/** Accepted and not kept; the sender has done nothing wrong and is told nothing. Each is a label of `madeleine_events_dropped_total`. */
export const DROP_REASONS = ['bot', 'prefetch', 'opt_out', 'gpc', 'no_consent', 'consent_unread', 'no_store'] as const
export type DropReason = (typeof DROP_REASONS)[number]

/** The sender is wrong: `/e` answers 400 with field and message, the pixel counts it. */
export const REFUSAL_REASONS = [
  'invalid_field',
  'unknown_source',
  'host_not_allowed',
  'too_old',
  'in_future',
  'body_too_large',
] as const
export type RefusalReason = (typeof REFUSAL_REASONS)[number]

export type AcceptedEvent = {
  readonly kind: 'event'
  readonly tsMs: number
  readonly source: string
  readonly permissions: PermissionSet
  readonly fields: EventFields
  readonly ignored: readonly string[]
}
export type Decision =
  | AcceptedEvent
  | { readonly kind: 'drop'; readonly reason: DropReason }
  | { readonly kind: 'refused'; readonly reason: RefusalReason; readonly field: string; readonly message: string }

export type Sender = 'browser' | 'server' | 'import'
export type EventInput = {
  readonly sender: Sender
  readonly form: FieldRules['form']
  /** Every parameter, as a mapping of names to values. */
  readonly given: Readonly<Record<string, unknown>>
  /** Where the page's address is when the sender gave none: the Referer. */
  readonly referer: string | undefined
  /** The request carried the API key: `ts` is believed. Imports always are. */
  readonly keyed: boolean
  readonly nowMs: number
}

export type DecideSettings = {
  readonly sources: ReadonlyMap<string, Source>
  readonly noSignal: 'allow' | 'deny'
  readonly retentionMs: number
}

export type RequestSignals = {
  readonly bot: boolean
  readonly optedOut: boolean
  /** `Sec-GPC` and `Sec-Purpose` as received. */
  readonly gpc: string | undefined
  readonly purpose: string | undefined
}

/** Reasons that concern the whole browser request. Repeated headers reach us as one list, of which one `1` is enough. */
export function dropRequest({ bot, optedOut, gpc, purpose }: RequestSignals): DropReason | undefined {
  if (bot) return 'bot'
  if (purpose?.includes('prefetch')) return 'prefetch'
  if (optedOut) return 'opt_out'
  if (gpc?.split(',').some((value) => value.trim() === '1')) return 'gpc'
  return undefined
}

const said = (value: unknown): boolean => value !== undefined && value !== null && value !== ''

/**
 * Consent strings are not read in this version: an event that brings one is not kept, because taking it for a yes could be wrong.
 * `gdpr=0` says that no string is needed.
 */
function permissionsOf({ given, sender }: EventInput, source: Source, noSignal: 'allow' | 'deny'): PermissionSet | DropReason {
  const signal = said(given['gdpr_consent']) || said(given['gpp']) || said(given['gpp_sid']) || said(given['us_privacy'])
  if (signal || (said(given['gdpr']) && String(given['gdpr']) !== '0')) return 'consent_unread'
  if (sender !== 'browser') return permits(source.permissions, 'store') ? source.permissions : 'no_store'
  return noSignal === 'allow' ? ALL_PERMISSIONS : 'no_consent'
}

const hostBelongs = (host: string, allowed: readonly string[]): boolean =>
  allowed.some((name) => host === name || host.endsWith(`.${name}`))

const refused = (reason: RefusalReason, field: string, message: string): Decision => ({ kind: 'refused', reason, field, message })

export function decideEvent(input: EventInput, settings: DecideSettings): Decision {
  const { sender, given, keyed, nowMs } = input
  const source = typeof given['source'] === 'string' ? settings.sources.get(given['source']) : undefined
  if (!source) return refused('unknown_source', 'source', 'is not declared in sources.yaml')

  const permissions = permissionsOf(input, source, settings.noSignal)
  if (typeof permissions === 'string') return { kind: 'drop', reason: permissions }

  // A Referer that is no web page (an app's) says nothing; a `url` that is none is a mistake of the sender's.
  const fallback = input.referer !== undefined && parsePage(input.referer) ? input.referer : undefined
  const url = said(given['url']) ? given['url'] : fallback
  const parsed = parseFields(Object.entries(url === undefined ? given : { ...given, url }), {
    form: input.form,
    derived: sender === 'browser',
  })
  if (!parsed.ok) return refused('invalid_field', parsed.problem.field, parsed.problem.message)
  const { fields, ignored } = parsed
  if (sender === 'browser' && source.hosts && !hostBelongs(fields.host, source.hosts))
    return refused('host_not_allowed', 'url', `is not on a host of source ${source.id}`)

  let tsMs = nowMs
  if (keyed && said(given['ts'])) {
    const moment = parseMoment(given['ts'])
    if (moment === undefined) return refused('invalid_field', 'ts', 'must be ISO 8601 with a zone, or whole milliseconds')
    if (moment <= nowMs - settings.retentionMs) return refused('too_old', 'ts', 'is older than the retention')
    if (moment > nowMs + LIMITS.futureMs) return refused('in_future', 'ts', 'is more than 5 minutes ahead')
    tsMs = moment
  }
  return {
    kind: 'event',
    tsMs,
    source: source.id,
    permissions,
    fields,
    ignored: keyed || !said(given['ts']) ? ignored : [...ignored, 'ts'],
  }
}
