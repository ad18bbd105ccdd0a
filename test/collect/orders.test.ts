// A conversion counts once: orders that are known, at the same time, and while a write may still fail.

import { expect, it } from 'vitest'
import { withoutKnown } from '../../src/collect/answer.ts'
import { makeOrders } from '../../src/collect/orders.ts'
import { DAY_MS } from '../../src/core/duration.ts'
import { LIMITS } from '../../src/core/limits.ts'
import type { Order } from '../../src/event/order.ts'
import { anEvent } from '../support/events.ts'

const now = Date.UTC(2026, 10, 22, 12)
const order = (orderId: string, source = 'shop', tsMs = now): Order => ({ orderId, source, tsMs })

/** What becomes of orders that come in one after the other and are written at once. */
async function accepted(orders: ReturnType<typeof makeOrders>, asked: readonly Order[], nowMs = now) {
  const { isNew, confirm } = await orders.reserve(asked, nowMs)
  confirm()
  return isNew
}

it('an order is new once: at its source, in one body and in later ones, until it is past retention', async () => {
  const orders = makeOrders(30 * DAY_MS)
  expect(await accepted(orders, [order('a'), order('b'), order('a')])).toEqual([true, true, false])
  expect(await accepted(orders, [order('a'), order('c'), order('a', 'other')])).toEqual([false, true, true])
  expect(await accepted(orders, [order('A'), order('a ')])).toEqual([true, true]) // as it is written
  expect(await accepted(orders, [order('a')], now + 30 * DAY_MS - 1)).toEqual([false])
  expect(await accepted(orders, [order('a')], now + 30 * DAY_MS)).toEqual([true])
})

it('of two at the same time one is new, and where its write fails it is the other', async () => {
  const orders = makeOrders(DAY_MS)
  for (const isKept of [true, false]) {
    const first = await orders.reserve([order(`id-${isKept}`)], now)
    expect(first.isNew).toEqual([true])
    let isSettled = false
    const second = orders.reserve([order(`id-${isKept}`)], now).then((reservation) => {
      isSettled = true
      reservation.confirm()
      return reservation.isNew
    })
    expect(await accepted(orders, [order(`beside-${isKept}`)])).toEqual([true])
    expect(isSettled).toBe(false)
    if (isKept) first.confirm()
    else first.release()
    expect(await second).toEqual([!isKept])
  }
})

it('two that each wait for an order of the other come to an end, and each order is kept once', async () => {
  const orders = makeOrders(DAY_MS)
  const held = await orders.reserve([order('x')], now)
  const waiting = [
    [order('x'), order('y')],
    [order('y'), order('x')],
    [order('y'), order('z')],
  ].map((asked) => accepted(orders, asked))
  held.release()
  const kept = (await Promise.all(waiting)).flat()
  expect(kept.filter(Boolean)).toHaveLength(3)
})

it('a hundred at once of one order, each write failing but the last: the last is kept', async () => {
  const orders = makeOrders(DAY_MS)
  let turn = 0
  const outcomes = await Promise.all(
    Array.from({ length: 100 }, async () => {
      const { isNew, confirm, release } = await orders.reserve([order('wanted')], now)
      await new Promise((resolve) => setImmediate(resolve))
      if (++turn === 100) confirm()
      else release()
      return isNew[0]
    }),
  )
  expect(outcomes).toEqual(Array(100).fill(true))
  expect(await accepted(orders, [order('wanted')])).toEqual([false])
})

it('remembers so many, and forgets the oldest first', async () => {
  const orders = makeOrders(DAY_MS, 3)
  for (const id of ['a', 'b', 'c']) orders.remember(order(id))
  orders.remember(order('a'))
  orders.remember(order('d'))
  expect(orders.size).toBe(3)
  expect(await accepted(orders, [order('a'), order('c'), order('d')])).toEqual([false, false, false])
  expect(await accepted(orders, [order('b')])).toEqual([true])
})

it('of a hit the known orders are dropped by their reason, everything else stays; whoever is left with nothing gets no new id', async () => {
  const orders = makeOrders(DAY_MS)
  orders.remember(order('known', 'news'))
  const conversion = (order_id: string) => anEvent({ event: 'conversion', order_id })
  const kept = { kind: 'event', source: 'news' } as const
  const hit = {
    events: [conversion('known'), anEvent({ event: 'page_view', order_id: 'known' }), conversion('new'), conversion('')],
    decisions: [kept, { kind: 'drop', reason: 'gpc' }, kept, kept, kept],
    setCookies: ['id'],
    identity: { kind: 'new' },
  } as unknown as Parameters<typeof withoutKnown>[0]
  const reservation = await orders.reserve([order('known', 'news'), order('new', 'news')], now)
  const left = withoutKnown(hit, reservation)
  expect(left.events.map(({ event, order_id }) => `${event} ${order_id}`)).toEqual([
    'page_view known',
    'conversion new',
    'conversion ',
  ])
  expect(left.decisions).toEqual([{ kind: 'drop', reason: 'duplicate_order' }, { kind: 'drop', reason: 'gpc' }, kept, kept, kept])
  expect(left.setCookies).toEqual(['id'])
  reservation.release()
  const alone = { ...hit, events: [conversion('known')], decisions: hit.decisions.slice(0, 1) }
  expect(withoutKnown(alone, await orders.reserve([order('known', 'news')], now))).toMatchObject({ events: [], setCookies: [] })
})

it('bounds how many wait for one that another has in hand; all that wait are answered', async () => {
  const orders = makeOrders(30 * DAY_MS)
  const first = await orders.reserve([order('a')], now)
  const waiting = Array.from({ length: LIMITS.ordersWaiting }, () => orders.reserve([order('a')], now))
  await expect(orders.reserve([order('a')], now)).rejects.toMatchObject({ code: 'spool_failed', retry: true })
  expect(await accepted(orders, [order('b')])).toEqual([true])
  first.confirm()
  expect(new Set((await Promise.all(waiting)).map(({ isNew }) => isNew[0]))).toEqual(new Set([false]))
  expect(await accepted(orders, [order('a')])).toEqual([false])
})
