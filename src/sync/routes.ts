// `/sync`, `/setuid`, `/cookie_sync` and `/getuids`. What becomes of each is decided beside (set-uid.ts, choose.ts, target.ts); here it is read, kept and
// answered. A match is durable before `/setuid` says yes.

import type { Context, Hono } from 'hono'
import { type CollectorParts, corsHeaders, NOT_CACHED, preflightHeaders, refusedBySpool } from '../collect/answer.ts'
import type { Env } from '../collect/app.ts'
import { parseQuery, readBodyText } from '../collect/body.ts'
import { LIMITS } from '../core/limits.ts'
import { idForPartner } from '../identity/partner-id.ts'
import { ownOrigin } from './address.ts'
import { OMISSION_WORDS, parseCookieSync } from './cookie-sync.ts'
import { offerSyncs } from './offer.ts'
import { countSync, type SyncOutcome } from './outcomes.ts'
import { syncPage, syncPagePolicy } from './page.ts'
import type { KnownPartner } from './partners.ts'
import { endCookies, identify, readSyncRequest, type SyncRequest, type SyncSettings, setUids } from './request.ts'
import { decideSetUid, malformedSignals } from './set-uid.ts'
import { fillTarget, parseTarget } from './target.ts'
import { withUid } from './uids.ts'

/** One transparent point. */
const PNG = Uint8Array.from(
  Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAAC0lEQVR42mNgAAIAAAUAAen63NgAAAAASUVORK5CYII=', 'base64'),
)
/** What is told to a page that may read it is told to no other: not as a script or a picture either. */
const PRIVATE = { ...NOT_CACHED, 'cross-origin-resource-policy': 'same-origin' }
const WITHOUT_REFERRER = { ...NOT_CACHED, 'referrer-policy': 'no-referrer' }

