// The page of an event: WHATWG form, without query and fragment, scrubbed.

import { LIMITS } from '../core/limits.ts'
import type { Page } from './event.ts'
import { scrubPath } from './scrub.ts'

function parseWeb(text: string): URL | undefined {
  if (text.length > LIMITS.urlChars || !URL.canParse(text)) return undefined
  const url = new URL(text)
  return url.protocol === 'https:' || url.protocol === 'http:' ? url : undefined
}

/** Undefined where the text is no http(s) address. User name and password are dropped with query and fragment. */
export function parsePage(text: string): Page | undefined {
  const url = parseWeb(text)
  if (!url) return undefined
  const path = scrubPath(url.pathname)
  return { origin: url.origin, url: url.origin + path, host: url.hostname, path }
}

/** The host of any address (`android-app://com.example` included), or undefined. */
export function parseReferrerHost(text: string): string | undefined {
  return text.length <= LIMITS.urlChars && URL.canParse(text) ? new URL(text).hostname : undefined
}
