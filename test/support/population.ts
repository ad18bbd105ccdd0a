// A simulated network for lookalikes: visitors read topics; some have a taste, which shows in two of the topics and in nothing else.

import { DAY_MS } from '../../src/core/duration.ts'
import type { VisitorId } from '../../src/core/ids.ts'
import type { Event } from '../../src/event/event.ts'
import { anEvent, visitorNumber } from './events.ts'

export type Population = {
  readonly visitors: readonly VisitorId[]
  readonly tasteful: ReadonlySet<VisitorId>
  readonly events: readonly Event[]
}

/** mulberry32 */
export function makeDice(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

export type PopulationOptions = {
  readonly visitors: number
  readonly seed: number
  readonly nowMs: number
  /** Share of visitors with the taste. */
  readonly tasteful?: number
  /** How much likelier they are to read what shows it. */
  readonly strength?: number
  /** The number of the first visitor. */
  readonly first?: number
}

const TOPICS = 24

export function makePopulation({
  visitors: size,
  seed,
  nowMs,
  tasteful: share = 0.2,
  strength = 4,
  first = 1,
}: PopulationOptions): Population {
  const dice = makeDice(seed)
  const visitors: VisitorId[] = []
  const tasteful = new Set<VisitorId>()
  const events: Event[] = []
  for (let n = 0; n < size; n++) {
    const visitor = visitorNumber(first + n)
    visitors.push(visitor)
    const has = dice() < share
    if (has) tasteful.add(visitor)
    const device = dice() < 0.5 ? 'mobile' : 'desktop'
    for (let topic = 0; topic < TOPICS; topic++) {
      const likely = topic < 2 ? Math.min(0.9, 0.12 * (has ? strength : 1)) : 0.15
      if (dice() > likely) continue
      const ts = Math.floor(nowMs - DAY_MS - dice() * 60 * DAY_MS)
      const path = `/${['garden', 'seeds'][topic] ?? `topic-${String.fromCharCode(97 + topic)}`}/story`
      const page = { origin: 'https://news.example', host: 'news.example', path, url: `https://news.example${path}` }
      events.push(anEvent({ visitor, ts, event: 'page_view', device, ...page }))
    }
    // Everybody is known, whatever he reads.
    const front = { origin: 'https://news.example', host: 'news.example', path: '/', url: 'https://news.example/' }
    events.push(anEvent({ visitor, ts: Math.floor(nowMs - DAY_MS - dice() * 60 * DAY_MS), event: 'page_view', device, ...front }))
  }
  return { visitors, tasteful, events }
}
