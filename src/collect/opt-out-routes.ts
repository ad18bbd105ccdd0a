// `/optout` and `/optin`: a page for people, a POST for it and for a site's tag, a status that anyone may read and that holds no id.
// A page can be made to send a POST by nobody but itself: our own page's counts for everything, a site's tag for that site only.

import type { IncomingHttpHeaders } from 'node:http'
import type { Context, Hono } from 'hono'
import type { VisitorId } from '../core/ids.ts'
import { ALL_PERMISSIONS } from '../core/permissions.ts'
import {
  endOptOutCookie,
  endVisitorCookies,
  optOutCookie,
  type RequestCookies,
  readCookies,
  siteCookies,
} from '../identity/cookie.ts'
import { idsOf } from '../identity/visitor.ts'
import type { SpoolNotes } from '../spool/spool.ts'
import { type CollectorParts, NOT_CACHED, refusedBySpool, tooLarge } from './answer.ts'
import type { Env } from './app.ts'
import { parseBody, readBodyText } from './body.ts'
import { bury, revive, takeBack } from './opt-out.ts'
import { optOutPage } from './opt-out-page.ts'

const PAGE_HEADERS = {
  ...NOT_CACHED,
  'content-security-policy':
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
  'referrer-policy': 'same-origin',
}
/** W3C Global Privacy Control: the support resource, with the day from which we have honoured it. */
const GPC_SUPPORT = { gpc: true, lastUpdate: '2026-11-22' }

/** Browsers send one of the two with every POST, and pages cannot forge either. Neither: no browser, so nobody's page. */
function isOwnPage({ origin, host, 'sec-fetch-site': site }: IncomingHttpHeaders): boolean {
  if (site !== undefined) return site === 'same-origin' || site === 'none'
  if (origin === undefined) return true
  return URL.canParse(origin) && new URL(origin).host === host
}

export function addOptOutRoutes(app: Hono<Env>, parts: CollectorParts): void {
  const { settings, spool, now, counts, signer, tombstones } = parts

  async function remember(notes: SpoolNotes): Promise<boolean> {
    if (notes.signals.length === 0) return true
    try {
      await spool.append([], notes)
      if (notes.tombstones) parts.shareTombstones(notes.tombstones)
      return true
    } catch (error) {
      refusedBySpool(counts, error, now())
      takeBack(notes, parts, now())
      return false
    }
  }

  const signedIds = (cookies: RequestCookies, nowMs: number): VisitorId[] => {
    const { global, partitioned } = idsOf({ cookies, firstPartyId: undefined, source: '' }, signer, nowMs)
    return [global, partitioned].filter((visitor) => visitor !== undefined)
  }

  const status = (headers: IncomingHttpHeaders) => {
    const cookies = readCookies(headers.cookie)
    const isKnownOut = signedIds(cookies, now()).some((visitor) => tombstones.has(visitor))
    return {
      opted_out: cookies.optedOut !== undefined || cookies.siteOptedOut !== undefined || isKnownOut,
      gpc: String(headers['sec-gpc'] ?? '')
        .split(',')
        .some((value) => value.trim() === '1'),
    }
  }

  /** The source a tag speaks for, if its page may. */
  function siteOf(origin: string | undefined, source: unknown): string | undefined {
    const known = typeof source === 'string' ? settings.sources.get(source) : undefined
    if (!known || origin === undefined || !URL.canParse(origin)) return undefined
    const { hostname } = new URL(origin)
    const isOurs = !known.hosts || known.hosts.some((host) => hostname === host || hostname.endsWith(`.${host}`))
    return isOurs || settings.allowedOrigins.includes(origin) ? known.id : undefined
  }

  function answer(c: Context<Env>, cookies: readonly string[], body: string | null): Response {
    const response = body === null ? c.body(null, 204, NOT_CACHED) : c.html(body, 200, PAGE_HEADERS)
    for (const cookie of cookies) response.headers.append('set-cookie', cookie)
    return response
  }
  const failed = (c: Context<Env>) => c.text('This could not be written down. Please try again.\n', 503, NOT_CACHED)

  async function change(c: Context<Env>, isOptOut: boolean): Promise<Response> {
    counts.requests.add(isOptOut ? 'optout' : 'optin')
    const nowMs = now()
    const { headers } = c.env.incoming
    const cookies = readCookies(headers.cookie)
    if (isOwnPage(headers)) {
      const turned = signedIds(cookies, nowMs).map((visitor) => (isOptOut ? bury : revive)(visitor, parts, nowMs))
      const notes = { signals: turned.map(({ signal }) => signal), tombstones: turned.map(({ tombstone }) => tombstone) }
      if (!(await remember(notes))) return failed(c)
      const set = isOptOut
        ? [optOutCookie(false, nowMs), ...endVisitorCookies(cookies)]
        : [endOptOutCookie(false), ...(cookies.siteOptedOut === undefined ? [] : [endOptOutCookie(true)])]
      return answer(c, set, optOutPage({ opted_out: isOptOut, gpc: status(headers).gpc }))
    }
    const text = await readBodyText(c.env.incoming)
    if (text === undefined) return tooLarge(c)
    const body = parseBody(text)
    const given = body.ok ? (body.events[0] ?? {}) : {}
    const source = siteOf(headers.origin, given['source'])
    if (source === undefined)
      return c.json(
        { error: 'only this site’s own page, or the tag on a page of a declared source, may ask for this' },
        403,
        NOT_CACHED,
      )
    const firstPartyId = typeof given['fpid'] === 'string' ? given['fpid'] : undefined
    const { global, partitioned, firstParty } = idsOf({ cookies, firstPartyId, source }, signer, nowMs)
    const turned = partitioned ? [(isOptOut ? bury : revive)(partitioned, parts, nowMs)] : []
    const signals = turned.map(({ signal }) => signal)
    // The person's own word about this site, either way; a consent platform's next answer is newer again.
    const permissions = isOptOut ? 0 : ALL_PERMISSIONS
    for (const visitor of [global, firstParty])
      if (visitor) signals.push({ tsMs: nowMs, visitor, source, permissions, receivers: [] })
    if (!(await remember({ signals, tombstones: turned.map(({ tombstone }) => tombstone) }))) return failed(c)
    const set = isOptOut ? [optOutCookie(true, nowMs), ...endVisitorCookies(siteCookies(cookies))] : [endOptOutCookie(true)]
    return answer(c, set, null)
  }

  for (const route of ['/optout', '/optin'])
    app.get(route, (c) => c.html(optOutPage(status(c.env.incoming.headers)), 200, PAGE_HEADERS))
  app.post('/optout', (c) => change(c, true))
  app.post('/optin', (c) => change(c, false))
  app.get('/optout/status', (c) => {
    const { headers } = c.env.incoming
    // Any page may ask whether its reader has opted out: a yes or a no, and nothing that tells two readers apart.
    const cors =
      headers.origin === undefined
        ? {}
        : { 'access-control-allow-origin': headers.origin, 'access-control-allow-credentials': 'true', vary: 'Origin' }
    return c.json(status(headers), 200, { ...NOT_CACHED, ...cors })
  })
  app.get('/.well-known/gpc.json', (c) =>
    c.json(GPC_SUPPORT, 200, { 'access-control-allow-origin': '*', 'cache-control': 'public, max-age=86400' }),
  )
}
