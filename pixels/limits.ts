// Every number that bounds the tag, with its reason. A file of its own: esbuild puts constants in place only where they stand before any import.

/** Chromium allows 64 KiB of beacons and keepalive fetches in flight at a time, for both together; the rest is room for the page's own. */
export const IN_FLIGHT_BYTES_MAX = 60_000
/** What a request counts as at least, so that 100 are in flight at most: beyond 256 Chromium fails them, although sendBeacon has answered true. */
export const REQUEST_BYTES_MIN = 600
/** A browser does not say when a beacon has landed, and a page does not wait longer for the answer to its first request. */
export const FLIGHT_MS = 1_000

/** Calls kept while the document loads or is prerendered, and events kept while they wait; a page that makes more of them is looping. */
export const HELD_MAX = 1_000

/** How long to look for a consent platform that is expected but not there, where `data-consent-wait` does not say. */
export const WAIT_MS = '5000'
export const LOOK_MS = 100

/** Shorter stays are carried on to the next report: a redirect inside an application is not worth a request. */
export const DWELL_MS_MIN = 100

/** The limits of the collector. */
export const TEXT_CHARS_MAX = 1_024
export const ADDRESS_CHARS_MAX = 8_192
export const ELEMENTS_MAX = 100
export const ATTRIBUTES_MAX = 100

export const DAY_MS = 86_400_000
/** The fallback id ends with everything else about a visitor. */
export const ID_DAYS_MAX = 90
export const ID_S = 7_776_000
/** 400 days, the most that browsers grant. */
export const OPT_OUT_S = 34_560_000
