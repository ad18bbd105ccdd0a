import { describe, expect, test } from 'vitest'
import { readAgent } from '../../src/collect/agent.ts'
import { DAY_MS } from '../../src/core/duration.ts'
import { BOTS, BROWSERS } from '../../src/demo/agents.ts'
import { PRICES, SHOP, SITES } from '../../src/demo/sites.ts'
import { eventsOf, type Sender, simulateTraffic } from '../../src/demo/traffic.ts'
import { parseFields } from '../../src/event/fields.ts'
import { loadSettings } from '../../src/settings/load.ts'
import { CONTENT_NODES } from '../../src/taxonomy/content.ts'

const NOW_MS = Date.parse('2026-11-21T22:00:00Z')
const size = { seed: 7, nowMs: NOW_MS, visitors: 300 }
const senders = simulateTraffic(size)
const people = senders.filter(({ kind }) => kind === 'person')
const bots = senders.filter(({ kind }) => kind === 'bot')
const momentsOf = ({ hits }: Sender): number[] => hits.flatMap(({ events }) => events.map(({ ts }) => ts))

describe('the sample traffic', () => {
  test('is the same for the same seed and moment', () => {
    expect(simulateTraffic(size)).toEqual(senders)
  })

  test('is another for another seed', () => {
    expect(simulateTraffic({ ...size, seed: 8 })).not.toEqual(senders)
  })

  test('keeps its amount at another time of day', () => {
    const later = simulateTraffic({ ...size, nowMs: NOW_MS + 9.5 * 3_600_000 })
    expect(Math.abs(eventsOf(later, 'person') / eventsOf(senders, 'person') - 1)).toBeLessThan(0.03)
  })

  test("lies inside 30 days, each sender's hits and events in time order", () => {
    for (const sender of senders) {
      const moments = momentsOf(sender)
      expect(moments).toEqual(moments.toSorted((a, b) => a - b))
      expect(moments[0]).toBeGreaterThan(NOW_MS - 30 * DAY_MS)
      expect(moments.at(-1)).toBeLessThanOrEqual(NOW_MS)
    }
  })

  test('comes from as many people as asked for, each with something to say, and from bots among them', () => {
    expect(people).toHaveLength(300)
    expect(people.every(({ hits }) => hits.length > 0)).toBe(true)
    expect(bots).toHaveLength(12)
    expect(senders.findIndex(({ kind }) => kind === 'bot')).toBeLessThan(25)
  })

  test('comes about half through the pixel and half through beacons, of one event and of several', () => {
    const hits = people.flatMap((person) => person.hits)
    const pixels = hits.filter(({ via }) => via === 'pixel')
    const sizes = new Set(hits.filter(({ via }) => via === 'beacon').map(({ events }) => Math.min(2, events.length)))
    expect(pixels.length / hits.length).toBeGreaterThan(0.4)
    expect(pixels.length / hits.length).toBeLessThan(0.6)
    expect(pixels.every(({ events }) => events.length === 1)).toBe(true)
    expect(sizes).toEqual(new Set([1, 2]))
  })

  test('orders what was put into the cart of the visit, each order under a number of its own', () => {
    const events = people.flatMap(({ hits }) => hits.flatMap((hit) => hit.events))
    const orders = events.filter(({ event }) => event === 'conversion')
    expect(orders.length).toBeGreaterThan(0)
    expect(new Set(orders.map((order) => order['order_id'])).size).toBe(orders.length)
    expect(orders.every((order) => Number(order['value']) > 0 && order['currency'] === 'EUR')).toBe(true)
  })

  test('says nothing that the collector would refuse or ignore', () => {
    for (const { hits } of senders)
      for (const { events } of hits)
        for (const event of events)
          expect(parseFields(event, { form: 'json', derived: true })).toMatchObject({ ok: true, ignored: [] })
  })
})

describe('who sends it', () => {
  test.each(BROWSERS)('$agent is a person on a device we know', ({ agent }) => {
    expect(readAgent(agent)).toMatchObject({ bot: false, device: expect.stringMatching(/^(desktop|mobile|tablet)$/) })
  })

  test.each(BOTS)('%s is a bot', (agent) => {
    expect(readAgent(agent).bot).toBe(true)
  })
})

describe('the network', () => {
  const settings = loadSettings(new URL('../../config', import.meta.url).pathname, {})

  test('is what the sample configuration declares', () => {
    const declared = [...settings.sources.values()].map(({ id, hosts }) => ({ id, hosts }))
    expect(SITES.map(({ source, host }) => ({ id: source, hosts: [host] })).toSorted(byId)).toEqual(declared.toSorted(byId))
  })

  test('files its sections under categories of the taxonomy', () => {
    for (const { sections } of SITES) for (const { category } of sections) expect(CONTENT_NODES.has(category)).toBe(true)
  })

  test('has a price for every product and a product for every price', () => {
    expect(SHOP.sections.flatMap(({ pages }) => pages).toSorted()).toEqual([...PRICES.keys()].toSorted())
  })
})

const byId = (a: { readonly id: string }, b: { readonly id: string }): number => a.id.localeCompare(b.id)
