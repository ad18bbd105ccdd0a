// What would become of one hit, step by step: the live debugger. It walks the very path that hits walk and keeps nothing: no event, no refusal, no cookie.
// Ids are not shown, nor consent strings, nor the address.

import { z } from 'zod'
import { explainConsent } from '../consent/signals.ts'
import { LIMITED_BIT, PERMISSIONS, permits } from '../core/permissions.ts'
import type { CookieSigner, RequestCookies } from '../identity/cookie.ts'
import type { IdentityRequest } from '../identity/visitor.ts'
import type { CollectorParts } from './answer.ts'
import { parseBody } from './body.ts'
import { type Decision, decideEvent, signalsOf } from './decide.ts'
import { type HitItem, resolveHit } from './hit.ts'
import { readPixelQuery } from './pixel.ts'
import { type BrowserRequest, readHeaders } from './request.ts'

const shape = z.strictObject({
  /** `/p.gif?...`, or `/e` with a body; a whole address is taken as well. */
  url: z.string().max(16_384),
  headers: z.record(z.string(), z.string()).default({}),
  body: z.unknown().optional(),
})
export type ExplainedHit = z.output<typeof shape>

type Parsed =
  | { readonly ok: true; readonly hit: ExplainedHit }
  | { readonly ok: false; readonly field: string; readonly message: string }

export function parseExplained(text: string): Parsed {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return { ok: false, field: 'body', message: 'the body is a JSON object with `url`, `headers` and, for /e, `body`' }
  }
  const result = shape.safeParse(value)
  if (result.success) return { ok: true, hit: result.data }
  const issue = result.error.issues[0]
  return { ok: false, field: issue?.path.join('.') || 'body', message: issue?.message ?? 'is no hit' }
}

const ANYWHERE = 'http://collector.invalid'

/** The events of a hit, or why there are none. */
function readItems(
  hit: ExplainedHit,
): { readonly round: IdentityRequest['round']; readonly given: readonly Readonly<Record<string, unknown>>[] } | string {
  if (!URL.canParse(hit.url, ANYWHERE)) return 'is no address'
  const { pathname, search } = new URL(hit.url, ANYWHERE)
  if (pathname.endsWith('/p.gif')) {
    const { given, round } = readPixelQuery(search.slice(1))
    return { round, given: [given] }
  }
  if (!pathname.endsWith('/e')) return 'is neither /p.gif with a query, or /e with a body'
  const body = parseBody(typeof hit.body === 'string' ? hit.body : JSON.stringify(hit.body ?? null))
  return body.ok ? { round: 'impossible', given: body.events } : `body ${body.message}`
}

const cookieState = (value: string | undefined, signer: CookieSigner, nowMs: number): string =>
  value === undefined ? 'absent' : signer.verify(value, nowMs).kind === 'known' ? 'ours' : 'not_ours'

function explainDecision(decision: Decision) {
  switch (decision.kind) {
    case 'event': {
      const { source, permissions, receivers, ignored } = decision
      return {
        outcome: 'kept',
        source,
        permissions: PERMISSIONS.filter((permission) => permits(permissions, permission)),
        receivers: permits(permissions, 'activate') && (permissions & (1 << LIMITED_BIT)) === 0 ? 'any' : receivers,
        ignored_parameters: ignored,
      }
    }
    case 'drop':
      return { outcome: 'dropped', reason: decision.reason }
    case 'refused':
      return { outcome: 'refused', reason: decision.reason, field: decision.field, message: decision.message }
  }
}

/** Not ok: the address or the body is no hit at all. The explanation is a JSON document: `request`, `events` (one for each that was sent), `identity`, `answer`. */
export function explainHit(hit: ExplainedHit, parts: CollectorParts, nowMs: number) {
  const headers = Object.fromEntries(Object.entries(hit.headers).map(([name, value]) => [name.toLowerCase(), value]))
  const read = readItems(hit)
  if (typeof read === 'string') return { ok: false, message: read } as const
  const isBeacon = read.round === 'impossible'
  const browser = readHeaders(headers, false)
  const { settings, signer } = parts
  const items = read.given.map((given): HitItem => {
    const decision = decideEvent(
      {
        sender: 'browser',
        form: isBeacon ? 'json' : 'query',
        given,
        referer: headers['referer'],
        heard: browser.heard,
        keyed: false,
        nowMs,
      },
      settings,
    )
    return { given, decision }
  })
  // Nothing is remembered of a hit that did not happen.
  const inert = {
    ...parts,
    limiter: undefined,
    recentRefusals: { isNew: () => true, forget: () => {} },
    tombstones: { ...parts.tombstones, size: parts.tombstones.size, set: () => ({ hash: '', day: '', isOptedOut: true }) },
  }
  const resolved = resolveHit(items, browser, inert, { round: read.round, nowMs })
  const refused = isBeacon && resolved.decisions.some(({ kind }) => kind === 'refused')
  const explanation = {
    request: explainRequest(browser, signer, nowMs),
    events: resolved.decisions.map((decision, n) => {
      const given = read.given[n] ?? {}
      const source = typeof given['source'] === 'string' ? settings.sources.get(given['source']) : undefined
      const consent = source ? explainConsent(signalsOf(given, browser.heard), source.consent) : undefined
      return { ...explainDecision(decision), consent }
    }),
    identity: resolved.identity
      ? { kind: resolved.identity.kind, scope: 'scope' in resolved.identity ? resolved.identity.scope : undefined }
      : { kind: 'not_asked' },
    answer: {
      status: isBeacon ? (refused ? 400 : 204) : resolved.askAgain ? 302 : 200,
      cookies: resolved.setCookies.map((line) => `${line.split('=')[0]}${line.includes('Max-Age=0;') ? ' (removed)' : ''}`),
    },
  }
  return { ok: true, explanation } as const
}

function explainRequest(browser: BrowserRequest, signer: CookieSigner, nowMs: number) {
  const { agent, cookies, language, storageAccess, heard, dropped } = browser
  const of = (which: keyof RequestCookies) => cookieState(cookies[which], signer, nowMs)
  return {
    dropped,
    agent,
    language,
    storage_access: storageAccess,
    gpc: heard.gpc,
    dnt: heard.dnt,
    cookies: {
      visitor: of('visitor'),
      partitioned: of('partitioned'),
      opted_out: cookies.optedOut !== undefined,
      site_opted_out: cookies.siteOptedOut !== undefined,
    },
  }
}
