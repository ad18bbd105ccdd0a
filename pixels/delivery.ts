// Sends events to the collector, as few requests as its limits allow. The only place of the tag that sends, so the one that holds its privacy promise:
// under Global Privacy Control nothing leaves the page.

import type { Fields } from './fields.ts'

/** Contract 3: events in one request. */
const REQUEST_EVENTS_MAX = 100
/** Chromium allows 64 KiB of beacons and keepalive fetches in flight at a time, for both together; the rest is room for the page's own. */
const BEACON_BYTES_MAX = 60_000

const bytesOf = (text: string): number => new Blob([text]).size

/** `source` is the only shared field: were `category` shared too, an event that has none would be given its neighbours'. */
function toBodies(source: string, events: readonly Fields[]): string[] {
  const head = `${JSON.stringify({ source }).slice(0, -1)},`
  const bodies: string[] = []
  let part: string[] = []
  let bytes = 0
  const close = () => {
    if (part.length > 1) bodies.push(`${head}"events":[${part.join()}]}`)
    else if (part[0]) bodies.push(head + part[0].slice(1))
    part = []
    bytes = bytesOf(head) + '"events":[]}'.length
  }
  close()
  for (const event of events) {
    const json = JSON.stringify(event)
    const more = bytesOf(json) + 1
    if (part.length === REQUEST_EVENTS_MAX || bytes + more > BEACON_BYTES_MAX) close()
    part.push(json)
    bytes += more
  }
  close()
  return bodies
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

export function deliver(url: string, source: string, events: readonly Fields[]): void {
  // Asked at every delivery: the preference may be switched on while the page is open.
  if ((navigator as { globalPrivacyControl?: boolean }).globalPrivacyControl === true) return
  let spent = 0
  for (const body of toBodies(source, events)) {
    spent += bytesOf(body)
    // Beyond the quota a beacon is refused and a keepalive fetch fails, so the rest goes as plain fetches, which last as long as the page.
    post(url, body, spent <= BEACON_BYTES_MAX)
  }
}
