// The visitor cookie: `<uuid>.<day>.<signature>`. The day (since 1970, base 36) says when it was last set, so that its life slides without a
// Set-Cookie on every hit. An id that does not carry our signature is never taken for one: it is replaced.

import { createHmac, timingSafeEqual } from 'node:crypto'
import { parseCookie, stringifySetCookie } from 'cookie'
import { LRUCache } from 'lru-cache'
import { v4 as randomUuid } from 'uuid'
import { DAY_MS } from '../core/duration.ts'
import { parseVisitorId, type VisitorId } from '../core/ids.ts'

export const VISITOR_COOKIE = '__Host-mid'
/** Where the browser keeps third-party cookies apart by site: the id of one browser on one site. */
export const PARTITIONED_COOKIE = '__Host-midp'
export const OPT_OUT_COOKIE = '__Host-mopt'
/** The opt-out that a site's own tag asked for, where cookies are kept apart by site: it speaks for that site only. */
export const SITE_OPT_OUT_COOKIE = '__Host-moptp'
/** The ids that partners gave the browser, as Prebid Server keeps them (sync/uids.ts); the second where cookies are kept apart by site. */
export const UIDS_COOKIE = 'uids'
export const PARTITIONED_UIDS_COOKIE = 'uidsp'
/** Contract 3. */
export const COOKIE_DAYS = 90
/** As long as browsers keep a cookie (RFC 6265bis caps it at 400 days). */
export const OPT_OUT_DAYS = 400
/** 128 bits of HMAC-SHA256 in base64url. */
const SIGNATURE_CHARS = 22

export type CookieVisitor =
  | { readonly kind: 'known'; readonly visitor: VisitorId; readonly refresh: boolean }
  | { readonly kind: 'none' }
  /** A value that is not ours (damaged, forged, signed with another key), or one that has outlived its cookie. */
  | { readonly kind: 'foreign' }

export type CookieSigner = {
  sign(visitor: VisitorId, nowMs: number): string
  verify(value: string, nowMs: number): CookieVisitor
}

export const newVisitor = (): VisitorId => randomUuid() as VisitorId

/** `keys`: the ring, asked each time, so that it may turn while we run. The first signs, all verify. */
export function makeSigner(keys: () => readonly string[]): CookieSigner {
  const signature = (signed: string, key: string): string =>
    createHmac('sha256', key).update(signed).digest('base64url').slice(0, SIGNATURE_CHARS)
  // A page sends several hits with one cookie within seconds; the second costs a look-up instead of a hash.
  const verified = new LRUCache<string, { readonly visitor: VisitorId; readonly day: number; readonly key: string }>({
    max: 50_000,
  })
  function keyOf(signed: string, given: Buffer): string | undefined {
    return keys().find((key) => {
      const expected = Buffer.from(signature(signed, key))
      return given.length === expected.length && timingSafeEqual(given, expected)
    })
  }
  return {
    sign(visitor, nowMs) {
      const signed = `${visitor}.${Math.floor(nowMs / DAY_MS).toString(36)}`
      return `${signed}.${signature(signed, keys()[0] ?? '')}`
    },
    verify(value, nowMs) {
      const today = Math.floor(nowMs / DAY_MS)
      let seen = verified.get(value)
      if (!seen) {
        const end = value.lastIndexOf('.')
        const visitor = parseVisitorId(value.slice(0, 36))
        const dayText = value.slice(37, end)
        if (!visitor || value[36] !== '.' || !/^[0-9a-z]{1,6}$/.test(dayText)) return { kind: 'foreign' }
        const key = keyOf(value.slice(0, end), Buffer.from(value.slice(end + 1)))
        if (key === undefined) return { kind: 'foreign' }
        seen = { visitor, day: Number.parseInt(dayText, 36), key }
        verified.set(value, seen)
      }
      if (seen.day < today - COOKIE_DAYS) return { kind: 'foreign' }
      return { kind: 'known', visitor: seen.visitor, refresh: seen.day < today || seen.key !== keys()[0] }
    },
  }
}

