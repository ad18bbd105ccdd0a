// One browser request: its signals, who it comes from, and the events it becomes.

import type { IncomingHttpHeaders } from 'node:http'
import type { VisitorId } from '../core/ids.ts'
import type { Event } from '../event/event.ts'
import { type CookieSigner, newVisitor, readCookies, visitorCookie } from '../identity/cookie.ts'
import { readAgent, readLanguage } from './agent.ts'
import { type AcceptedEvent, type DropReason, dropRequest } from './decide.ts'

export type Visitor = {
  readonly id: VisitorId
  /** To be sent where the visitor is new, unknown to us, or was last given the cookie on an earlier day. */
  readonly setCookie: string | undefined
}

const single = (value: string | string[] | undefined): string | undefined => (Array.isArray(value) ? value.join(', ') : value)

export function dropBrowserRequest(headers: IncomingHttpHeaders): DropReason | undefined {
  return dropRequest({
    bot: readAgent(headers['user-agent']).bot,
    optedOut: readCookies(headers.cookie).optedOut,
    gpc: single(headers['sec-gpc']),
    purpose: single(headers['sec-purpose']) ?? single(headers['purpose']),
  })
}

/** Recognises the visitor or makes a new one. Asked only when an event is kept: who is not recorded gets no cookie. */
export function readVisitor(headers: IncomingHttpHeaders, signer: CookieSigner, nowMs: number): Visitor {
  const given = readCookies(headers.cookie).visitor
  const cookie = given === undefined ? undefined : signer.verify(given, nowMs)
  if (cookie?.kind === 'known') {
    return { id: cookie.visitor, setCookie: cookie.refresh ? visitorCookie(signer.sign(cookie.visitor, nowMs)) : undefined }
  }
  const id = newVisitor()
  return { id, setCookie: visitorCookie(signer.sign(id, nowMs)) }
}

/** The event of a browser: what it says, and what its headers say of it. */
export function browserEvent(accepted: AcceptedEvent, visitor: VisitorId, headers: IncomingHttpHeaders): Event {
  const { device, browser, os } = readAgent(headers['user-agent'])
  const language = readLanguage(headers['accept-language'])
  return { ...serverEvent(accepted, visitor), device, browser, os, language }
}

export function serverEvent({ fields, tsMs, source, permissions }: AcceptedEvent, visitor: VisitorId): Event {
  return { ...fields, ts: tsMs, visitor, source, permissions }
}
