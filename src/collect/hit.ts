// What one browser request leads to: events to keep, refusals to write down, cookies to answer with. Decided before anything is written; the routes
// only act on it. An id is made for nobody whose event is not kept.

import { type ConsentSignal, EVERYWHERE } from '../consent/standing.ts'
import type { VisitorId } from '../core/ids.ts'
import type { Event } from '../event/event.ts'
import { completeEvent } from '../event/fields.ts'
import { type CookieSigner, endVisitorCookies, type RequestCookies, siteCookies } from '../identity/cookie.ts'
import type { Tombstones } from '../identity/tombstones.ts'
import { firstPartyVisitor, type Identity, type IdentityRequest, idsOf, recognise } from '../identity/visitor.ts'
import type { SpoolNotes } from '../spool/spool.ts'
import type { AcceptedEvent, Decision, Dropped } from './decide.ts'
import { type OptOutParts, optOutOf } from './opt-out.ts'
import type { RateLimiter } from './rate-limit.ts'
import type { BrowserRequest } from './request.ts'

export type HitParts = OptOutParts & {
  readonly signer: CookieSigner
  readonly tombstones: Tombstones
  /** Undefined where nothing is limited. */
  readonly limiter: RateLimiter | undefined
}

/** An event as decided, with what was given for it: the tag's own id stands there. */
export type HitItem = { readonly decision: Decision; readonly given: Readonly<Record<string, unknown>> }

export type Hit = {
  readonly events: readonly Event[]
  readonly decisions: readonly Decision[]
  readonly notes: SpoolNotes | undefined
  readonly setCookies: readonly string[]
  /** The browser is to be sent round once more, and nothing is kept yet. */
  readonly askAgain: boolean
  readonly foreignCookies: number
  /** Of the ids: for the debugger. */
  readonly identity: Identity | undefined
}

const NOTHING: readonly never[] = []

const firstPartyId = (given: Readonly<Record<string, unknown>>): string | undefined =>
  typeof given['fpid'] === 'string' ? given['fpid'] : undefined

function toEvent(
  { fields, tsMs, source, permissions, receivers }: AcceptedEvent,
  visitor: VisitorId,
  scope: Event['scope'],
  { agent, language, place }: BrowserRequest,
): Event {
  const { device, browser, os } = agent
  const { country, region } = place
  const received = { ts: tsMs, visitor, scope, source, permissions, receivers }
  return completeEvent(fields, received, { device, browser, os, language, country, region })
}

/** The refusals of a request, as far as they come from someone whose events we may hold. */
function refusals(items: readonly HitItem[], browser: BrowserRequest, parts: HitParts, nowMs: number): ConsentSignal[] {
  const signals: ConsentSignal[] = []
  for (const { decision, given } of items) {
    if (decision.kind !== 'drop' || decision.refused === undefined) continue
    const { source, tsMs } = decision.refused
    const ids = idsOf({ cookies: browser.cookies, firstPartyId: firstPartyId(given), source }, parts.signer, nowMs)
    const say = (visitor: VisitorId | undefined, where: string) => {
      if (visitor && parts.recentRefusals.isNew(visitor, where, tsMs))
        signals.push({ tsMs, visitor, source: where, permissions: 0, receivers: [] })
    }
    say(ids.firstParty, source)
    say(ids.partitioned, source)
    // What the browser itself says, it says everywhere, and its cookie ends with it: no later hit could say it for the other sites.
    say(ids.global, isBrowserWide(decision.reason) ? EVERYWHERE : source)
  }
  return signals
}

const isBrowserWide = (reason: Dropped['reason']): boolean => reason === 'gpc' || reason === 'dnt'

/** Whether an id of the request has opted out, whichever of them it would be known by. */
function isBuried(
  items: readonly HitItem[],
  { cookies }: BrowserRequest,
  { signer, tombstones }: HitParts,
  nowMs: number,
): boolean {
  if (tombstones.size === 0 || !items.some(({ decision }) => decision.kind === 'event')) return false
  const { global, partitioned } = idsOf({ cookies, firstPartyId: undefined, source: '' }, signer, nowMs)
  return (global !== undefined && tombstones.has(global)) || (partitioned !== undefined && tombstones.has(partitioned))
}

