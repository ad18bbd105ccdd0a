// An opt-out at one collector reaches the other: through the store always, at once where there is a Redis, and no worse than through the store where
// Redis is away.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DAY_MS } from '../../src/core/duration.ts'
import { shareTombstones } from '../../src/identity/share.ts'
import { makeTombstones, type Tombstone } from '../../src/identity/tombstones.ts'
import { makeBatches } from '../../src/spool/batches.ts'
import { lineInBatch, NOTE_TABLES, tombstoneLine } from '../../src/spool/row.ts'
import { visitorNumber } from '../support/events.ts'
import { hasRedis, startRedis } from '../support/redis.ts'
import { openScratchStore, type ScratchStore } from '../support/store.ts'

const KEY = 'a key that two collectors have in common'
const now = Date.now()

it('an opted-out id is found by whoever has it and the key, until the day comes when it may be forgotten', () => {
  const tombstones = makeTombstones(KEY)
  const tombstone = tombstones.set(visitorNumber(1), true, now)
  expect([tombstones.has(visitorNumber(1)), tombstones.has(visitorNumber(2))]).toEqual([true, false])
  expect(JSON.stringify(tombstone)).not.toContain(visitorNumber(1))
  const [same, other] = [makeTombstones(KEY), makeTombstones('another key')]
  for (const reader of [same, other]) reader.load([tombstone], now)
  expect([same.has(visitorNumber(1)), other.has(visitorNumber(1))]).toEqual([true, false])
  const later = makeTombstones(KEY)
  later.load([tombstone], now + 400 * DAY_MS)
  expect(later.size).toBe(1)
  later.load([tombstone], now + 402 * DAY_MS)
  expect(later.size).toBe(0)
})

describe('two collectors', () => {
  let scratch: ScratchStore
  beforeAll(async () => {
    scratch = await openScratchStore()
  })
  afterAll(() => scratch.close())
  const nextBatch = makeBatches(() => Date.now())
  const keep = (tombstone: Tombstone) =>
    scratch.store.insertLines({
      owner: 'test',
      into: NOTE_TABLES.tombstones,
      lines: Buffer.from(lineInBatch(tombstoneLine(tombstone), nextBatch())),
    })
  const open = (redisUrl?: string) => {
    const tombstones = makeTombstones(KEY)
    return { tombstones, share: shareTombstones({ tombstones, store: scratch.store, redisUrl, now: () => now }) }
  }

  it('hear of an opt-out, and of its end, from the store', async () => {
    const [a, b] = [makeTombstones(KEY), open()]
    await keep(a.set(visitorNumber(1), true, now))
    await b.share.load()
    expect(b.tombstones.has(visitorNumber(1))).toBe(true)
    await keep(a.set(visitorNumber(1), false, now))
    await keep(a.set(visitorNumber(2), true, now))
    await b.share.load()
    expect([b.tombstones.has(visitorNumber(1)), b.tombstones.has(visitorNumber(2))]).toEqual([false, true])
    await b.share.close()
  })

  it.skipIf(!hasRedis && process.env['CI'] !== 'true')(
    'hear of it at once through Redis, and go on without it (skipped where redis-server is missing, except in CI)',
    async () => {
      const redis = await startRedis()
      const [a, b] = [open(redis.url), open(redis.url)]
      // Told again until the other has subscribed: what is told before is for the store to say.
      await expect
        .poll(() => {
          a.share.tell([a.tombstones.set(visitorNumber(3), true, now)])
          return b.tombstones.has(visitorNumber(3))
        })
        .toBe(true)
      await redis.stop()
      const late = a.tombstones.set(visitorNumber(4), true, now)
      a.share.tell([late])
      await keep(late)
      await b.share.load()
      expect(b.tombstones.has(visitorNumber(4))).toBe(true)
      await Promise.all([a.share.close(), b.share.close()])
    },
  )
})
