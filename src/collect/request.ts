// One browser request: what its headers and its cookies say, before any of its events is looked at.

import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { type RequestCookies, readCookies } from '../identity/cookie.ts'
import { type Locate, NOWHERE, type Place } from './address.ts'
import { type Agent, readAgent, readLanguage } from './agent.ts'
import { type DropReason, dropRequest, type Heard } from './decide.ts'
import type { Network, RateLimiter } from './rate-limit.ts'

export type BrowserRequest = {
  /** Why nothing of this request is kept. */
  readonly dropped: DropReason | undefined
  readonly agent: Agent
  readonly language: string
  readonly place: Place
  readonly cookies: RequestCookies
  readonly heard: Heard
  /** `Sec-Fetch-Storage-Access`, as received. */
  readonly storageAccess: string | undefined
  /** It carried the API key: its sender vouches for it. */
  readonly keyed: boolean
  /** For the rate limit; undefined where there is none, or the sender vouches for what it sends. */
  readonly network: Network | undefined
}

export const single = (value: string | string[] | undefined): string | undefined =>
  Array.isArray(value) ? value.join(', ') : value

/**
 * `keyed`: the request carried the API key. Its sender vouches for it, as a replay of a log does: it is not taken for a robot's by its user agent.
 */
export function readHeaders(
  headers: IncomingHttpHeaders,
  keyed: boolean,
  place: Place = NOWHERE,
  network: Network | undefined = undefined,
): BrowserRequest {
  const agent = readAgent(headers['user-agent'])
  const cookies = readCookies(headers.cookie)
  const optedOut = cookies.optedOut !== undefined || cookies.siteOptedOut !== undefined
  const purpose = single(headers['sec-purpose']) ?? single(headers['purpose'])
  return {
    dropped: dropRequest({ bot: agent.bot && !keyed, optedOut, purpose }),
    agent,
    language: readLanguage(headers['accept-language']),
    place,
    cookies,
    heard: { gpc: single(headers['sec-gpc']), dnt: single(headers['dnt']), country: place.country || undefined },
    storageAccess: single(headers['sec-fetch-storage-access']),
    keyed,
    network,
  }
}

export const readBrowserRequest = (
  request: IncomingMessage,
  keyed: boolean,
  { locate, limiter }: { readonly locate: Locate; readonly limiter: RateLimiter | undefined },
): BrowserRequest => readHeaders(request.headers, keyed, locate(request), keyed ? undefined : limiter?.networkOf(request))
