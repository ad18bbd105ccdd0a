// `GET /click`: a measured redirect. The click is an event as any browser hit is, with what the visitor allows and what is limited; the person gets through to
// the target in any case, and nobody to a target that we have not signed. `POST /v1/links` makes such links.

import { setTimeout as delay } from 'node:timers/promises'
import type { Context, Hono } from 'hono'
import { z } from 'zod'
import { messageOf } from '../core/errors.ts'
import { log } from '../core/log.ts'
import { type CollectorParts, type HasKey, keep, NOT_CACHED, needsKey, tooLarge } from './answer.ts'
import type { Env } from './app.ts'
import { parseQuery, readBodyText } from './body.ts'
import { countDecision } from './counts.ts'
import { decideEvent } from './decide.ts'
import { resolveHit } from './hit.ts'
import { locationOf, makeLink, verifiedTarget } from './link.ts'
import { readBrowserRequest } from './request.ts'

/** So long a click waits for its event to be durable. */
const PATIENCE_MS = 1_000

const linkShape = z.strictObject({
  url: z.string(),
  source: z.string(),
  campaign: z.string().optional(),
  creative: z.string().optional(),
  placement: z.string().optional(),
  base: z.string().optional(),
})

/** The event of a click. Its page is the one that was clicked on; the target is another site, which the visitor has not been seen on yet. */
function clickOf(given: Readonly<Record<string, string>>): Record<string, string> {
  const { url: _target, sig: _signature, fpid: _id, ...said } = given
  return { ...said, event: 'click' }
}

export function addClickRoutes(app: Hono<Env>, parts: CollectorParts, hasKey: HasKey): void {
  const { settings, now, counts, linkKey } = parts

  /** The cookies to answer with. */
  async function record(c: Context<Env>, given: Readonly<Record<string, string>>): Promise<readonly string[]> {
    const nowMs = now()
    const { headers } = c.env.incoming
    const keyed = hasKey(headers.authorization)
    const browser = readBrowserRequest(c.env.incoming, keyed, parts)
    const { heard, dropped } = browser
    const said = clickOf(given)
    const input = { sender: 'browser', form: 'query', given: said, referer: headers.referer, heard, keyed, nowMs } as const
    const decision =
      dropped === undefined || dropped === 'opt_out' ? decideEvent(input, settings) : ({ kind: 'drop', reason: dropped } as const)
    // As if it had come round already: a browser that brings no cookie is on its way to another page, and an id set in passing is what browsers delete as bounce tracking.
    const hit = resolveHit([{ decision, given: said }], browser, parts, { round: 'came_back', nowMs })
    const kept = await keep(parts, hit, nowMs)
    if (kept) return kept.setCookies
    // Nobody comes back with a click, as a page does with its events.
    for (const lost of hit.decisions)
      countDecision(counts, lost.kind === 'event' ? { kind: 'drop', reason: 'not_durable' } : lost, nowMs)
    return []
  }

  app.get('/click', async (c) => {
    counts.requests.add('click')
    const { url = '', method } = c.env.incoming
    const mark = url.indexOf('?')
    const given = parseQuery(mark < 0 ? '' : url.slice(mark + 1))
    const target = verifiedTarget(given, linkKey)
    if (target === undefined) {
      if (method !== 'HEAD') counts.dropped.add('link_invalid')
      return c.text('This link is damaged: it does not lead anywhere.\n', 400, NOT_CACHED)
    }
    const recorded = method === 'HEAD' ? [] : record(c, given)
    // A disk that stalls, or anything else that goes wrong, keeps nobody from where they are going; what becomes of the event is counted all the same.
    const cookies = await Promise.race([recorded, delay(PATIENCE_MS, [] as const, { ref: false })]).catch((error: unknown) => {
      log.error({ err: messageOf(error) }, 'a click failed')
      return [] as const
    })
    const headers = { ...NOT_CACHED, location: locationOf(target), 'referrer-policy': 'no-referrer' }
    const response = c.body(null, 302, headers)
    for (const cookie of cookies) response.headers.append('set-cookie', cookie)
    return response
  })

  app.post('/v1/links', async (c) => {
    counts.requests.add('v1_links')
    if (!hasKey(c.env.incoming.headers.authorization)) return needsKey(c)
    const wrong = (field: string, message: string) => c.json({ error: `${field} ${message}`, field, message }, 400, NOT_CACHED)
    const text = await readBodyText(c.env.incoming)
    if (text === undefined) return tooLarge(c)
    let body: unknown
    try {
      body = JSON.parse(text)
    } catch {
      return wrong('body', 'is not JSON')
    }
    const asked = linkShape.safeParse(body)
    if (!asked.success) {
      const [issue] = asked.error.issues
      return wrong(issue?.path.join('.') || 'body', issue?.message ?? 'is no link')
    }
    const made = makeLink(asked.data, { key: linkKey, sources: settings.sources })
    return made.ok ? c.json({ url: made.url }, 200, NOT_CACHED) : wrong(made.field, made.message)
  })
}
