// Orders that were converted already, so that a conversion counts once however often its page is loaded. Known as hashes, in memory, for as long as the event is.
// Invariant: an order is known from the moment its event is durable, and in between only reserved. Whoever brings an order that is reserved waits for what
// becomes of it: of two at the same time one is kept, and where its write fails, the other.

import { createHmac, randomBytes } from 'node:crypto'
import { MadeleineError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { Order } from '../event/order.ts'

/** 52 bits of a keyed hash: a number that fits, and a false one in a million million conversions beside a million others. */
type Key = number

export type Reservation = {
  /** By place in what was asked for: false for an order that is known, or stands there twice. */
  readonly isNew: readonly boolean[]
  /** The events are durable. */
  confirm(): void
  /** They are not. */
  release(): void
}

export type Orders = {
  /** At once, unless somebody else is writing one of them down. */
  reserve(orders: readonly Order[], nowMs: number): Promise<Reservation>
  /** What was kept before, or by others. */
  remember(order: Order): void
  readonly size: number
}

const MINUTE_MS = 60_000

export function makeOrders(retentionMs: number, max: number = LIMITS.ordersKnown): Orders {
  /** The minute of the event, rounded up: whole numbers cost less to keep. */
  const known = new Map<Key, number>()
  const reserved = new Map<Key, Promise<void>>()
  const hashKey = randomBytes(32)
  let waiting = 0

  function keyOf({ source, orderId }: Order): Key {
    // A source's id has no newline in it.
    const hash = createHmac('sha256', hashKey).update(`${source}\n${orderId}`).digest()
    return hash.readUIntBE(0, 6) * 16 + ((hash[6] ?? 0) >> 4)
  }

  function isKnown(key: Key, nowMs: number): boolean {
    const minute = known.get(key)
    return minute !== undefined && minute * MINUTE_MS > nowMs - retentionMs
  }

  function put(key: Key, tsMs: number): void {
    const minute = Math.max(known.get(key) ?? 0, Math.ceil(tsMs / MINUTE_MS))
    known.delete(key) // to the end: the ones at the front go first
    known.set(key, minute)
    if (known.size <= max) return
    for (const oldest of known.keys()) {
      known.delete(oldest)
      break
    }
  }

  return {
    async reserve(orders, nowMs) {
      const keys = orders.map(keyOf)
      // All or none: whoever waited with some of them in hand could be waited for in turn.
      for (;;) {
        const busy = keys.map((key) => reserved.get(key)).find((promise) => promise !== undefined)
        if (!busy) break
        // What waits here is held in memory, and comes again one by one where the disk takes nothing.
        if (waiting >= LIMITS.ordersWaiting)
          throw new MadeleineError('spool_failed', 'too many requests wait for the same orders', { retry: true })
        waiting++
        await busy.finally(() => waiting--)
      }
      const own = new Map<Key, number>()
      const isNew = orders.map(({ tsMs }, n) => {
        const key = keys[n] ?? 0
        if (own.has(key) || isKnown(key, nowMs)) return false
        own.set(key, tsMs)
        return true
      })
      let settle: () => void = () => {}
      const settled = new Promise<void>((resolve) => {
        settle = resolve
      })
      for (const key of own.keys()) reserved.set(key, settled)
      function end(): void {
        for (const key of own.keys()) reserved.delete(key)
        settle()
      }
      return {
        isNew,
        confirm() {
          for (const [key, tsMs] of own) put(key, tsMs)
          end()
        },
        release: end,
      }
    },
    remember: (order) => put(keyOf(order), order.tsMs),
    get size() {
      return known.size
    },
  }
}
