// Sends events to the collector, each in a request of its own: the collector refuses a request whole, so a mistake in one call of a page (the address of
// another site, say) would take the others with it. The only place of the tag that sends, so the one that holds its privacy promise: under Global Privacy
// Control no event leaves the page.

import { attempt } from './guard.ts'
import { FLIGHT_MS, IN_FLIGHT_BYTES_MAX, REQUEST_BYTES_MIN } from './limits.ts'

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

/**
 * Where a page's policy is to send no referrer, the origin would be hidden from an opt-out too, which has to say whose page it comes from.
 * A string goes out as text/plain; a JSON Blob would need a preflight, and where that fails sendBeacon has still answered true. What the page's policy, a
 * blocker or the network refuses is lost for good.
 */
export function post(url: string, body: string, keepalive: boolean, done = () => {}): void {
  attempt(() =>
    fetch(url, { method: 'POST', body, mode: 'no-cors', credentials: 'include', keepalive, referrerPolicy: 'origin' }).then(
      done,
      done,
    ),
  )
}

/** Asked at every delivery: the preference may be switched on while the page is open. */
export const isSilenced = (): boolean => (navigator as { globalPrivacyControl?: boolean }).globalPrivacyControl === true

/** `landed`, if given, is called when the request has been answered or has failed, and after a second at the latest. */
export function deliver(url: string, event: Readonly<Record<string, unknown>>, landed?: () => void): void {
  if (isSilenced()) return
  const body = JSON.stringify(event)
  const keepalive = hasRoom(body)
  if (landed) setTimeout(landed, FLIGHT_MS)
  // Missing, or replaced by something that throws: as good as refused.
  else if (keepalive && attempt(() => navigator.sendBeacon(url, body))) return
  post(url, body, keepalive, landed)
}
