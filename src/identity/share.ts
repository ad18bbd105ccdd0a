// Opt-outs told from one collector to the others. The store knows them all, and is asked again and again; a Redis only makes it sooner. Whatever it does
// (away, frozen, emptied), nothing waits for it and nothing is lost.

import { Redis } from 'ioredis'
import { causeOf } from '../core/errors.ts'
import { log } from '../core/log.ts'
import type { Store } from '../engine/store.ts'
import type { Tombstone, Tombstones } from './tombstones.ts'

const CHANNEL = 'madeleine:tombstones'
/** How long an opt-out at another collector may go unheard where there is no Redis. */
const ASK_EVERY_MS = 5_000
/** Batches are numbered by their writer's clock: those of other writers may come a little out of order. */
const OVERLAP_BATCHES = BigInt(10 * 60_000) << 22n
/** A collector that was cut off for longer ships old batches: now and then the whole set, which is small, is read again. */
const WHOLE_EVERY_MS = 300_000

export type TombstoneShare = {
  /** Asks the store now; rejects where it cannot be asked. */
  load(): Promise<void>
  tell(tombstones: readonly Tombstone[]): void
  close(): Promise<void>
}

const isTombstone = (value: unknown): value is Tombstone =>
  typeof value === 'object' &&
  value !== null &&
  /^[\w-]{43}$/.test(String((value as Tombstone).hash)) &&
  /^\d{4}-\d\d-\d\d$/.test(String((value as Tombstone).day)) &&
  typeof (value as Tombstone).isOptedOut === 'boolean'

function heard(message: string): Tombstone[] {
  try {
    const value: unknown = JSON.parse(message)
    return Array.isArray(value) ? value.filter(isTombstone) : []
  } catch {
    return []
  }
}

type Connections = { readonly out: Redis; readonly in: Redis }

function connect(url: string, onMessage: (message: string) => void): Connections {
  const open = (role: string) => {
    const redis = new Redis(url, {
      lazyConnect: true,
      enableOfflineQueue: false, // what cannot be told now is found in the store
      maxRetriesPerRequest: 0,
      retryStrategy: (times) => Math.min(10_000, times * 200),
    })
    let isDown = false
    redis.on('error', (error: Error) => {
      if (!isDown)
        log.warn({ cause: error.message, role }, 'Redis does not answer: opt-outs reach other collectors through the store')
      isDown = true
    })
    redis.on('ready', () => {
      isDown = false
      if (role === 'in') redis.subscribe(CHANNEL).catch(() => {})
    })
    redis.connect().catch(() => {})
    return redis
  }
  const connections = { out: open('out'), in: open('in') }
  connections.in.on('message', (_channel, message: string) => onMessage(message))
  return connections
}

export function shareTombstones(options: {
  readonly tombstones: Tombstones
  readonly store: Store
  readonly redisUrl: string | undefined
  readonly now: () => number
}): TombstoneShare {
  const { tombstones, store, redisUrl, now } = options
  let lastBatch = 0n
  let lastWholeMs = 0
  const redis = redisUrl === undefined ? undefined : connect(redisUrl, (message) => tombstones.load(heard(message), now()))

  async function load(): Promise<void> {
    const isWhole = now() - lastWholeMs > WHOLE_EVERY_MS
    const from = !isWhole && lastBatch > OVERLAP_BATCHES ? lastBatch - OVERLAP_BATCHES : 0n
    const rows = await store.rows<{ batch: string; hash: string; day: string; isOptedOut: number }>({
      owner: 'identity.tombstones',
      sql: `SELECT toString(max(tombstones.batch)) AS batch, hash, toString(argMax(tombstones.day, tombstones.batch)) AS day, argMax(opted_out, tombstones.batch) AS isOptedOut
            FROM madeleine.tombstones WHERE tombstones.batch > {from:UInt64} GROUP BY hash`,
      values: { from },
    })
    if (isWhole) lastWholeMs = now()
    for (const { batch } of rows) if (BigInt(batch) > lastBatch) lastBatch = BigInt(batch)
    tombstones.load(
      rows.map(({ hash, day, isOptedOut }) => ({ hash, day, isOptedOut: isOptedOut === 1 })),
      now(),
    )
  }

  let failing = false
  const asking = setInterval(() => {
    load().then(
      () => {
        failing = false
      },
      (error: unknown) => {
        if (!failing) log.warn({ cause: causeOf(error) }, 'opt-outs of other collectors cannot be read now')
        failing = true
      },
    )
  }, ASK_EVERY_MS)
  asking.unref()

  return {
    load,
    tell(told) {
      redis?.out.publish(CHANNEL, JSON.stringify(told)).catch(() => {})
    },
    async close() {
      clearInterval(asking)
      redis?.out.disconnect()
      redis?.in.disconnect()
    },
  }
}
