// One browser request: its signals, who it comes from, and the events it becomes.

import type { IncomingHttpHeaders } from 'node:http'
import type { VisitorId } from '../core/ids.ts'
import type { Event } from '../event/event.ts'
import { completeEvent } from '../event/fields.ts'
import { type CookieSigner, newVisitor, type RequestCookies, readCookies, visitorCookie } from '../identity/cookie.ts'
import { type Agent, readAgent, readLanguage } from './agent.ts'
import { type AcceptedEvent, type DropReason, dropRequest } from './decide.ts'

export type BrowserRequest = {
  /** Why nothing of this request is kept. */
  readonly dropped: DropReason | undefined
  readonly agent: Agent
  readonly language: string
  readonly cookies: RequestCookies
  /** The browser has said (`Sec-Fetch-Storage-Access`) that it gives us cookies by site only. */
  readonly partitionOnly: boolean
}

export type Visitor = {
  readonly id: VisitorId
  /** To be sent where the visitor is new, unknown to us, or was last given the cookie on an earlier day. */
  readonly setCookie: string | undefined
}

const single = (value: string | string[] | undefined): string | undefined => (Array.isArray(value) ? value.join(', ') : value)

/** `keyed`: the request carried the API key. Its sender vouches for it, as a replay of a log does: it is not taken for a robot's by its user agent. */
export function readBrowserRequest(headers: IncomingHttpHeaders, keyed: boolean): BrowserRequest {
  const agent = readAgent(headers['user-agent'])
  const cookies = readCookies(headers.cookie)
  const storage = single(headers['sec-fetch-storage-access'])
  const purpose = single(headers['sec-purpose']) ?? single(headers['purpose'])
  const dropped = dropRequest({ bot: agent.bot && !keyed, optedOut: cookies.optedOut, gpc: single(headers['sec-gpc']), purpose })
  const partitionOnly = storage === 'none' || storage === 'inactive'
  return { dropped, agent, language: readLanguage(headers['accept-language']), cookies, partitionOnly }
}

/** Recognises the visitor or makes a new one. Asked only when an event is kept: who is not recorded gets no cookie. */
export function readVisitor({ cookies, partitionOnly }: BrowserRequest, signer: CookieSigner, nowMs: number): Visitor {
  for (const partitioned of [false, true]) {
    const value = partitioned ? cookies.partitioned : cookies.visitor
    const given = value === undefined ? undefined : signer.verify(value, nowMs)
    if (given?.kind !== 'known') continue
    const setCookie = given.refresh ? visitorCookie(signer.sign(given.visitor, nowMs), partitioned) : undefined
    return { id: given.visitor, setCookie }
  }
  const id = newVisitor()
  return { id, setCookie: visitorCookie(signer.sign(id, nowMs), partitionOnly) }
}

/** The event of a browser: what it says, and what its headers say of it. */
export function browserEvent(
  { fields, tsMs, source, permissions }: AcceptedEvent,
  visitor: VisitorId,
  browser: BrowserRequest,
): Event {
  const { agent, language } = browser
  return completeEvent(fields, {
    ts: tsMs,
    visitor,
    source,
    permissions,
    device: agent.device,
    browser: agent.browser,
    os: agent.os,
    language,
  })
}

export function serverEvent({ fields, tsMs, source, permissions }: AcceptedEvent, visitor: VisitorId): Event {
  return completeEvent(fields, { ts: tsMs, visitor, source, permissions })
}