export function addSyncRoutes(app: Hono<Env>, parts: CollectorParts, syncing: SyncSettings): void {
  const { settings, spool, now, counts } = parts
  const { partners } = syncing
  const tell = (partner: KnownPartner | undefined, outcome: SyncOutcome) => countSync(counts, partner, outcome)
  const queryOf = (c: Context<Env>) => parseQuery((c.env.incoming.url ?? '').split('?').slice(1).join('?'))
  const read = (c: Context<Env>, given: Readonly<Record<string, unknown>>) =>
    readSyncRequest(c.env.incoming, given, parts, syncing, now())
  const withCookies = (response: Response, cookies: readonly string[]): Response => {
    for (const cookie of cookies) response.headers.append('set-cookie', cookie)
    return response
  }

  app.get('/setuid', async (c) => {
    counts.requests.add('setuid')
    const given = queryOf(c)
    const request = read(c, given)
    const decision = decideSetUid(given, request, partners)
    if (decision.kind === 'refused') {
      const { status, message, partner } = decision
      tell(partner, status === 401 ? 'opted_out' : status === 451 ? 'refused' : 'invalid')
      return withCookies(c.text(`${message}\n`, status, NOT_CACHED), endCookies(request))
    }
    const { partner, uid, image } = decision
    const answer = () =>
      image
        ? c.body(PNG, 200, { ...NOT_CACHED, 'content-type': 'image/png' })
        : c.body('', 200, { ...NOT_CACHED, 'content-type': 'text/html', 'content-length': '0' })
    if (request.isRobot) {
      tell(partner, 'robot')
      return answer()
    }
    const { nowMs } = request
    // Nobody gets an id for the sake of a match that ends.
    const { visitor, setCookies } = identify(request, parts, uid === '' ? 'known' : 'new')
    try {
      const match = { tsMs: nowMs, visitor, partner: partner.key, partnerId: uid }
      if (visitor) await spool.append([], { signals: [], matches: [{ ...match, visitor }] })
    } catch (error) {
      refusedBySpool(counts, error, nowMs)
      tell(partner, 'failed')
      return c.text('the match could not be made durable; send it again\n', 503, NOT_CACHED)
    }
    tell(partner, visitor === undefined ? 'no_visitor' : uid === '' ? 'ended' : 'stored')
    return withCookies(answer(), [...setCookies, setUids(withUid(request.uids, partner.key, uid, nowMs), request)])
  })

  for (const [route, method] of [
    ['/cookie_sync', 'POST'],
    ['/getuids', 'GET'],
  ] as const)
    app.options(route, (c) => c.body(null, 204, preflightHeaders(method, settings.allowedOrigins, c.env.incoming.headers.origin)))

  app.post('/cookie_sync', async (c) => {
    counts.requests.add('cookie_sync')
    const headers = { ...PRIVATE, ...corsHeaders(settings.allowedOrigins, c.env.incoming.headers.origin) }
    const text = await readBodyText(c.env.incoming)
    if (text === undefined)
      return c.json({ error: `the body is larger than ${LIMITS.requestBytes} bytes` }, 413, { ...headers, connection: 'close' })
    const body = parseCookieSync(text, syncing.perPage)
    const request = read(c, body.ok ? body.given : {})
    if (request.isOptedOut) {
      tell(undefined, 'opted_out')
      return withCookies(c.json({ error: 'this browser has opted out' }, 401, headers), endCookies(request))
    }
    const wrong = body.ok ? malformedSignals(request.signals) : body.message
    if (!body.ok || wrong !== undefined) {
      tell(undefined, 'invalid')
      return c.json({ error: wrong }, 400, headers)
    }
    const { syncs, omitted, setCookies } = offerSyncs(request, body.ask, c.env.incoming.headers.host, parts, syncing)
    const answer = {
      status: [...request.uids.entries.values()].some(({ uid }) => uid !== '') ? 'ok' : 'no_cookie',
      bidder_status: syncs.map(({ partner, address }) => ({
        bidder: partner.key,
        no_cookie: true,
        usersync: { url: address, type: partner.sync?.type },
      })),
      ...(body.debug ? { debug: omitted.map(({ name, why }) => ({ bidder: name, error: OMISSION_WORDS[why] })) } : {}),
    }
    return withCookies(c.json(answer, 200, headers), [...endCookies(request), ...setCookies])
  })

  app.get('/getuids', (c) => {
    counts.requests.add('getuids')
    const request = read(c, queryOf(c))
    const isAllowed = !request.isOptedOut && request.gate.kind === 'open'
    const uids = isAllowed ? [...request.uids.entries].filter(([, { uid }]) => uid !== '') : []
    const headers = { ...PRIVATE, ...corsHeaders(settings.allowedOrigins, c.env.incoming.headers.origin) }
    return c.json({ buyeruids: Object.fromEntries(uids.map(([key, { uid }]) => [key, uid])) }, 200, headers)
  })

  /** A partner asks who this is: the browser goes back to it with the id it has there, or with an empty one. */
  function sendBack(c: Context<Env>, redir: string, request: SyncRequest): Response {
    const target = parseTarget(redir, partners)
    if (!target) {
      tell(undefined, 'unregistered')
      return c.text('redir is no address on an origin that a partner has registered\n', 400, NOT_CACHED)
    }
    const { partner, address } = target
    const { gate } = request
    const may = !request.isOptedOut && !request.isRobot && gate.kind === 'open' && gate.maySync(partner)
    const { visitor, setCookies } = may
      ? identify(request, parts, 'new')
      : { visitor: undefined, setCookies: endCookies(request) }
    tell(partner, visitor === undefined ? 'answered_empty' : 'answered')
    const id = visitor === undefined ? '' : idForPartner(syncing.key, partner.key, visitor)
    return withCookies(c.body(null, 302, { ...WITHOUT_REFERRER, location: fillTarget(address, id) }), setCookies)
  }

  app.get('/sync', (c) => {
    counts.requests.add('sync')
    const given = queryOf(c)
    const request = read(c, given)
    if (given['redir'] !== undefined) return sendBack(c, given['redir'], request)
    const ask = { names: undefined, coop: true, limit: syncing.perPage, allows: () => true }
    const { host } = c.env.incoming.headers
    const { syncs, setCookies } = offerSyncs(request, ask, host, parts, syncing)
    const headers = {
      ...WITHOUT_REFERRER,
      'content-security-policy': syncPagePolicy(syncs, ownOrigin(syncing.publicUrl, host) ?? "'self'"),
      'permissions-policy': 'camera=(), geolocation=(), microphone=()',
    }
    return withCookies(c.html(syncPage(syncs), 200, headers), [...endCookies(request), ...setCookies])
  })
}
