// The cookie `uids` as Prebid Server writes it (usersync/cookie.go): padded base64url of `{"tempUIDs": {partner: {uid, expires}}}`. It is not signed, so it is
// believed about the browser that sent it and nothing else; what cannot be read holds nothing.

import { DAY_MS } from '../core/duration.ts'
import { LIMITS } from '../core/limits.ts'
import { parseMoment } from '../core/time.ts'
import { type PartnerKey, type PartnerUid, parsePartnerKey, parsePartnerUid } from '../identity/matches.ts'

/** usersync/cookie.go: `uidTTL`. */
export const UID_LIFE_MS = 14 * DAY_MS

export type Uid = {
  /** '': the partner was told our id and tells us none of its own. */
  readonly uid: PartnerUid | ''
  readonly expiresMs: number
}

export type Uids = {
  readonly entries: ReadonlyMap<PartnerKey, Uid>
  /** Prebid Server's own opt-out, in a cookie that it wrote. */
  readonly isOptedOut: boolean
}

export const NO_UIDS: Uids = { entries: new Map(), isOptedOut: false }

const isMapping = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** What is live of it. */
export function readUids(cookie: string | undefined, nowMs: number): Uids {
  if (cookie === undefined || cookie.length > LIMITS.uidsCookieChars || !/^[\w-]+={0,2}$/.test(cookie)) return NO_UIDS
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(cookie, 'base64url').toString('utf8'))
  } catch {
    return NO_UIDS
  }
  if (!isMapping(value)) return NO_UIDS
  const entries = new Map<PartnerKey, Uid>()
  for (const [name, entry] of Object.entries(isMapping(value['tempUIDs']) ? value['tempUIDs'] : {})) {
    const key = parsePartnerKey(name)
    if (!key || !isMapping(entry)) continue
    const uid = entry['uid'] === '' ? '' : parsePartnerUid(entry['uid'])
    const expiresMs = typeof entry['expires'] === 'string' ? parseMoment(entry['expires']) : undefined
    if (uid === undefined || expiresMs === undefined || expiresMs <= nowMs) continue
    // No entry of ours ends later than a life from now: one that does would not be due for years.
    if (expiresMs > nowMs + UID_LIFE_MS + LIMITS.futureMs) continue
    entries.set(key, { uid, expiresMs })
  }
  return { entries, isOptedOut: value['optout'] === true }
}

/** Padded base64url; Go sorts the names of a mapping and writes whole seconds without a fraction. */
export function encodeUids(entries: Uids['entries']): string {
  const tempUIDs = Object.fromEntries(
    [...entries]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, { uid, expiresMs }]) => [key, { uid, expires: `${new Date(expiresMs).toISOString().slice(0, 19)}Z` }]),
  )
  return Buffer.from(JSON.stringify({ tempUIDs })).toString('base64').replaceAll('+', '-').replaceAll('/', '_')
}

/** With the oldest entries left out until a browser would keep the cookie. Undefined where none is left. */
export function writeUids(entries: Uids['entries']): string | undefined {
  const kept = [...entries].sort(([, a], [, b]) => b.expiresMs - a.expiresMs)
  for (; kept.length > 0; kept.pop()) {
    const encoded = encodeUids(new Map(kept))
    if (encoded.length <= LIMITS.uidsCookieChars) return encoded
  }
  return undefined
}

/** '' ends the entry. */
export function withUid(uids: Uids, key: PartnerKey, uid: PartnerUid | '', nowMs: number): Uids['entries'] {
  const entries = new Map(uids.entries)
  entries.delete(key)
  if (uid !== '') entries.set(key, { uid, expiresMs: nowMs + UID_LIFE_MS })
  return entries
}

/** Partners who were told our id and answer none: remembered, so that they are not told again with every page view. */
export function withPushes(uids: Uids, keys: readonly PartnerKey[], nowMs: number): Uids['entries'] {
  const entries = new Map(uids.entries)
  for (const key of keys) if (!entries.get(key)?.uid) entries.set(key, { uid: '', expiresMs: nowMs + UID_LIFE_MS })
  return entries
}

export const syncedAtMs = (uid: Uid): number => uid.expiresMs - UID_LIFE_MS
