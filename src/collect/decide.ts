// What becomes of one request and of each event in it: pure decisions, given the headers and `now`. The first reason to refuse ends the walk.

import { CONSENT_REFUSALS, type ConsentSignals, decideConsent } from '../consent/signals.ts'
import { LIMITS } from '../core/limits.ts'
import { LIMITED_BIT, type PermissionSet, permits, SIGNALLED_BIT } from '../core/permissions.ts'
import { parseMoment } from '../core/time.ts'
import { type EventFields, type FieldRules, parseFields } from '../event/fields.ts'
import { parsePage } from '../event/page.ts'
import type { Source } from '../settings/load.ts'
import { type Classify, withCategories } from '../taxonomy/classify.ts'

/** Accepted and not kept; the sender has done nothing wrong and is told nothing. Each is a label of `madeleine_events_dropped_total`. */
export const DROP_REASONS = [
  'bot',
  'prefetch',
  'opt_out',
  ...CONSENT_REFUSALS,
  'no_store',
  'no_id',
  'rate_limited',
  'duplicate_order',
  'not_durable',
] as const
export type DropReason = (typeof DROP_REASONS)[number]

/** The sender is wrong: `/e` answers 400 with field and message, the pixel counts it. */
export const REFUSAL_REASONS = [
  'invalid_field',
  'unknown_source',
  'host_not_allowed',
  'too_old',
  'in_future',
  'body_too_large',
  'link_invalid',
] as const
export type RefusalReason = (typeof REFUSAL_REASONS)[number]

export type AcceptedEvent = {
  readonly kind: 'event'
  readonly tsMs: number
  readonly source: string
  /** With the bits that say how they came about. */
  readonly permissions: PermissionSet
  readonly receivers: readonly number[]
  readonly fields: EventFields
  readonly ignored: readonly string[]
}
export type Dropped = {
  readonly kind: 'drop'
  readonly reason: DropReason
  /** What the visitor has said no to, and when: it governs what the visitor did there before. Absent where nobody said anything. */
  readonly refused?: { readonly source: string; readonly tsMs: number }
}
export type Decision =
  | AcceptedEvent
  | Dropped
  | { readonly kind: 'refused'; readonly reason: RefusalReason; readonly field: string; readonly message: string }

export type Sender = 'browser' | 'server' | 'import'
export type EventInput = {
  readonly sender: Sender
  readonly form: FieldRules['form']
  /** Every parameter, as a mapping of names to values. */
  readonly given: Readonly<Record<string, unknown>>
  /** Where the page's address is when the sender gave none: the Referer. */
  readonly referer: string | undefined
  /** What the headers and the address of a browser say about consent. */
  readonly heard?: Heard
  /** The request carried the API key: `ts` is believed. Imports always are. */
  readonly keyed: boolean
  readonly nowMs: number
}

export type Heard = Pick<ConsentSignals, 'gpc' | 'dnt' | 'country'>
const NOTHING_HEARD: Heard = { gpc: undefined, dnt: undefined, country: undefined }

export type DecideSettings = {
  readonly sources: ReadonlyMap<string, Source>
  readonly retentionMs: number
  /** Absent where no rule classifies. */
  readonly classify?: Classify | undefined
}

export type RequestSignals = {
  readonly bot: boolean
  readonly optedOut: boolean
  /** `Sec-Purpose` as received. */
  readonly purpose: string | undefined
}

/** Reasons that concern the whole browser request. */
export function dropRequest({ bot, optedOut, purpose }: RequestSignals): DropReason | undefined {
  if (bot) return 'bot'
  if (purpose?.includes('prefetch')) return 'prefetch'
  if (optedOut) return 'opt_out'
  return undefined
}

const said = (value: unknown): boolean => value !== undefined && value !== null && value !== ''
/** A JSON number is as good as its text; anything else that is no text is no signal anyone could read, and so a refusal. */
const textOf = (value: unknown): string | undefined =>
  value === undefined || value === null || value === ''
    ? undefined
    : typeof value === 'string'
      ? value
      : typeof value === 'number'
        ? String(value)
        : '?'

/** The signals of an event, as its parameters and its request bring them. */
export const signalsOf = (given: Readonly<Record<string, unknown>>, heard: Heard): ConsentSignals => ({
  gdpr: textOf(given['gdpr']),
  gdprConsent: textOf(given['gdpr_consent']),
  gpp: textOf(given['gpp']),
  gppSid: textOf(given['gpp_sid']),
  usPrivacy: textOf(given['us_privacy']),
  gpc: heard.gpc,
  dnt: heard.dnt,
  country: heard.country,
})

