// What an opt-out does at collection: ids that still arrive are ended, remembered as tombstones, and their events governed by a signal that says no.
// `__Host-mopt` and a tombstone of a browser's id speak for everything; `__Host-moptp` and an id of one site speak for that site.

import { LRUCache } from 'lru-cache'
import { type ConsentSignal, EVERYWHERE } from '../consent/standing.ts'
import type { VisitorId } from '../core/ids.ts'
import { ALL_PERMISSIONS } from '../core/permissions.ts'
import { type CookieSigner, endVisitorCookies, isOptOutStale, optOutCookie, siteCookies } from '../identity/cookie.ts'
import type { Tombstone, Tombstones } from '../identity/tombstones.ts'
import { idsOf } from '../identity/visitor.ts'
import type { SpoolNotes } from '../spool/spool.ts'
import type { HitItem } from './hit.ts'
import type { BrowserRequest } from './request.ts'

/** Refusals written down lately: a page sends many hits, and one row says it for all of them. */
export type RecentRefusals = {
  /** `tsMs`: a replay says them in the order of their own times, not of ours. */
  isNew(visitor: VisitorId, source: string, tsMs: number): boolean
  /** The visitor has said yes since, so the next no is a new one. */
  forget(visitor: VisitorId, source: string): void
}

/** Another collector may have heard a yes in between: after a minute a no is written down again. */
const RECENT_MS = 60_000

export function makeRecentRefusals(): RecentRefusals {
  const recent = new LRUCache<string, number>({ max: 20_000, ttl: RECENT_MS })
  return {
    isNew(visitor, source, tsMs) {
      const key = `${visitor}${source}`
      const last = recent.get(key)
      if (last !== undefined && Math.abs(tsMs - last) < RECENT_MS) return false
      recent.set(key, tsMs)
      return true
    },
    forget(visitor, source) {
      if (recent.size > 0) recent.delete(`${visitor}${source}`)
    },
  }
}

export type OptOutParts = {
  readonly signer: CookieSigner
  readonly tombstones: Tombstones
  readonly recentRefusals: RecentRefusals
}

export type OptOutOutcome = {
  readonly notes: { readonly signals: ConsentSignal[]; readonly tombstones: Tombstone[] } | undefined
  readonly setCookies: readonly string[]
}

/** Ends an id everywhere: remembered, and its events governed. */
export function bury(visitor: VisitorId, parts: OptOutParts, nowMs: number): { signal: ConsentSignal; tombstone: Tombstone } {
  return {
    signal: { tsMs: nowMs, visitor, source: EVERYWHERE, permissions: 0, receivers: [] },
    tombstone: parts.tombstones.set(visitor, true, nowMs),
  }
}

/** Takes an opt-out back. What was collected before it counts again, as far as the newest signals of its sites allow. */
export function revive(visitor: VisitorId, parts: OptOutParts, nowMs: number): { signal: ConsentSignal; tombstone: Tombstone } {
  return {
    signal: { tsMs: nowMs, visitor, source: EVERYWHERE, permissions: ALL_PERMISSIONS, receivers: [] },
    tombstone: parts.tombstones.set(visitor, false, nowMs),
  }
}

/** What could not be written down has not been said: the next hit says it again. */
export function takeBack(notes: SpoolNotes, parts: OptOutParts, nowMs: number): void {
  parts.tombstones.load(
    (notes.tombstones ?? []).map((tombstone) => ({
      ...tombstone,
      isOptedOut: tombstone.wasOptedOut ?? !tombstone.isOptedOut,
    })),
    nowMs,
  )
  for (const { visitor, source } of notes.signals) parts.recentRefusals.forget(visitor, source)
}

const sourceOf = (decision: HitItem['decision']): string | undefined =>
  decision.kind === 'event' ? decision.source : decision.kind === 'drop' ? decision.refused?.source : undefined

/** Of a hit that was dropped because its browser, its site or its id has opted out. */
export function optOutOf(items: readonly HitItem[], browser: BrowserRequest, parts: OptOutParts, nowMs: number): OptOutOutcome {
  const { cookies } = browser
  const firstPartyId = items.flatMap(({ given }) => (typeof given['fpid'] === 'string' ? given['fpid'] : []))[0]
  // Declared sources only: what nobody declared was refused before.
  const sources = new Set(items.flatMap(({ decision }) => sourceOf(decision) ?? []))
  const { global, partitioned } = idsOf({ cookies, firstPartyId: undefined, source: '' }, parts.signer, nowMs)
  const isGlobal = cookies.optedOut !== undefined || (global !== undefined && parts.tombstones.has(global))
  const signals: ConsentSignal[] = []
  const tombstones: Tombstone[] = []
  for (const visitor of [partitioned, isGlobal ? global : undefined]) {
    if (visitor === undefined || parts.tombstones.has(visitor)) continue
    const { signal, tombstone } = bury(visitor, parts, nowMs)
    signals.push(signal)
    tombstones.push(tombstone)
  }
  for (const source of sources) {
    const { firstParty } = idsOf({ cookies, firstPartyId, source }, parts.signer, nowMs)
    // The browser's id serves other sites, which nobody has spoken about: it is silenced on this one.
    for (const visitor of [firstParty, isGlobal ? undefined : global])
      if (visitor && parts.recentRefusals.isNew(visitor, source, nowMs))
        signals.push({ tsMs: nowMs, visitor, source, permissions: 0, receivers: [] })
  }
  const said = isGlobal ? cookies.optedOut : cookies.siteOptedOut
  const again = said === undefined || isOptOutStale(said, nowMs) ? [optOutCookie(!isGlobal, nowMs)] : []
  return {
    notes: signals.length + tombstones.length > 0 ? { signals, tombstones } : undefined,
    setCookies: [...again, ...endVisitorCookies(isGlobal ? cookies : siteCookies(cookies))],
  }
}