/** Values as they came, not yet verified. */
export type RequestCookies = {
  readonly visitor: string | undefined
  readonly partitioned: string | undefined
  /** The opt-out that speaks for the browser, and the one that speaks for the site. */
  readonly optedOut: string | undefined
  readonly siteOptedOut: string | undefined
  readonly uids: string | undefined
  readonly partitionedUids: string | undefined
}

const NO_COOKIES: RequestCookies = {
  visitor: undefined,
  partitioned: undefined,
  optedOut: undefined,
  siteOptedOut: undefined,
  uids: undefined,
  partitionedUids: undefined,
}

export function readCookies(header: string | undefined): RequestCookies {
  if (header === undefined) return NO_COOKIES
  const cookies = parseCookie(header)
  return {
    visitor: cookies[VISITOR_COOKIE],
    partitioned: cookies[PARTITIONED_COOKIE],
    optedOut: cookies[OPT_OUT_COOKIE],
    siteOptedOut: cookies[SITE_OPT_OUT_COOKIE],
    uids: cookies[UIDS_COOKIE],
    partitionedUids: cookies[PARTITIONED_UIDS_COOKIE],
  }
}

function setCookie(name: string, value: string, maxAgeDays: number, partitioned: boolean): string {
  const maxAge = (maxAgeDays * DAY_MS) / 1_000
  const common = { name, value, path: '/', maxAge, httpOnly: true, secure: true, sameSite: 'none' } as const
  // As it is: nothing we set needs encoding, and Prebid Server writes the padding of base64 plainly too.
  return stringifySetCookie(partitioned ? { ...common, partitioned } : common, { encode: String })
}

export const visitorCookie = (value: string, partitioned: boolean): string =>
  setCookie(partitioned ? PARTITIONED_COOKIE : VISITOR_COOKIE, value, COOKIE_DAYS, partitioned)

/** Without a value it is removed. */
export const uidsCookie = (value: string | undefined, partitioned: boolean): string =>
  setCookie(partitioned ? PARTITIONED_UIDS_COOKIE : UIDS_COOKIE, value ?? '', value === undefined ? 0 : COOKIE_DAYS, partitioned)

/** An opt-out holds no id: the word, and the day it was last written, so that it is not written with every answer. */
export const optOutCookie = (partitioned: boolean, nowMs: number): string =>
  setCookie(
    partitioned ? SITE_OPT_OUT_COOKIE : OPT_OUT_COOKIE,
    `OPT_OUT.${Math.floor(nowMs / DAY_MS).toString(36)}`,
    OPT_OUT_DAYS,
    partitioned,
  )

/** Browsers forget after 400 days at most: an opt-out that is still in use is written again, once a day. */
export const isOptOutStale = (value: string, nowMs: number): boolean =>
  value !== `OPT_OUT.${Math.floor(nowMs / DAY_MS).toString(36)}`

/** Everything by which the browser is known, to us and to partners. A partitioned cookie is only removed with the attribute, and from the site it lies under (measured in Chromium 156). */
export const endVisitorCookies = ({ visitor, partitioned, uids, partitionedUids }: RequestCookies): string[] => [
  ...(visitor === undefined ? [] : [setCookie(VISITOR_COOKIE, '', 0, false)]),
  ...(partitioned === undefined ? [] : [setCookie(PARTITIONED_COOKIE, '', 0, true)]),
  ...(uids === undefined ? [] : [setCookie(UIDS_COOKIE, '', 0, false)]),
  ...(partitionedUids === undefined ? [] : [setCookie(PARTITIONED_UIDS_COOKIE, '', 0, true)]),
]
/** What lies under one site: a word about that site leaves the others their cookies. */
export const siteCookies = (cookies: RequestCookies): RequestCookies => ({ ...cookies, visitor: undefined, uids: undefined })
export const endOptOutCookie = (partitioned: boolean): string =>
  setCookie(partitioned ? SITE_OPT_OUT_COOKIE : OPT_OUT_COOKIE, '', 0, partitioned)
