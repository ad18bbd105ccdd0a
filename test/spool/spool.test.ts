// The spool as a whole: what it says of itself, and that it has one owner.

import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { openSpool, type Spool } from '../../src/spool/spool.ts'
import { anEvent, visitorNumber } from '../support/events.ts'
import { type Fate, memoryServer } from '../support/memory-store.ts'

const TS = Date.parse('2026-11-20T12:00:00Z')
let data: string
let opened: Spool[]
let fate: Fate
beforeEach(() => {
  data = mkdtempSync(join(tmpdir(), 'spool-'))
  opened = []
  fate = 'stored'
})
afterEach(async () => {
  for (const spool of opened) await spool.close(0)
  rmSync(data, { recursive: true, force: true })
})

const server = () => memoryServer(() => fate)
async function open({ on = server(), maxBytes = 2 ** 30 } = {}): Promise<Spool> {
  const wait = () => turn()
  const options = { data, store: on.connect().store, now: () => TS, prepare: async () => {}, sync: 'never', maxBytes } as const
  const spool = await openSpool({ ...options, parts: { wait } })
  opened.push(spool)
  return spool
}
const event = (n: number) => anEvent({ ts: TS, visitor: visitorNumber(n) })

it('says how much waits and for how long, until it is stored', async () => {
  fate = 'away'
  const spool = await open()
  expect(spool.counts).toMatchObject({ bytesWaiting: 0, oldestSeconds: 0, filesWaiting: 0 })
  await spool.append([event(1)])
  const { bytesWaiting, oldestSeconds } = spool.counts
  expect(bytesWaiting).toBeGreaterThan(100)
  await expect(spool.ship()).rejects.toMatchObject({ code: 'store_unreachable' })
  expect(spool.counts.bytesWaiting).toBe(bytesWaiting)
  expect(spool.counts.oldestSeconds).toBeGreaterThan(oldestSeconds)
  fate = 'stored'
  await spool.ship()
  expect(spool.counts).toMatchObject({ bytesWaiting: 0, oldestSeconds: 0, filesWaiting: 0, rowsShipped: 1 })
})

it('counts what an earlier process left, and its age', async () => {
  fate = 'away'
  const before = await open()
  await before.append([event(1)])
  const { bytesWaiting } = before.counts
  await before.close(0)
  const spool = await open()
  expect(spool.counts.bytesWaiting).toBe(bytesWaiting)
  expect(spool.counts.oldestSeconds).toBeGreaterThan(0)
})

it('would take an event, until it is full, and again when it was shipped', async () => {
  fate = 'away'
  const spool = await open({ maxBytes: 1_000 })
  expect(spool.refusal()).toBeUndefined()
  const taken = await Promise.allSettled(Array.from({ length: 20 }, (_, n) => spool.append([event(n + 1)])))
  expect(new Set(taken.map(({ status }) => status))).toEqual(new Set(['fulfilled', 'rejected']))
  const refused = taken.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []))
  expect(refused[0]).toMatchObject({ code: 'spool_failed', retry: true, hint: expect.stringContaining('spool.max_size') })
  expect(spool.counts.appendsRefused).toBe(refused.length)
  expect(spool.counts.bytesWaiting).toBeLessThanOrEqual(1_000)
  await expect(spool.append(Array.from({ length: 10 }, (_, n) => event(50 + n)))).rejects.toMatchObject({ code: 'spool_failed' })
  fate = 'stored'
  await spool.ship()
  await spool.append([event(100)])
  await spool.ship()
  expect(spool.counts.rowsShipped).toBe(20 - refused.length + 1)
})

it('that cannot be opened lets go of the directory', async () => {
  writeFileSync(join(data, 'spool'), 'in the way')
  await expect(open()).rejects.toThrow()
  rmSync(join(data, 'spool'))
  const spool = await open()
  await spool.append([event(1)])
})

it('has one owner: a second process is refused before it touches a file, and the first goes on', async () => {
  const on = server()
  const first = await open({ on })
  await first.append([event(1)])
  const before = readdirSync(join(data, 'spool'))
  expect(before).toHaveLength(1)
  await expect(open({ on })).rejects.toMatchObject({ code: 'locked' })
  expect(readdirSync(join(data, 'spool'))).toEqual(before)
  await first.append([event(2)])
  await first.ship()
  expect(on.stored.map(({ row }) => row['visitor'])).toEqual([visitorNumber(1), visitorNumber(2)])
})

it('takes nothing after it was closed', async () => {
  const spool = await open()
  await spool.close(0)
  await expect(spool.append([event(1)])).rejects.toMatchObject({ code: 'spool_failed' })
  expect(spool.refusal()).toMatchObject({ code: 'spool_failed' })
})