const dropAll = (decisions: readonly Decision[], reason: Dropped['reason']): Decision[] =>
  decisions.map((decision) => (decision.kind === 'event' ? { kind: 'drop', reason } : decision))

/** Nothing is kept but what `more` says. */
const keptNothing = (decisions: readonly Decision[], more: Partial<Hit> = {}): Hit => ({
  events: NOTHING,
  decisions,
  notes: undefined,
  setCookies: NOTHING,
  askAgain: false,
  foreignCookies: 0,
  identity: undefined,
  ...more,
})

/** Everything was refused or dropped, by the events themselves. */
function refuseHit(decisions: readonly Decision[], notes: SpoolNotes | undefined, cookies: RequestCookies): Hit {
  const refused = decisions.filter((decision) => decision.kind === 'drop' && decision.refused !== undefined) as Dropped[]
  if (refused.length === 0) return keptNothing(decisions, { notes })
  // A browser that says it of itself says it everywhere; what a page says holds for that page's site, and other sites keep their cookie.
  const isWide = refused.some(({ reason }) => isBrowserWide(reason))
  return keptNothing(decisions, {
    notes,
    setCookies: endVisitorCookies(isWide ? cookies : siteCookies(cookies)),
  })
}

export function resolveHit(
  items: readonly HitItem[],
  browser: BrowserRequest,
  parts: HitParts,
  { round, nowMs }: { readonly round: IdentityRequest['round']; readonly nowMs: number },
): Hit {
  const { cookies, dropped, storageAccess, agent } = browser
  if (dropped !== undefined) {
    const decisions = items.map((): Decision => ({ kind: 'drop', reason: dropped }))
    return keptNothing(decisions, dropped === 'opt_out' ? optOutOf(items, browser, parts, nowMs) : {})
  }
  const decisions = items.map(({ decision }) => decision)
  if (isBuried(items, browser, parts, nowMs))
    return keptNothing(dropAll(decisions, 'opt_out'), optOutOf(items, browser, parts, nowMs))
  const signals = decisions.some(({ kind }) => kind === 'drop') ? refusals(items, browser, parts, nowMs) : NOTHING
  const notes = signals.length > 0 ? { signals } : undefined
  const first = items.find(({ decision }) => decision.kind === 'event')
  if (first?.decision.kind !== 'event') return refuseHit(decisions, notes, cookies)
  const { source } = first.decision
  const isFirefox = agent.browser === 'Firefox'
  const ownId = firstPartyId(first.given)
  const isFirstPartyIdKnown = first.given['fpid_known'] === 1
  const request = { cookies, storageAccess, isFirefox, firstPartyId: ownId, isFirstPartyIdKnown, source, round }
  const identity = recognise(request, parts.signer, nowMs)
  const seen = { identity, foreignCookies: identity.foreign, notes }
  if (identity.kind === 'none') return keptNothing(dropAll(decisions, 'no_id'), seen)
  if (identity.kind === 'ask_again') return keptNothing(decisions, { ...seen, setCookies: identity.setCookies, askAgain: true })
  const limiter = browser.keyed ? undefined : parts.limiter
  const events: Event[] = []
  for (let n = 0; n < items.length; n++) {
    const { decision, given } = items[n] as HitItem
    if (decision.kind !== 'event') continue
    // On a site's own id each event counts for the site that it names.
    const own =
      identity.scope === 'first_party' ? firstPartyVisitor(firstPartyId(given) ?? ownId ?? '', decision.source) : undefined
    const visitor = own ?? identity.visitor
    if (limiter && !limiter.take(browser.network, visitor)) {
      decisions[n] = { kind: 'drop', reason: 'rate_limited' }
      continue
    }
    parts.recentRefusals.forget(visitor, decision.source)
    events.push(toEvent(decision, visitor, identity.scope, browser))
  }
  if (events.length === 0) return keptNothing(decisions, seen)
  // Written out: this is every hit's way, and a spread costs more than the rest of it.
  return {
    events,
    decisions,
    notes,
    setCookies: identity.setCookies,
    askAgain: false,
    foreignCookies: identity.foreign,
    identity,
  }
}
