// The spool as the rest sees it: serve opens it for the time it runs, a command has it shipped before it reads.
//
// Its invariants, each held by test/property/spool.test.ts against a model, under crashes, damage, a store that fails and clocks that jump:
//  1. What was acknowledged is in the spool or in the store until retention ends it: after kill -9 at any moment, and after a power cut but for what
//     `spool.sync` allows (writer.ts, syncs.ts).
//  2. What was refused is in neither. An append is taken whole or not at all. (Of what nobody answered, because the process was killed, either may be true.)
//  3. A file is written by one process, once, and never again after its name ends in `.ready`; it holds one partition and one batch (names.ts, claim.ts).
//  4. What is held in memory and on disk is bounded; beyond it appends are refused, and taken again when there is room, without a hand.
//  5. A line is stored once: a file is sent as one block under one token, and looked for by its batch where it may have been sent before (shipper.ts).
//  6. Only lines as they were written are stored, under the file's own name; all others are in `aside/` with a reason (seal.ts, recover.ts). None keeps
//     the others from being stored, nor the collector from starting.
//  7. A file leaves the spool only when the store has said yes, when files that hold all of it are on disk (refusal.ts), or into `aside/`.
//  8. None of this asks what time it is: numbers only grow while a process lives, ages are of a clock that only grows, and two files of one number are still two.

