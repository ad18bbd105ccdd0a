// The spool as the rest sees it: serve opens it for the time it runs, a command has it shipped before it reads.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { ConsentSignal } from '../consent/standing.ts'
import { MadeleineError } from '../core/errors.ts'
import type { Store } from '../engine/store.ts'
import type { Event } from '../event/event.ts'
import type { Order } from '../event/order.ts'
import type { Match } from '../identity/matches.ts'
import type { Tombstone } from '../identity/tombstones.ts'
import { expireAside } from './aside.ts'
import { makeBatches } from './batches.ts'
import { askOwner, claimDirectory, errorOf, type OnCommand } from './claim.ts'
import { isNote, parseSpoolName, partitionOf } from './names.ts'
import { recoverSpool } from './recover.ts'
import { eventLine, matchLine, parseOrderLine, parseTombstoneLine, signalLine, tombstoneLine } from './row.ts'
import { type Shipper, startShipper } from './shipper.ts'
import { openWriter } from './writer.ts'

export type SpoolNotes = {
  readonly signals: readonly ConsentSignal[]
  readonly tombstones?: readonly Tombstone[]
  readonly matches?: readonly Match[]
}

export type Spool = {
  /** Resolves when all of the events, and what visitors said beside, would survive kill -9; rejects with spool_failed, then none is kept. */
  append(events: readonly Event[], notes?: SpoolNotes): Promise<void>
  /** Everything appended so far is in the store when this resolves. */
  ship(): Promise<void>
  readonly counts: Shipper['counts']
  /** Opt-outs that were written down before and may not be in the store yet. */
  readonly leftTombstones: readonly Tombstone[]
  /** Removes what was set aside before a moment. */
  expireAside(untilMs: number): void
  /** Ships what there is for at most `withinMs`, then lets go; what is left is shipped at the next start. */
  close(withinMs: number): Promise<void>
}

const spoolDirectory = (data: string): string => join(data, 'spool')

export async function openSpool(options: {
  readonly data: string
  readonly store: Store
  readonly now: () => number
  readonly prepare: () => Promise<void>
  /** Called with each order that was written down before and may not be in the store yet. */
  readonly onLeftOrder?: (order: Order) => void
}): Promise<Spool> {
  const { data, store, now, prepare, onLeftOrder } = options
  const directory = spoolDirectory(data)
  let ship = async (): Promise<void> => {}
  const claim = await claimAsServe(data, async () => {
    await ship()
    return ''
  })
  const nextBatch = makeBatches(now)
  const left = recoverSpool(directory)
  const leftTombstones = left.flatMap((file) => readTombstones(directory, file))
  if (onLeftOrder) for (const file of left) readOrders(directory, file, onLeftOrder)
  const shipper = startShipper({ directory, store, nextBatch, prepare })
  for (const file of left) shipper.add(file, true)
  const writer = openWriter({ directory, nextBatch, now, onReady: (file) => shipper.add(file, false) })
  ship = () => {
    writer.rotate()
    return shipper.drain()
  }
  return {
    append(events, notes) {
      const lines = events.map((event) => ({ partition: partitionOf(event.ts), line: eventLine(event) }))
      for (const signal of notes?.signals ?? []) lines.push({ partition: 'signals', line: signalLine(signal) })
      for (const tombstone of notes?.tombstones ?? []) lines.push({ partition: 'tombstones', line: tombstoneLine(tombstone) })
      for (const match of notes?.matches ?? []) lines.push({ partition: 'matches', line: matchLine(match) })
      return writer.append(lines)
    },
    ship: () => ship(),
    counts: shipper.counts,
    leftTombstones,
    expireAside: (untilMs) => expireAside(directory, untilMs),
    async close(withinMs) {
      writer.close()
      await Promise.race([shipper.drain().catch(() => {}), delay(withinMs, undefined, { ref: false })])
      await shipper.stop()
      await claim.release()
    },
  }
}

function readTombstones(directory: string, file: string): Tombstone[] {
  if (parseSpoolName(file)?.partition !== 'tombstones') return []
  const lines = readFileSync(join(directory, file), 'utf8').split('\n').filter(Boolean)
  return lines.flatMap((line) => parseTombstoneLine(line) ?? [])
}

function readOrders(directory: string, file: string, onOrder: (order: Order) => void): void {
  if (isNote(parseSpoolName(file)?.partition ?? '')) return
  const bytes = readFileSync(join(directory, file))
  if (!bytes.includes('"event":"conversion"')) return // most files hold none, and a store that was away leaves many
  for (const line of bytes.toString('utf8').split('\n')) {
    const order = parseOrderLine(line)
    if (order) onOrder(order)
  }
}

const COMMAND_WAIT_MS = 120_000

/** A command that is shipping holds the directory for a moment; only another `serve` is a reason to refuse. */
async function claimAsServe(data: string, onCommand: OnCommand): ReturnType<typeof claimDirectory> {
  const until = Date.now() + COMMAND_WAIT_MS
  for (;;) {
    try {
      return await claimDirectory(data, 'serve', onCommand)
    } catch (error) {
      if (!(error instanceof MadeleineError && error.retry) || Date.now() > until) throw error
      await delay(50)
    }
  }
}

/** Ships what the spool holds: through the running server, or here where there is none. Every command that reads events calls it first. */
export async function shipSpool(data: string, store: Store, now: () => number): Promise<void> {
  const directory = spoolDirectory(data)
  const until = Date.now() + COMMAND_WAIT_MS
  for (;;) {
    const owner = await askOwner(data)
    if (owner?.body === 'serve') {
      const shipped = await askOwner(data, { method: 'POST', path: '/ship' })
      if (shipped?.status === 200) return
      if (shipped)
        throw new MadeleineError('store_unreachable', `the running server cannot ship its spool: ${errorOf(shipped).message}`, {
          retry: true,
        })
      continue // it stopped between the two questions
    }
    if (!owner && !(existsSync(directory) && readdirSync(directory).some((file) => parseSpoolName(file)))) return
    try {
      const claim = await claimDirectory(data, 'command', () =>
        Promise.reject(new MadeleineError('locked', 'a command holds the directory')),
      )
      try {
        await shipLeftovers(directory, store, now)
      } finally {
        await claim.release()
      }
      return
    } catch (error) {
      if (!(error instanceof MadeleineError && error.code === 'locked') || Date.now() > until) throw error
      await delay(50)
    }
  }
}

async function shipLeftovers(directory: string, store: Store, now: () => number): Promise<void> {
  const shipper = startShipper({ directory, store, nextBatch: makeBatches(now) })
  for (const file of recoverSpool(directory)) shipper.add(file, true)
  try {
    await shipper.drain()
  } finally {
    await shipper.stop()
  }
}
