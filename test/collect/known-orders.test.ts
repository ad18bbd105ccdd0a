// Orders as a collector finds them in the store.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { followKnownOrders } from '../../src/collect/known-orders.ts'
import { makeOrders } from '../../src/collect/orders.ts'
import { DAY_MS } from '../../src/core/duration.ts'
import { anEvent, storeEvents } from '../support/events.ts'
import { openScratchStore, type ScratchStore, STORE_MODES } from '../support/store.ts'

const now = Date.now()
const conversion = (order_id: string, source = 'shop', ts = now - DAY_MS) =>
  anEvent({ event: 'conversion', order_id, source, ts })

describe.each(STORE_MODES)('from %s', (mode) => {
  let scratch: ScratchStore
  beforeAll(async () => {
    scratch = await openScratchStore(mode)
    const many = Array.from({ length: 25 }, (_, n) =>
      conversion(`many-${n}`, n % 2 ? 'shop' : 'other', now - DAY_MS - Math.floor(n / 5)),
    )
    await storeEvents(scratch.store, [
      ...many,
      conversion('twice'),
      conversion('twice'),
      conversion('old', 'shop', now - 40 * DAY_MS),
      conversion(''),
      anEvent({ event: 'page_view', order_id: 'looked-at', ts: now - DAY_MS }),
      conversion('it’s "quoted" \\ here'),
    ])
  })
  afterAll(() => scratch?.close())

  async function follow(options: { pageRows?: number; max?: number } = {}) {
    const orders = makeOrders(30 * DAY_MS, options.max)
    const followed = followKnownOrders({ orders, store: scratch.store, retentionMs: 30 * DAY_MS, now: () => now, ...options })
    const isKnown = async (orderId: string, source = 'shop') => {
      const reservation = await orders.reserve([{ orderId, source, tsMs: now }], now)
      reservation.release()
      return !reservation.isNew[0]
    }
    await followed.load()
    return { orders, followed, isKnown }
  }

  it.each([1_000, 7, 1])('those of conversions inside retention are read, %i at once', async (pageRows) => {
    const { orders, followed, isKnown } = await follow({ pageRows })
    expect(orders.size).toBe(27)
    for (let n = 0; n < 25; n++) expect(await isKnown(`many-${n}`, n % 2 ? 'shop' : 'other')).toBe(true)
    expect(await isKnown('many-0', 'shop')).toBe(false)
    expect([await isKnown('twice'), await isKnown('it’s "quoted" \\ here')]).toEqual([true, true])
    expect([await isKnown('old'), await isKnown('looked-at', 'news'), await isKnown('')]).toEqual([false, false, false])
    followed.close()
  })

  it('of more than there is room for, the newest', async () => {
    const { orders, followed, isKnown } = await follow({ max: 7, pageRows: 3 })
    expect(orders.size).toBe(7)
    expect([await isKnown('twice'), await isKnown('many-24', 'other')]).toEqual([true, false])
    followed.close()
  })

  it('what another collector or an import has stored since is found when they are asked for again', async () => {
    const { followed, isKnown } = await follow()
    expect(await isKnown('later')).toBe(false)
    await storeEvents(scratch.store, [conversion('later', 'shop', now - 20 * DAY_MS)])
    await followed.load()
    expect(await isKnown('later')).toBe(true)
    followed.close()
  })
})
