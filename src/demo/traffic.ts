// The sample traffic: who visits which pages of the network, when, and what the pages send of it. Pure: a seed, a moment and a number of visitors
// give the same hits every time. A sender's hits and their events are in time order, and all lie inside the 30 days up to the moment.

import { DAY_MS } from '../core/duration.ts'
import { BOTS, BROWSERS, LANGUAGES } from './agents.ts'
import { makeRandom, type Random } from './random.ts'
import { type Section, SITES, type Site } from './sites.ts'
import { type Habits, type Hit, visit } from './visit.ts'

export type Sender = {
  readonly kind: 'person' | 'bot'
  readonly agent: string
  readonly language: string
  readonly hits: readonly Hit[]
}

export type TrafficSize = { readonly seed: number; readonly nowMs: number; readonly visitors: number }

const HOUR_MS = 3_600_000
const MINUTE_MS = 60_000
const TRAFFIC_DAYS = 30
/** A session gap of the contract (2.1): visits closer than this would be one. */
const BETWEEN_VISITS_MS = 30 * MINUTE_MS
/** Longer than any visit: 14 pages of at most 5 minutes, and an order. */
const VISIT_MAX_MS = 90 * MINUTE_MS
const PEOPLE_PER_BOT = 25

/** Of a day's traffic, by the hour (UTC): the train in the morning, lunch, the sofa in the evening. */
const HOURS = [2, 2, 1, 1, 1, 2, 6, 12, 12, 8, 8, 10, 14, 10, 8, 8, 10, 12, 16, 18, 20, 18, 12, 6].map((share, hour) => ({
  hour,
  share,
}))

type Person = Habits & { readonly fromMs: number; readonly toMs: number; readonly visits: number }

/** Most come all the time, some came lately, some no longer come. */
function presence(random: Random, nowMs: number): { fromMs: number; toMs: number } {
  const first = nowMs - TRAFFIC_DAYS * DAY_MS + HOUR_MS
  const last = nowMs - VISIT_MAX_MS
  const kind = random.next()
  if (kind < 0.15) return { fromMs: nowMs - random.between(1, 9) * DAY_MS, toMs: last }
  if (kind < 0.44) return { fromMs: first, toMs: nowMs - random.between(11, 20) * DAY_MS }
  return { fromMs: first, toMs: last }
}

function makePerson(random: Random, nowMs: number): Person {
  const likes = new Map<Section, number>() // times as much as others do
  for (let n = random.between(1, 2); n > 0; n--) {
    const site = random.pickBy(SITES, ({ share }) => share)
    const favourite = random.pickBy(site.sections, ({ share }) => share)
    likes.set(favourite, random.between(15, 40))
    // Who likes one section of a site mostly likes the site.
    for (const section of site.sections) if (!likes.has(section)) likes.set(section, 7)
  }
  // More generous than people are, so that among few visitors there are enough buyers for an audience.
  const [cart, pay] = random.pickBy(
    [
      { share: 51, is: [0.05, 0.15] },
      { share: 25, is: [0.45, 0.25] },
      { share: 24, is: [0.6, 0.85] },
    ],
    ({ share }) => share,
  ).is as [number, number]
  const appeal = (section: Section) => section.share * (likes.get(section) ?? 1)
  return { appeal, cart, pay, ...presence(random, nowMs), visits: 1 + random.repeats(random.chance(0.16) ? 0.9 : 0.6) }
}

const siteAppeal = (site: Site, { appeal }: Habits): number =>
  (site.share * site.sections.reduce((sum, section) => sum + appeal(section), 0)) /
  site.sections.reduce((sum, { share }) => sum + share, 0)

/** When one visit begins. It takes as many draws whatever `nowMs` is, so that audiences come out alike at any time of day. */
function visitStart(random: Random, { fromMs, toMs }: Person): number {
  const anyMs = random.between(fromMs, toMs)
  const hour = random.pickBy(HOURS, ({ share }) => share).hour
  const ms = anyMs - (anyMs % DAY_MS) + hour * HOUR_MS + random.between(0, HOUR_MS - 1)
  return [ms, ms - DAY_MS, ms + DAY_MS].find((candidate) => candidate >= fromMs && candidate <= toMs) ?? anyMs
}

function personHits(random: Random, nowMs: number, orderId: () => string): Hit[] {
  const person = makePerson(random, nowMs)
  const visits = Array.from({ length: person.visits }, () => ({
    startMs: visitStart(random, person),
    random: makeRandom(random.between(0, 2 ** 31)), // its own, so that a visit left out changes no other
  })).sort((a, b) => a.startMs - b.startMs)
  let freeFromMs = 0
  return visits.flatMap(({ startMs, random: own }) => {
    if (startMs < freeFromMs) return []
    freeFromMs = startMs + VISIT_MAX_MS + BETWEEN_VISITS_MS
    const site = own.pickBy(SITES, (candidate) => siteAppeal(candidate, person))
    return visit(own, site, person, startMs, orderId)
  })
}

/** Robots read page after page, at all hours, and never stay. */
function botHits(random: Random, nowMs: number): Hit[] {
  let ts = nowMs - random.between(1, TRAFFIC_DAYS - 1) * DAY_MS
  return Array.from({ length: random.between(1, 5) }, (): Hit => {
    const site = random.pick(SITES)
    const section = random.pick(site.sections)
    ts += random.between(200, 5_000)
    const url = `https://${site.host}/${section.folder}/${random.pick(section.pages)}`
    const event = { event: 'page_view', ts, url, category: [section.category] }
    return { via: random.chance(0.5) ? 'pixel' : 'beacon', source: site.source, events: [event] }
  })
}

export function simulateTraffic({ seed, nowMs, visitors }: TrafficSize): Sender[] {
  let orders = 0
  const orderId = () => `A-${100_000 + orders++}`
  const people = Array.from({ length: visitors }, (_, n): Sender => {
    const random = makeRandom(seed + n)
    return {
      kind: 'person',
      agent: random.pickBy(BROWSERS, ({ share }) => share).agent,
      language: random.pickBy(LANGUAGES, ({ share }) => share).header,
      hits: personHits(random, nowMs, orderId),
    }
  })
  const random = makeRandom(seed - 1)
  const bot = (): Sender => ({ kind: 'bot', agent: random.pick(BOTS), language: '', hits: botHits(random, nowMs) })
  return people.flatMap((person, n) => (n % PEOPLE_PER_BOT === 0 ? [bot(), person] : [person]))
}

export const eventsOf = (senders: readonly Sender[], kind: Sender['kind']): number =>
  senders.reduce((sum, sender) => (sender.kind === kind ? sender.hits.reduce((n, { events }) => n + events.length, sum) : sum), 0)
