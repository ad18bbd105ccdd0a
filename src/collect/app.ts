// The collector's routes. Each answers only when its events are durable, or says why not.

import { createHash, timingSafeEqual } from 'node:crypto'
import type { HttpBindings } from '@hono/node-server'
import { type Context, Hono } from 'hono'
import { messageOf } from '../core/errors.ts'
import { parseVisitorId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import { log } from '../core/log.ts'
import type { Event } from '../event/event.ts'
import type { CookieSigner } from '../identity/cookie.ts'
import type { Spool } from '../spool/spool.ts'
import { parseBody, parseQuery, readBodyText } from './body.ts'
import { type CollectCounts, countDecision } from './counts.ts'
import { type AcceptedEvent, type DecideSettings, type Decision, decideEvent, type Sender } from './decide.ts'
import { metricsText } from './metrics.ts'
import { browserEvent, readBrowserRequest, readVisitor, serverEvent } from './request.ts'

type Env = { Bindings: HttpBindings }

export type CollectorParts = {
  readonly settings: DecideSettings & { readonly allowedOrigins: readonly string[] }
  readonly spool: Pick<Spool, 'append' | 'counts'>
  readonly signer: CookieSigner
  readonly apiKey: string | undefined
  readonly tag: string
  readonly now: () => number
  readonly counts: CollectCounts
}

/** The smallest transparent GIF: an image, because `<img>` fires `error` on an empty answer. */
const GIF = Buffer.from('R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7', 'base64')
const NOT_CACHED = {
  'cache-control': 'no-store, no-cache, must-revalidate, private, max-age=0',
  pragma: 'no-cache',
  expires: '0',
  'cross-origin-resource-policy': 'cross-origin', // a page with COEP require-corp blocks the image without it
  'x-content-type-options': 'nosniff',
}
const GIF_HEADERS = { ...NOT_CACHED, 'content-type': 'image/gif', 'content-length': String(GIF.length) }

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()

export function makeCollector(parts: CollectorParts): Hono<Env> {
  const { settings, spool, signer, now, counts } = parts
  const expected = parts.apiKey === undefined ? undefined : digest(`Bearer ${parts.apiKey}`)
  const hasKey = (authorization: string | undefined): boolean =>
    expected !== undefined && authorization !== undefined && timingSafeEqual(digest(authorization), expected)

  /** False where the disk did not take them. */
  async function keep(events: readonly Event[], nowMs: number): Promise<boolean> {
    if (events.length === 0) return true
    try {
      await spool.append(events, nowMs)
      return true
    } catch (error) {
      log.error({ err: messageOf(error) }, 'events refused: the spool cannot be written')
      return false
    }
  }

  const app = new Hono<Env>()

  app.get('/p.gif', async (c) => {
    const { headers, url = '' } = c.env.incoming
    const nowMs = now()
    // Not c.body(), which fills a Headers object that is only taken apart again for Node.
    const image = (status: 200 | 503, cookie?: string) =>
      new Response(GIF, { status, headers: cookie === undefined ? GIF_HEADERS : { ...GIF_HEADERS, 'set-cookie': cookie } })
    if (c.env.incoming.method === 'HEAD') return image(200) // asks for headers only: nobody has seen a page
    counts.requests.add('p.gif')
    const keyed = hasKey(headers.authorization)
    const browser = readBrowserRequest(headers, keyed)
    const query = url.indexOf('?')
    const decision: Decision = browser.dropped
      ? { kind: 'drop', reason: browser.dropped }
      : decideEvent(
          {
            sender: 'browser',
            form: 'query',
            given: parseQuery(query < 0 ? '' : url.slice(query + 1)),
            referer: headers.referer,
            keyed,
            nowMs,
          },
          settings,
        )
    if (decision.kind !== 'event') {
      countDecision(counts, decision)
      return image(200)
    }
    const visitor = readVisitor(browser, signer, nowMs)
    if (!(await keep([browserEvent(decision, visitor.id, browser)], nowMs))) return image(503)
    countDecision(counts, decision)
    return image(200, visitor.setCookie)
  })

  type Refusal = { readonly index: number; readonly field: string; readonly reason: string; readonly message: string }
  const refuse = (c: Context<Env>, refusal: Refusal) =>
    c.json({ error: `event ${refusal.index}: ${refusal.field} ${refusal.message}`, ...refusal }, 400, NOT_CACHED)

  type Item = { readonly accepted: AcceptedEvent; readonly given: Readonly<Record<string, unknown>> }

  /** A server says who its events are of; a browser's cookie does. */
  function decideInBody(
    given: Readonly<Record<string, unknown>>,
    sender: Sender,
    referer: string | undefined,
    keyed: boolean,
    nowMs: number,
  ): Decision {
    if (sender === 'server' && !parseVisitorId(given['visitor']))
      return { kind: 'refused', reason: 'invalid_field', field: 'visitor', message: 'must be a UUID' }
    return decideEvent({ sender, form: 'json', given, referer, keyed, nowMs }, settings)
  }

  /** Every event of a body, or the answer that refuses the body whole. */
  async function readEvents(c: Context<Env>, sender: Sender, keyed: boolean, nowMs: number): Promise<readonly Item[] | Response> {
    const text = await readBodyText(c.env.incoming)
    if (text === undefined) {
      counts.dropped.add('body_too_large')
      // The rest of the body is not read: the connection cannot carry another request.
      return c.json({ error: `the body is larger than ${LIMITS.requestBytes} bytes` }, 413, {
        ...NOT_CACHED,
        connection: 'close',
      })
    }
    const body = parseBody(text)
    if (!body.ok) {
      counts.dropped.add('invalid_field:body')
      return c.json(
        { error: `body ${body.message}`, field: 'body', reason: 'invalid_field', message: body.message },
        400,
        NOT_CACHED,
      )
    }
    const { referer } = c.env.incoming.headers
    const decided = body.events.map((given) => ({ given, decision: decideInBody(given, sender, referer, keyed, nowMs) }))
    for (const [index, { decision }] of decided.entries()) {
      if (decision.kind !== 'refused') continue
      countDecision(counts, decision)
      return refuse(c, { index, field: decision.field, reason: decision.reason, message: decision.message })
    }
    return decided.flatMap(({ decision, given }) => {
      if (decision.kind === 'event') return [{ accepted: decision, given }]
      countDecision(counts, decision)
      return []
    })
  }

  async function answer(
    c: Context<Env>,
    events: readonly Event[],
    items: readonly Item[],
    nowMs: number,
    headers: Record<string, string>,
  ): Promise<Response> {
    if (!(await keep(events, nowMs)))
      return c.json({ error: 'the events could not be made durable; send them again' }, 503, headers)
    for (const { accepted } of items) countDecision(counts, accepted)
    return c.body(null, 204, headers)
  }

  /** Pages that read the answer need it; beacons do not. Only configured origins get it, by name. */
  function corsHeaders(origin: string | undefined): Record<string, string> {
    if (origin === undefined || !settings.allowedOrigins.includes(origin)) return {}
    return { 'access-control-allow-origin': origin, 'access-control-allow-credentials': 'true', vary: 'Origin' }
  }
  app.options('/e', (c) =>
    c.body(null, 204, {
      ...corsHeaders(c.env.incoming.headers.origin),
      'access-control-allow-methods': 'POST',
      'access-control-allow-headers': 'content-type',
      'access-control-max-age': '7200',
    }),
  )

  app.post('/e', async (c) => {
    const { headers } = c.env.incoming
    const nowMs = now()
    counts.requests.add('e')
    const answerHeaders = { ...NOT_CACHED, ...corsHeaders(headers.origin) }
    const keyed = hasKey(headers.authorization)
    const items = await readEvents(c, 'browser', keyed, nowMs)
    if (!Array.isArray(items)) return items as Response
    const browser = readBrowserRequest(headers, keyed)
    if (browser.dropped) for (const _ of items) counts.dropped.add(browser.dropped)
    if (browser.dropped || items.length === 0) return c.body(null, 204, answerHeaders)
    const visitor = readVisitor(browser, signer, nowMs)
    const cookie = visitor.setCookie === undefined ? {} : { 'set-cookie': visitor.setCookie }
    const events = items.map(({ accepted }) => browserEvent(accepted, visitor.id, browser))
    return answer(c, events, items, nowMs, { ...answerHeaders, ...cookie })
  })

  app.post('/v1/events', async (c) => {
    const nowMs = now()
    counts.requests.add('v1_events')
    if (!hasKey(c.env.incoming.headers.authorization))
      return c.json({ error: 'this route needs Authorization: Bearer and the API key' }, 401, {
        ...NOT_CACHED,
        connection: 'close',
      })
    const items = await readEvents(c, 'server', true, nowMs)
    if (!Array.isArray(items)) return items as Response
    const events = items.flatMap(({ accepted, given }) => {
      const visitor = parseVisitorId(given['visitor'])
      return visitor ? [serverEvent(accepted, visitor)] : []
    })
    return answer(c, events, items, nowMs, NOT_CACHED)
  })

  const tagTag = `"${digest(parts.tag).toString('base64url').slice(0, 20)}"`
  app.get('/t.js', (c) => {
    const headers = {
      'content-type': 'application/javascript; charset=utf-8',
      'cache-control': 'public, max-age=3600',
      etag: tagTag,
      'cross-origin-resource-policy': 'cross-origin',
      'x-content-type-options': 'nosniff',
    }
    return c.env.incoming.headers['if-none-match'] === tagTag ? c.body(null, 304, headers) : c.body(parts.tag, 200, headers)
  })
  app.get('/healthz', (c) => c.text('ok\n'))
  app.get('/metrics', async (c) =>
    c.body(await metricsText(counts, spool.counts), 200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }),
  )
  app.onError((error, c) => {
    const { incoming } = c.env
    if (incoming.destroyed && !incoming.complete) return c.body(null, 400) // the sender went away in the middle: nobody hears this, nothing is wrong here
    log.error({ err: messageOf(error), stack: error.stack }, 'a request failed')
    return c.json({ error: 'internal error' }, 500, NOT_CACHED)
  })
  return app
}