import { existsSync, readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { setTimeout as delay, setImmediate as pause } from 'node:timers/promises'
import type { ConsentSignal } from '../consent/standing.ts'
import { MadeleineError, messageOf } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { log } from '../core/log.ts'
import type { Store } from '../engine/store.ts'
import type { Event } from '../event/event.ts'
import type { Order } from '../event/order.ts'
import type { Match } from '../identity/matches.ts'
import type { Tombstone } from '../identity/tombstones.ts'
import type { SpoolSync } from '../settings/schema.ts'
import { expireAside } from './aside.ts'
import { makeBatches } from './batches.ts'
import { askOwner, claimDirectory, errorOf, type OnCommand } from './claim.ts'
import { DISK, type Disk } from './disk.ts'
import { isNote, parseSpoolName, partitionOf } from './names.ts'
import { type LeftFile, recoverSpool } from './recover.ts'
import { eventLine, matchLine, parseOrderLine, parseTombstoneLine, signalLine, tombstoneLine } from './row.ts'
import { checkLines, rowsOf } from './seal.ts'
import { type ShipCounts, type Shipment, type Shipper, startShipper, type Wait, waitFor } from './shipper.ts'
import { openWriter, type SpoolWriter } from './writer.ts'

export type SpoolNotes = {
  readonly signals: readonly ConsentSignal[]
  readonly tombstones?: readonly Tombstone[]
  readonly matches?: readonly Match[]
}

export type SpoolCounts = Omit<ShipCounts, 'bytesWaiting'> & {
  /** Not stored yet, of open and of closed files. */
  readonly bytesWaiting: number
  /** Age of the oldest file that is not stored yet; 0 where there is none. */
  readonly oldestSeconds: number
  readonly appendsRefused: number
}

export type Spool = {
  /** Resolves when all of the events, and what visitors said beside, are as durable as `spool.sync` says; rejects with spool_failed, then none is kept. */
  append(events: readonly Event[], notes?: SpoolNotes): Promise<void>
  /** Everything appended so far is in the store when this resolves. */
  ship(): Promise<void>
  readonly counts: SpoolCounts
  /** Why an event that is sent now would be refused, as far as can be known without writing. */
  refusal(): MadeleineError | undefined
  /** Opt-outs that were written down before and may not be in the store yet. */
  readonly leftTombstones: readonly Tombstone[]
  /** Removes what was set aside before a moment. */
  expireAside(untilMs: number): void
  /** Ships what there is for at most `withinMs`, then lets go; what is left is shipped at the next start. */
  close(withinMs: number): Promise<void>
}

const spoolDirectory = (data: string): string => join(data, 'spool')

/** Files that an earlier process left, and may have sent. */
const leftShipments = (left: readonly LeftFile[], nowMs: number, elapsedMs: number): Shipment[] =>
  left.map(({ file, bytes, writtenMs }) => {
    const ageMs = Math.max(0, nowMs - writtenMs)
    return { file, bytes, sinceMs: elapsedMs - ageMs, maybeSent: true }
  })

export async function openSpool(options: {
  readonly data: string
  readonly store: Store
  readonly now: () => number
  readonly prepare: () => Promise<void>
  /** Called with each order that was written down before and may not be in the store yet. */
  readonly onLeftOrder?: (order: Order) => void
  readonly sync: SpoolSync
  readonly maxBytes: number
  /** Replaced where a test needs a disk that fails, a clock that only grows of its own, no time between tries, or a writer that was drawn before. */
  readonly parts?: { readonly disk?: Disk; readonly elapsed?: () => number; readonly wait?: Wait; readonly writer?: number }
}): Promise<Spool> {
  const { data, store, now, prepare, onLeftOrder, sync, maxBytes, parts = {} } = options
  const { disk = DISK, elapsed = () => performance.now(), wait = waitFor } = parts
  const directory = spoolDirectory(data)
  let ship = async (): Promise<void> => {}
  const claim = await claimAsServe(data, async () => {
    await ship()
    return ''
  })
  let left: LeftFile[]
  let leftTombstones: Tombstone[]
  let writer: SpoolWriter
  let shipper: Shipper
  try {
    const nextBatch = makeBatches(now, parts.writer)
    left = recoverSpool(directory)
    leftTombstones = await readTombstones(directory, left)
    if (onLeftOrder) await readOrders(directory, left, onLeftOrder)
    writer = openWriter({
      directory,
      nextBatch,
      sync,
      maxBytes,
      disk,
      elapsed,
      readyBytes: () => shipper.counts.bytesWaiting,
      onReady: ({ name, bytes, openedMs }) => shipper.add({ file: name, bytes, sinceMs: openedMs, maybeSent: false }),
    })
    shipper = startShipper({ directory, store, nextBatch, prepare, wait })
  } catch (error) {
    await claim.release() // a process that cannot write must neither keep the directory nor stay for its socket's sake
    throw error
  }
  for (const shipment of leftShipments(left, now(), elapsed())) shipper.add(shipment)
  ship = async () => {
    await writer.rotate()
    await shipper.drain()
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
    get counts() {
      const oldest = Math.min(writer.oldestMs ?? Infinity, shipper.oldestMs ?? Infinity)
      return {
        ...shipper.counts,
        bytesWaiting: shipper.counts.bytesWaiting + writer.bytes,
        oldestSeconds: oldest === Infinity ? 0 : Math.max(0, elapsed() - oldest) / 1_000,
        appendsRefused: writer.counts.refused,
      }
    },
    refusal: () => writer.refusal(),
    leftTombstones,
    expireAside: (untilMs) => expireAside(directory, untilMs),
    async close(withinMs) {
      const patience = delay(withinMs, undefined, { ref: false })
      const written = writer.close()
      await Promise.race([written.then(() => shipper.drain()).catch(() => {}), patience])
      await shipper.stop()
      await written // the next owner must not find a file that is still cut back or renamed here
      await claim.release()
    },
  }
}

/** The whole lines of a left file; none where it cannot be read, which the shipper meets again and tells. */
async function readLeft(directory: string, file: string, isWanted: (bytes: Buffer) => boolean = () => true): Promise<string[]> {
  const name = parseSpoolName(file)
  if (!name) return []
  try {
    const bytes = await readFile(join(directory, file))
    return isWanted(bytes) ? rowsOf((await checkLines(bytes, name, pause)).lines) : []
  } catch (error) {
    log.error({ file, err: messageOf(error) }, 'a spool file could not be read at the start')
    return []
  }
}

async function readTombstones(directory: string, left: readonly LeftFile[]): Promise<Tombstone[]> {
  const found: Tombstone[] = []
  for (const { file } of left)
    if (parseSpoolName(file)?.partition === 'tombstones')
      for (const line of await readLeft(directory, file)) found.push(...[parseTombstoneLine(line) ?? []].flat())
  return found
}

/** Of the newest files: after a long outage of the store there may be many, and nobody is answered before. Those of the others are known when they are stored. */
async function readOrders(directory: string, left: readonly LeftFile[], onOrder: (order: Order) => void): Promise<void> {
  let budget: number = LIMITS.ordersReadBytes
  for (const { file, bytes } of left.toReversed()) {
    if (isNote(parseSpoolName(file)?.partition ?? '')) continue
    budget -= bytes
    if (budget < 0) return
    for (const line of await readLeft(directory, file, (read) => read.includes('"event":"conversion"'))) {
      const order = parseOrderLine(line)
      if (order) onOrder(order)
    }
  }
}

const COMMAND_WAIT_MS = 120_000

/** A command that is shipping holds the directory for a moment; only another `serve` is a reason to refuse. */
async function claimAsServe(data: string, onCommand: OnCommand): ReturnType<typeof claimDirectory> {
  const until = performance.now() + COMMAND_WAIT_MS
  for (;;) {
    try {
      return await claimDirectory(data, 'serve', onCommand)
    } catch (error) {
      if (!(error instanceof MadeleineError && error.retry) || performance.now() > until) throw error
      await delay(50)
    }
  }
}

/** Ships what the spool holds: through the running server, or here where there is none. Every command that reads events calls it first. */
export async function shipSpool(data: string, store: Store, now: () => number): Promise<void> {
  const directory = spoolDirectory(data)
  const until = performance.now() + COMMAND_WAIT_MS
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
      if (!(error instanceof MadeleineError && error.code === 'locked') || performance.now() > until) throw error
      await delay(50)
    }
  }
}

async function shipLeftovers(directory: string, store: Store, now: () => number): Promise<void> {
  const shipper = startShipper({ directory, store, nextBatch: makeBatches(now) })
  for (const shipment of leftShipments(recoverSpool(directory), now(), performance.now())) shipper.add(shipment)
  try {
    await shipper.drain()
  } finally {
    await shipper.stop()
  }
}
