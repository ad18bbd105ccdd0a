// Sends events to the collector, each in a request of its own: the collector refuses a request whole, so a mistake in one call of a page (the address of
// another site, say) would take the others with it. The only place of the tag that sends, so the one that holds its privacy promise: under Global Privacy
// Control nothing leaves the page.

import type { Event } from './fields.ts'

/** Chromium allows 64 KiB of beacons and keepalive fetches in flight at a time, for both together; the rest is room for the page's own. */
const IN_FLIGHT_BYTES_MAX = 60_000
/** What a request counts as at least, so that 100 are in flight at most: beyond 256 Chromium fails them, although sendBeacon has answered true. */
const REQUEST_BYTES_MIN = 600
/** A browser does not say when a beacon has landed. */
const FLIGHT_MS = 1_000

let inFlightBytes = 0

/** Beyond the quota a beacon is refused and a keepalive fetch fails, so what has no room goes as a plain fetch, which lasts as long as the page. */
function hasRoom(body: string): boolean {
  const bytes = inFlightBytes + Math.max(REQUEST_BYTES_MIN, new Blob([body]).size)
  if (bytes > IN_FLIGHT_BYTES_MAX) return false
  // A timer, as a page that keeps its thread busy longer has landed nothing meanwhile.
  if (!inFlightBytes) {
    setTimeout(() => {
      inFlightBytes = 0
    }, FLIGHT_MS)
  }
  inFlightBytes = bytes
  return true
}

/** A string goes out as text/plain; a JSON Blob would need a preflight, and where that fails sendBeacon has still answered true. */
function post(url: string, body: string, keepalive: boolean): void {
  try {
    if (keepalive && navigator.sendBeacon(url, body)) return
  } catch {
    // Missing, or replaced by something that throws: as good as refused.
  }
  fetch(url, { method: 'POST', body, mode: 'no-cors', credentials: 'include', keepalive }).catch(() => {})
}

export function deliver(url: string, event: Event): void {
  // Asked at every delivery: the preference may be switched on while the page is open.
  if ((navigator as { globalPrivacyControl?: boolean }).globalPrivacyControl === true) return
  const body = JSON.stringify(event)
  post(url, body, hasRoom(body))
}
