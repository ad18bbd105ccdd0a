// `GET /p.gif`. Answered on Node's own request and response, before the router: a web Request and Response cost as much as everything else here does.

import type { IncomingMessage, ServerResponse } from 'node:http'
import { type CollectorParts, GIF_BYTES, GIF_LATIN1, type HasKey, keep, NOT_CACHED } from './answer.ts'
import { parseQuery } from './body.ts'
import { decideEvent } from './decide.ts'
import { resolveHit } from './hit.ts'
import { readBrowserRequest } from './request.ts'

export const PIXEL_ROUTE = '/p.gif'
/** Of a request that was sent round. Matched as a parameter, never as a piece of text in the address. */
const ROUND_PARAMETER = '_mr'

const GIF_HEADERS = { ...NOT_CACHED, 'content-type': 'image/gif', 'content-length': String(GIF_BYTES) }
const GIF_HEADER_LIST = Object.entries(GIF_HEADERS).flat()

/** What a pixel's address says of its event, and whether it was sent round already. */
export function readPixelQuery(query: string): {
  readonly given: Record<string, string>
  readonly round: 'possible' | 'came_back'
} {
  const given = parseQuery(query)
  const round = given[ROUND_PARAMETER] === undefined ? 'possible' : 'came_back'
  // An id is never taken from an address, where it would be copied, logged and shared.
  delete given['fpid']
  delete given[ROUND_PARAMETER]
  return { given, round }
}

export const isPixel = ({ url = '', method }: IncomingMessage): boolean =>
  url.startsWith(PIXEL_ROUTE) && (url.length === 6 || url[6] === '?') && (method === 'GET' || method === 'HEAD')

function image(response: ServerResponse, status: 200 | 503, setCookies: readonly string[]): void {
  const headers =
    setCookies.length === 0 ? GIF_HEADER_LIST : [...GIF_HEADER_LIST, ...setCookies.flatMap((cookie) => ['set-cookie', cookie])]
  response.writeHead(status, headers).end(GIF_LATIN1, 'latin1')
}

export function makePixel(
  parts: CollectorParts,
  hasKey: HasKey,
): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  const { settings, now, counts } = parts
  return async (request, response) => {
    if (request.method === 'HEAD') return image(response, 200, []) // asks for headers only: nobody has seen a page
    const nowMs = now()
    counts.requests.add('p.gif')
    const { headers, url = '' } = request
    const keyed = headers.authorization !== undefined && hasKey(headers.authorization)
    const browser = readBrowserRequest(request, keyed, parts)
    const query = url.slice(PIXEL_ROUTE.length + 1)
    const { given, round } = readPixelQuery(query)
    const { heard, dropped } = browser
    const input = { sender: 'browser', form: 'query', given, referer: headers.referer, heard, keyed, nowMs } as const
    const decision =
      dropped === undefined || dropped === 'opt_out' ? decideEvent(input, settings) : ({ kind: 'drop', reason: dropped } as const)
    const hit = resolveHit([{ decision, given }], browser, parts, { round, nowMs })
    const kept = await keep(parts, hit, nowMs)
    if (!kept) return image(response, 503, [])
    if (!kept.askAgain) return image(response, 200, kept.setCookies)
    // Relative, so that it is this very address behind any proxy, and no other.
    const location = `p.gif?${query}${query === '' ? '' : '&'}${ROUND_PARAMETER}=1`
    response.writeHead(302, { ...NOT_CACHED, location, 'set-cookie': [...kept.setCookies], 'content-length': '0' }).end()
  }
}
