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
/** Contract 3: 90 days. */
const MAX_AGE_S = 7_776_000
/** 128 bits of HMAC-SHA256 in base64url. */
const SIGNATURE_CHARS = 22

export type CookieVisitor =
  | { readonly kind: 'known'; readonly visitor: VisitorId; readonly refresh: boolean }
  | { readonly kind: 'none' }
  /** A value that is not ours: damaged, forged, or signed with another key. */
  | { readonly kind: 'foreign' }

export type CookieSigner = {
  sign(visitor: VisitorId, nowMs: number): string
  verify(value: string, nowMs: number): CookieVisitor
}

export const newVisitor = (): VisitorId => randomUuid() as VisitorId

export function makeSigner(key: string): CookieSigner {
  const signature = (signed: string): string =>
    createHmac('sha256', key).update(signed).digest('base64url').slice(0, SIGNATURE_CHARS)
  // A page sends several hits with one cookie within seconds; the second costs a look-up instead of a hash.
  const verified = new LRUCache<string, { readonly visitor: VisitorId; readonly day: number }>({ max: 50_000 })
  return {
    sign(visitor, nowMs) {
      const signed = `${visitor}.${Math.floor(nowMs / DAY_MS).toString(36)}`
      return `${signed}.${signature(signed)}`
    },
    verify(value, nowMs) {
      const today = Math.floor(nowMs / DAY_MS)
      let seen = verified.get(value)
      if (!seen) {
        const end = value.lastIndexOf('.')
        const visitor = parseVisitorId(value.slice(0, 36))
        const dayText = value.slice(37, end)
        if (!visitor || value[36] !== '.' || !/^[0-9a-z]{1,6}$/.test(dayText)) return { kind: 'foreign' }
        const given = Buffer.from(value.slice(end + 1))
        const expected = Buffer.from(signature(value.slice(0, end)))
        if (given.length !== expected.length || !timingSafeEqual(given, expected)) return { kind: 'foreign' }
        seen = { visitor, day: Number.parseInt(dayText, 36) }
        verified.set(value, seen)
      }
      return { kind: 'known', visitor: seen.visitor, refresh: seen.day < today }
    },
  }
}

/** Values as they came, not yet verified. */
export type RequestCookies = {
  readonly visitor: string | undefined
  readonly partitioned: string | undefined
  readonly optedOut: boolean
}

export function readCookies(header: string | undefined): RequestCookies {
  if (header === undefined) return { visitor: undefined, partitioned: undefined, optedOut: false }
  const cookies = parseCookie(header)
  return {
    visitor: cookies[VISITOR_COOKIE],
    partitioned: cookies[PARTITIONED_COOKIE],
    optedOut: cookies[OPT_OUT_COOKIE] !== undefined,
  }
}

export const visitorCookie = (value: string, partitioned: boolean): string =>
  stringifySetCookie({
    name: partitioned ? PARTITIONED_COOKIE : VISITOR_COOKIE,
    value,
    path: '/',
    maxAge: MAX_AGE_S,
    httpOnly: true,
    secure: true,
    sameSite: 'none',
    ...(partitioned ? { partitioned } : {}),
  })