/** Refusals that are the visitor's own word, and so govern what the visitor did before. */
const GOVERNING: ReadonlySet<DropReason> = new Set(['gpc', 'dnt', 'known_child', 'us_opt_out', 'consent_refused'])

type Allowed = { readonly permissions: PermissionSet; readonly receivers: readonly number[] }
const NOBODY: readonly number[] = []

function consentOf(input: EventInput, source: Source, tsMs: number): Allowed | Dropped {
  const isBrowser = input.sender === 'browser'
  const signals = signalsOf(input.given, input.heard ?? NOTHING_HEARD)
  const decision = decideConsent(signals, isBrowser ? source.consent : { ...source.consent, noSignal: 'allow' })
  if (decision.refusal !== undefined) {
    const { refusal: reason, signalled } = decision
    // What nobody has answered yet, or nobody can read, is no answer: it keeps this event out and says nothing about earlier ones.
    return signalled && GOVERNING.has(reason)
      ? { kind: 'drop', reason, refused: { source: source.id, tsMs } }
      : { kind: 'drop', reason }
  }
  if (!isBrowser && !decision.signalled)
    return permits(source.permissions, 'store')
      ? { permissions: source.permissions, receivers: NOBODY }
      : { kind: 'drop', reason: 'no_store' }
  const signalled = decision.signalled ? 1 << SIGNALLED_BIT : 0
  if (decision.receivers === 'any') return { permissions: decision.permissions | signalled, receivers: NOBODY }
  return { permissions: decision.permissions | signalled | (1 << LIMITED_BIT), receivers: decision.receivers }
}

const hostBelongs = (host: string, allowed: readonly string[]): boolean =>
  allowed.some((name) => host === name || host.endsWith(`.${name}`))

const refused = (reason: RefusalReason, field: string, message: string): Decision => ({ kind: 'refused', reason, field, message })

/** The categories of the operator's rules beside the event's own. In place: a copy would cost more than the classification. */
function classifyFields(fields: { category: EventFields['category'] } & EventFields, source: string, classify: Classify): void {
  fields.category = withCategories(fields.category, classify(fields, fields.keyword, source))
}

/** Made once: they are asked for with every event. */
const RULES = {
  derived: { query: { form: 'query', derived: true }, json: { form: 'json', derived: true } },
  given: { query: { form: 'query', derived: false }, json: { form: 'json', derived: false } },
} as const satisfies Record<string, Record<FieldRules['form'], FieldRules>>

export function decideEvent(input: EventInput, settings: DecideSettings): Decision {
  const { sender, given, keyed, nowMs } = input
  const source = typeof given['source'] === 'string' ? settings.sources.get(given['source']) : undefined
  if (!source) return refused('unknown_source', 'source', 'is not declared in sources.yaml')

  const moment = keyed && said(given['ts']) ? parseMoment(given['ts']) : nowMs
  if (moment === undefined) return refused('invalid_field', 'ts', 'must be ISO 8601 with a zone, or whole milliseconds')
  const tsMs = moment
  if (tsMs <= nowMs - settings.retentionMs) return refused('too_old', 'ts', 'is older than the retention')
  if (tsMs > nowMs + LIMITS.futureMs) return refused('in_future', 'ts', 'is more than 5 minutes ahead')

  // A Referer that is no web page (an app's) says nothing; a `url` that is none is a mistake of the sender's.
  const page = input.referer !== undefined && !said(given['url']) ? parsePage(input.referer) : undefined
  const parsed = parseFields(given, RULES[sender === 'browser' ? 'derived' : 'given'][input.form], page)
  if (!parsed.ok) return refused('invalid_field', parsed.problem.field, parsed.problem.message)
  const { fields, ignored } = parsed
  if (sender === 'browser' && source.hosts && !hostBelongs(fields.host, source.hosts))
    return refused('host_not_allowed', 'url', `is not on a host of source ${source.id}`)

  // Last, because a refusal ends what the visitor did there before: whoever may not send for a source may not say no for its visitors either.
  const consent = consentOf(input, source, tsMs)
  if ('kind' in consent) return consent
  if (settings.classify) classifyFields(fields, source.id, settings.classify)
  return {
    kind: 'event',
    tsMs,
    source: source.id,
    permissions: consent.permissions,
    receivers: consent.receivers,
    fields,
    ignored: keyed || !said(given['ts']) ? ignored : [...ignored, 'ts'],
  }
}
