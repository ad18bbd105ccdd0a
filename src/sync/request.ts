// What a request brings that syncs ids: whether anyone stands behind it, what was said about consent, and which ids the browser has.

import type { IncomingMessage } from 'node:http'
import type { CollectorParts } from '../collect/answer.ts'
import { signalsOf } from '../collect/decide.ts'
import { type BrowserRequest, readBrowserRequest } from '../collect/request.ts'
import type { ConsentPolicy, ConsentSignals } from '../consent/signals.ts'
import type { VisitorId } from '../core/ids.ts'
import { endVisitorCookies, siteCookies, uidsCookie } from '../identity/cookie.ts'
import { idsOf, recognise } from '../identity/visitor.ts'
import { type Gate, openGate } from './gate.ts'
import type { Partners } from './partners.ts'
import { readUids, type Uids, writeUids } from './uids.ts'

/** What the configuration says of syncing. */
export type SyncSettings = {
  readonly partners: Partners
  readonly consent: ConsentPolicy
  readonly perPage: number
  readonly publicUrl: string | undefined
  /** Of the ids by which partners know visitors. */
  readonly key: string
}

export type SyncRequest = {
  readonly nowMs: number
  readonly browser: BrowserRequest
  readonly signals: ConsentSignals
  readonly gate: Gate
  readonly isOptedOut: boolean
  /** The opt-out is the browser's, and not one site's. */
  readonly isOptedOutEverywhere: boolean
  /** Nobody: a declared robot, a page that was fetched ahead, a look at the headers. Answered, and nothing more. */
  readonly isRobot: boolean
  readonly uids: Uids
}

/** The browser keeps cookies apart by site, and says so. */
const isApart = ({ storageAccess }: BrowserRequest): boolean => storageAccess === 'none' || storageAccess === 'inactive'

export function readSyncRequest(
  incoming: IncomingMessage,
  given: Readonly<Record<string, unknown>>,
  parts: CollectorParts,
  { consent }: SyncSettings,
  nowMs: number,
): SyncRequest {
  const { signer, tombstones } = parts
  const browser = readBrowserRequest(incoming, false, parts)
  const { cookies, heard, dropped } = browser
  const signals = signalsOf(given, heard)
  const uids = readUids(isApart(browser) ? cookies.partitionedUids : cookies.uids, nowMs)
  const { global, partitioned } = idsOf({ cookies, firstPartyId: undefined, source: '' }, signer, nowMs)
  const isBuried = (visitor: VisitorId | undefined) => visitor !== undefined && tombstones.has(visitor)
  const isOptedOutEverywhere = cookies.optedOut !== undefined || uids.isOptedOut || isBuried(global)
  return {
    nowMs,
    browser,
    signals,
    gate: openGate(signals, consent),
    isOptedOut: isOptedOutEverywhere || cookies.siteOptedOut !== undefined || isBuried(partitioned),
    isOptedOutEverywhere,
    isRobot: browser.agent.bot || dropped === 'prefetch' || incoming.method === 'HEAD',
    uids,
  }
}

export type Known = { readonly visitor: VisitorId | undefined; readonly setCookies: readonly string[] }

/** The visitor; a new one where the browser shows that it will keep the cookie. To be asked only where consent allows it. */
export function identify({ browser, nowMs }: SyncRequest, { signer, counts }: CollectorParts, most: 'known' | 'new'): Known {
  const { cookies, storageAccess, agent } = browser
  const identity = recognise(
    {
      cookies,
      storageAccess,
      isFirefox: agent.browser === 'Firefox',
      firstPartyId: undefined,
      isFirstPartyIdKnown: false,
      source: '',
      // No way round: a browser that brings nothing and says nothing is nobody here, and known after its next pixel.
      round: 'came_back',
    },
    signer,
    nowMs,
  )
  counts.foreignCookies += identity.foreign
  const isTaken = identity.kind === 'known' || (identity.kind === 'new' && most === 'new')
  return isTaken ? identity : { visitor: undefined, setCookies: [] }
}

/** The cookie of partners' ids as it is to be; removed where nothing is left in it. */
export function setUids(entries: Uids['entries'], { browser }: SyncRequest): string {
  return uidsCookie(writeUids(entries), isApart(browser))
}

/** Removes what a browser still carries that has opted out, or says no of itself. */
export function endCookies({ browser, isOptedOut, isOptedOutEverywhere, gate }: SyncRequest): readonly string[] {
  const isBrowsersWord = gate.kind === 'closed' && (gate.refusal === 'gpc' || gate.refusal === 'dnt')
  if (isOptedOutEverywhere || isBrowsersWord) return endVisitorCookies(browser.cookies)
  return isOptedOut ? endVisitorCookies(siteCookies(browser.cookies)) : []
}
