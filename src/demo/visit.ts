// One visit to a site, page by page: what happens, and in which requests it is reported. Pages with the pixel send one image an event, and do not know
// how long they were looked at; pages with the tag send beacons, what happened on one page with the view of the next. An order is a pixel of its own.

import type { Random } from './random.ts'
import { AUTOS, PRICES, type Section, SHOP, type Site, TRAVEL } from './sites.ts'

/** One event by the names of contract 2.1, `ts` in milliseconds. */
export type SentEvent = { readonly event: string; readonly ts: number } & Fields

/** One request. A pixel carries one event, a beacon one or more. */
export type Hit = { readonly via: 'pixel' | 'beacon'; readonly source: string; readonly events: readonly SentEvent[] }

type Fields = Readonly<Record<string, string | number | readonly string[]>>

const ENTRANCES: readonly { readonly share: number; readonly referrer: string; readonly fields?: Fields }[] = [
  { share: 8, referrer: '' }, // typed, or a bookmark
  { share: 9, referrer: 'https://www.google.com/' },
  { share: 2, referrer: 'https://www.bing.com/' },
  { share: 3, referrer: 'https://www.facebook.com/' },
  { share: 2, referrer: 'android-app://com.google.android.googlequicksearchbox/' },
  { share: 3, referrer: 'https://news.example/', fields: { campaign: 'winter-sale', placement: 'news-top', creative: 'sale-a' } },
  { share: 1, referrer: '', fields: { campaign: 'newsletter', placement: 'mail' } },
]
const CREATIVES = ['sale-a', 'sale-b', 'brand-film']
const DESTINATIONS = ['Lisbon', 'Vienna', 'Palermo', 'Oslo', 'Kyoto', 'Tenerife']
const DWELL_MIN_MS = 1_500
const DWELL_MAX_MS = 5 * 60_000
const PIXEL_VISITS = 0.5
const PAGES_MAX = 14
const CURRENCY = 'EUR'

const euros = (cents: number): number => cents / 100

/** Most pages are glanced at, a few are read: log-normal, with a median of 25 seconds. */
function dwellOf(random: Random): number {
  const normal = Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next())
  return Math.round(Math.min(DWELL_MAX_MS, Math.max(DWELL_MIN_MS, 25_000 * Math.exp(1.2 * normal))))
}

/** What the visitor's character has to say about a visit. */
export type Habits = {
  readonly appeal: (section: Section) => number
  /** Readiness to put things into a cart, and to pay for them. */
  readonly cart: number
  readonly pay: number
}

type Place = { readonly site: Site; readonly section: Section; readonly page: string }
type Action = { readonly event: string } & Fields

/** What a visitor does on a page beside looking at it. */
function actions(random: Random, { site, section, page }: Place, cart: number): Action[] {
  const priceCents = PRICES.get(page)
  if (priceCents !== undefined && random.chance(cart))
    return [{ event: 'add_to_cart', value: euros(priceCents), currency: CURRENCY, 'attr.product': page }]
  if (site === SHOP) return []
  const done: Action[] = []
  if (random.chance(0.12)) {
    const ad = { campaign: 'winter-sale', creative: random.pick(CREATIVES), placement: `${site.source}-side` }
    done.push({ event: 'impression', ...ad, cost: random.between(1, 8) / 1_000 })
    if (random.chance(0.06)) done.push({ event: 'click', ...ad })
  }
  if (site === TRAVEL && random.chance(section.folder === 'flights' || section.folder === 'stays/hotels' ? 0.5 : 0.16)) {
    const nights = random.pick([2, 3, 3, 4, 7, 7, 10, 14])
    done.push({ event: 'search', 'attr.destination': random.pick(DESTINATIONS), 'attr.nights': nights })
  }
  if (site === AUTOS && section.folder === 'buying' && random.chance(0.08)) done.push({ event: 'lead' })
  return done
}

type SeenPage = {
  readonly view: SentEvent
  readonly done: readonly SentEvent[]
  /** Empty where a browser ended the page without warning. */
  readonly dwell: readonly SentEvent[]
  readonly url: string
  readonly dwellMs: number
}

/** `from`: the address of the page before, if there was one on this visit. */
function seePage(random: Random, place: Place, cart: number, atMs: number, from: string | undefined): SeenPage {
  const { site, section, page } = place
  const url = `https://${site.host}/${section.folder}/${page}`
  const about: Fields = { url, category: [section.category], keyword: section.folder.split('/').slice(-1) }
  const entrance = from === undefined ? random.pickBy(ENTRANCES, ({ share }) => share) : undefined
  const referrer = entrance ? entrance.referrer : (from ?? '')
  const view = {
    event: 'page_view',
    ts: atMs,
    ...about,
    ...entrance?.fields,
    ...(referrer === '' ? {} : { referrer }),
  }
  const dwellMs = dwellOf(random)
  const acts = actions(random, place, cart)
  const done = acts.map((fields, i) => ({ ...fields, ...about, ts: atMs + Math.floor((dwellMs * (i + 1)) / (acts.length + 1)) }))
  const dwell = random.chance(0.9) ? [{ event: 'dwell', ...about, ts: atMs + dwellMs, dwell_ms: dwellMs }] : []
  return { view, done, dwell, url, dwellMs }
}

function orderOf(random: Random, cartCents: number, atMs: number, orderId: string): SentEvent {
  return {
    event: 'conversion',
    ts: atMs + random.between(60_000, 240_000),
    url: `https://${SHOP.host}/checkout/thank-you`,
    referrer: `https://${SHOP.host}/checkout`,
    value: euros(cartCents),
    currency: CURRENCY,
    order_id: orderId,
  }
}

/** The requests of one visit, in time order. */
export function visit(random: Random, site: Site, habits: Habits, startMs: number, orderId: () => string): Hit[] {
  const hits: Hit[] = []
  const send = (via: Hit['via'], events: readonly SentEvent[]) => {
    if (events.length > 0) hits.push({ via, source: site.source, events })
  }
  const hasPixel = random.chance(PIXEL_VISITS)
  let cartCents = 0
  let atMs = startMs
  let from: string | undefined
  let held: readonly SentEvent[] = []
  for (let pages = Math.min(PAGES_MAX, 1 + random.repeats(0.66)); pages > 0; pages--) {
    const section = random.pickBy(site.sections, habits.appeal)
    const page = random.pick(section.pages)
    const { view, done, dwell, url, dwellMs } = seePage(random, { site, section, page }, habits.cart, atMs, from)
    if (hasPixel) for (const event of [view, ...done]) send('pixel', [event])
    else send('beacon', [...held, view])
    held = hasPixel ? [] : [...done, ...dwell]
    if (done.some(({ event }) => event === 'add_to_cart')) cartCents += PRICES.get(page) ?? 0
    atMs += dwellMs + random.between(300, 2_500)
    from = url
  }
  send('beacon', held)
  if (cartCents > 0 && random.chance(habits.pay)) send('pixel', [orderOf(random, cartCents, atMs, orderId())])
  return hits
}
