// Orders in the store, read when a collector starts and again and again: another collector's, and imported ones. Where the store is away they are read once it
// answers, and until then those that came in here are known.

import { setTimeout as delay } from 'node:timers/promises'
import { causeOf } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { log } from '../core/log.ts'
import type { Store } from '../engine/store.ts'
import type { Order } from '../event/order.ts'
import type { Orders } from './orders.ts'

/** How long an order at another collector may go unheard. */
const ASK_EVERY_MS = 5_000
/** A row is inserted and seen within this, whatever the load (membership/ticks.ts keeps to the same). */
const MARGIN_MS = 120_000
const FIRST_MAX_MS = 10_000

export type KnownOrders = {
  /** Asks the store now; rejects where it cannot be asked. */
  load(): Promise<void>
  /** For a start: as long as it is worth waiting. What is missing then is known soon after. */
  first(): Promise<void>
  close(): void
}

const WHERE = `event = 'conversion' AND order_id != '' AND ts > fromUnixTimestamp64Milli({since:Int64}, 'UTC')
  AND received > fromUnixTimestamp64Milli({received:Int64}, 'UTC')`

export function followKnownOrders(options: {
  readonly orders: Orders
  readonly store: Store
  readonly retentionMs: number
  readonly now: () => number
  readonly pageRows?: number
  readonly max?: number
}): KnownOrders {
  const { orders, store, retentionMs, now, pageRows = LIMITS.pageRows, max = LIMITS.ordersKnown } = options
  /** By the engine's clock: everything that was received by then was read. */
  let receivedMs = 0

  async function readAll(): Promise<void> {
    const [clock] = await store.rows<{ nowMs: number }>({
      owner: 'collect.orders',
      sql: `SELECT toUnixTimestamp64Milli(now64(3, 'UTC')) AS nowMs`,
    })
    const received = Math.max(0, receivedMs - MARGIN_MS)
    const since = now() - retentionMs
    // No more than are kept, and those are the newest. Oldest first, so that the newest are the last to be pushed out.
    const [oldest] = await store.rows<{ tsMs: number }>({
      owner: 'collect.orders',
      sql: `SELECT toUnixTimestamp64Milli(ts) AS tsMs FROM madeleine.events WHERE ${WHERE} ORDER BY events.ts DESC LIMIT 1 OFFSET {max:UInt64}`,
      values: { since, received, max },
    })
    let after: Order = { source: '', orderId: '', tsMs: oldest?.tsMs ?? 0 }
    for (;;) {
      const page = await store.rows<Order>({
        owner: 'collect.orders',
        sql: `SELECT toString(source) AS source, order_id AS orderId, toUnixTimestamp64Milli(ts) AS tsMs
              FROM madeleine.events WHERE ${WHERE} AND ts >= fromUnixTimestamp64Milli({tsMs:Int64}, 'UTC')
                AND (toUnixTimestamp64Milli(ts), toString(events.source), order_id) > ({tsMs:Int64}, {source:String}, {orderId:String})
              GROUP BY ts, events.source, order_id ORDER BY tsMs, source, orderId LIMIT {pageRows:UInt64}`,
        values: { since, received, pageRows, source: after.source, orderId: after.orderId, tsMs: after.tsMs },
      })
      for (const order of page) orders.remember(order)
      const last = page.at(-1)
      if (!last || page.length < pageRows) break
      after = last
    }
    receivedMs = clock?.nowMs ?? 0
  }

  let reading: Promise<void> | undefined
  const load = (): Promise<void> => {
    reading ??= readAll().finally(() => {
      reading = undefined
    })
    return reading
  }

  let isFailing = false
  const asking = setInterval(() => {
    load().then(
      () => {
        isFailing = false
      },
      (error: unknown) => {
        if (!isFailing) log.warn({ cause: causeOf(error) }, 'orders in the store cannot be read now')
        isFailing = true
      },
    )
  }, ASK_EVERY_MS)
  asking.unref()

  return {
    load,
    async first() {
      try {
        await Promise.race([load(), delay(FIRST_MAX_MS, undefined, { ref: false })])
      } catch (error) {
        log.warn({ cause: causeOf(error) }, 'orders in the store cannot be read yet')
      }
    },
    close: () => clearInterval(asking),
  }
}
