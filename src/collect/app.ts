// The collector's routes but the pixel (pixel.ts). Each answers only when its events are durable, or says why not.

import { createHash } from 'node:crypto'
import type { HttpBindings } from '@hono/node-server'
import { type Context, Hono } from 'hono'
import type { ConsentSignal } from '../consent/standing.ts'
import { messageOf } from '../core/errors.ts'
import { parseVisitorId } from '../core/ids.ts'
import { log } from '../core/log.ts'
import type { Event } from '../event/event.ts'
import {
  type CollectorParts,
  corsHeaders,
  type HasKey,
  keep,
  NOT_CACHED,
  needsKey,
  preflightHeaders,
  tooLarge,
} from './answer.ts'
import { parseBody, readBodyText } from './body.ts'
import { addClickRoutes } from './click.ts'
import { countDecision } from './counts.ts'
import { type Decision, decideEvent, type Heard, type Sender } from './decide.ts'
import { explainHit, parseExplained } from './explain.ts'
import { type HitItem, resolveHit } from './hit.ts'
import { addOptOutRoutes } from './opt-out-routes.ts'
import { readBrowserRequest } from './request.ts'
import { serverEvent } from './server-event.ts'

export type Env = { Bindings: HttpBindings }

export function makeRoutes(parts: CollectorParts, hasKey: HasKey): Hono<Env> {
  const { settings, now, counts, tombstones } = parts
  const app = new Hono<Env>()

  type Refusal = { readonly index: number; readonly field: string; readonly reason: string; readonly message: string }
  const refuse = (c: Context<Env>, refusal: Refusal) =>
    c.json({ error: `event ${refusal.index}: ${refusal.field} ${refusal.message}`, ...refusal }, 400, NOT_CACHED)

  type Sent = { readonly sender: Sender; readonly keyed: boolean; readonly heard?: Heard; readonly nowMs: number }

  /** A server says who its events are of; a browser's cookie does. */
  function decideInBody(given: Readonly<Record<string, unknown>>, sent: Sent, referer: string | undefined): Decision {
    if (sent.sender === 'server' && !parseVisitorId(given['visitor']))
      return { kind: 'refused', reason: 'invalid_field', field: 'visitor', message: 'must be a UUID' }
    return decideEvent({ ...sent, form: 'json', given, referer }, settings)
  }

  /** Every event of a body, or the answer that refuses the body whole. */
  async function readEvents(c: Context<Env>, sent: Sent): Promise<readonly HitItem[] | Response> {
    const text = await readBodyText(c.env.incoming)
    if (text === undefined) {
      counts.dropped.add('body_too_large')
      return tooLarge(c)
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
    const items = body.events.map((given) => ({ given, decision: decideInBody(given, sent, referer) }))
    for (const [index, { decision }] of items.entries()) {
      if (decision.kind !== 'refused') continue
      countDecision(counts, decision, sent.nowMs)
      return refuse(c, { index, field: decision.field, reason: decision.reason, message: decision.message })
    }
    return items
  }

  const notKept = (c: Context<Env>, headers: Record<string, string>) =>
    c.json({ error: 'the events could not be made durable; send them again' }, 503, headers)

  app.options('/e', (c) => c.body(null, 204, preflightHeaders('POST', settings.allowedOrigins, c.env.incoming.headers.origin)))

  app.post('/e', async (c) => {
    const nowMs = now()
    counts.requests.add('e')
    const { headers } = c.env.incoming
    const answerHeaders = { ...NOT_CACHED, ...corsHeaders(settings.allowedOrigins, headers.origin) }
    const keyed = hasKey(headers.authorization)
    const browser = readBrowserRequest(c.env.incoming, keyed, parts)
    const items = await readEvents(c, { sender: 'browser', keyed, heard: browser.heard, nowMs })
    if (!Array.isArray(items)) return items as Response
    const hit = await keep(parts, resolveHit(items, browser, parts, { round: 'impossible', nowMs }), nowMs)
    if (!hit) return notKept(c, answerHeaders)
    const response = c.body(null, 204, answerHeaders)
    for (const cookie of hit.setCookies) response.headers.append('set-cookie', cookie)
    return response
  })

  app.post('/v1/events', async (c) => {
    const nowMs = now()
    counts.requests.add('v1_events')
    if (!hasKey(c.env.incoming.headers.authorization)) return needsKey(c)
    const items = await readEvents(c, { sender: 'server', keyed: true, nowMs })
    if (!Array.isArray(items)) return items as Response
    const events: Event[] = []
    const signals: ConsentSignal[] = []
    const decisions: Decision[] = []
    for (const { decision, given } of items as readonly HitItem[]) {
      const visitor = parseVisitorId(given['visitor'])
      if (!visitor) continue
      const isOptedOut = decision.kind === 'event' && tombstones.has(visitor)
      decisions.push(isOptedOut ? { kind: 'drop', reason: 'opt_out' } : decision)
      if (decision.kind === 'event' && !isOptedOut) events.push(serverEvent(decision, visitor))
      else if (decision.kind === 'drop' && decision.refused)
        signals.push({ ...decision.refused, visitor, permissions: 0, receivers: [] })
    }
    const notes = signals.length > 0 ? { signals } : undefined
    const hit = { events, notes, decisions, foreignCookies: 0, askAgain: false, setCookies: [], identity: undefined }
    if (!(await keep(parts, hit, nowMs))) return notKept(c, NOT_CACHED)
    return c.body(null, 204, NOT_CACHED)
  })

  app.post('/v1/explain', async (c) => {
    if (!hasKey(c.env.incoming.headers.authorization)) return needsKey(c)
    const text = await readBodyText(c.env.incoming)
    if (text === undefined) return tooLarge(c)
    const asked = parseExplained(text)
    if (!asked.ok) return c.json({ error: asked.message, field: asked.field }, 400, NOT_CACHED)
    const explained = explainHit(asked.hit, parts, now())
    return explained.ok
      ? c.json(explained.explanation, 200, NOT_CACHED)
      : c.json({ error: `url ${explained.message}`, field: 'url' }, 400, NOT_CACHED)
  })

  addOptOutRoutes(app, parts)
  addClickRoutes(app, parts, hasKey)

  const tagTag = `"${createHash('sha256').update(parts.tag).digest('base64url').slice(0, 20)}"`
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
  app.get('/readyz', async (c) => {
    const readiness = await parts.readiness()
    return c.json(readiness, readiness.ready ? 200 : 503, NOT_CACHED)
  })
  app.get('/metrics', async (c) =>
    c.body(await parts.metrics(), 200, {
      'content-type': 'text/plain; version=0.0.4; charset=utf-8',
    }),
  )
  app.onError((error, c) => {
    const { incoming } = c.env
    if (incoming.destroyed && !incoming.complete) return c.body(null, 400) // the sender went away in the middle: nobody hears this, nothing is wrong here
    log.error({ err: messageOf(error), stack: error.stack }, 'a request failed')
    return c.json({ error: 'internal error' }, 500, NOT_CACHED)
  })
  return app
}
