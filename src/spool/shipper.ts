// Ships ready files to ClickHouse, each exactly once, and deletes them after that.
// A file is one block of one partition under a token made of its name and rows, so a repeat stores nothing twice. The engine writes the token down before
// the rows are in place: killed between the two, it would take the next try for a repeat and drop it. So a file that may have been
// sent before is looked for by its batch, before it is sent and after.
// Only lines that are as they were written are sent (seal.ts); the others are set aside.
// A file the store refuses for its rows is split (refusal.ts); one that fails for any other reason is tried again later and never blocks the rest.

import { randomUUID } from 'node:crypto'
import { readFile, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay, setImmediate as pause } from 'node:timers/promises'
import { crc32 } from 'node:zlib'
import { DAY_MS } from '../core/duration.ts'
import { causeOf, MadeleineError, StoreRefused, systemCode } from '../core/errors.ts'
import { log } from '../core/log.ts'
import type { Store } from '../engine/store.ts'
import { setAside, setFileAside } from './aside.ts'
import type { NextBatch } from './batches.ts'
import { isNote, parseSpoolName, partitionStartMs, type SpoolName } from './names.ts'
import { DATA_ERRORS, splitRefused } from './refusal.ts'
import { EVENT_COLUMNS, NOTE_TABLES } from './row.ts'
import { type Checked, checkLines, rowsOf } from './seal.ts'

const RETRY_FIRST_MS = 100
const RETRY_MAX_MS = 5_000
/** Tries after which a file that fails alone, while others pass, is set aside whole. */
const TRIES_MAX = 20

/** Rows of a batch; `startMs`, `endMs`: between which their moments lie. */
export async function storedRows(
  store: Store,
  { batch, startMs, endMs }: { readonly batch: bigint; readonly startMs: number; readonly endMs: number },
): Promise<number> {
  const [row] = await store.rows<{ n: number }>({
    owner: 'spool.stored',
    sql: `SELECT count() AS n FROM madeleine.events
          WHERE batch = {batch:UInt64} AND ts >= fromUnixTimestamp64Milli({start:Int64}, 'UTC') AND ts < fromUnixTimestamp64Milli({end:Int64}, 'UTC')`,
    values: { batch, start: startMs, end: endMs },
  })
  return row?.n ?? 0
}

/**
 * Stores one block of events exactly once. `maybeSent`: an earlier try may have reached the store. `token` names the block; a block of
 * another batch under the same token is the same block sent by somebody else.
 */
export async function storeOnce(
  store: Store,
  block: {
    readonly batch: bigint
    /** Between which its events' moments lie: within one partition of the table. */
    readonly startMs: number
    readonly endMs: number
    readonly lines: Buffer
    readonly maybeSent: boolean
    readonly token: string
  },
): Promise<void> {
  const insert = (token: string) =>
    store.insertLines({
      owner: 'spool.ship',
      into: `madeleine.events (${EVENT_COLUMNS})`,
      lines: block.lines,
      settings: { insert_deduplication_token: token },
    })
  if (block.maybeSent && (await storedRows(store, block)) > 0) return
  await insert(block.token)
  if (block.maybeSent && (await storedRows(store, block)) === 0) await insert(`${block.token}-${randomUUID()}`)
}

export type ShipCounts = {
  filesShipped: number
  rowsShipped: number
  filesWaiting: number
  /** Of files that are ready and not yet stored. */
  bytesWaiting: number
  failures: number
  linesAside: number
}

/** `sinceMs`: when it was opened, on the clock that only grows. `maybeSent`: an earlier process may have sent it. */
export type Shipment = { readonly file: string; readonly bytes: number; readonly sinceMs: number; readonly maybeSent: boolean }

export type Shipper = {
  add(shipment: Shipment): void
  /** Resolves when every file added so far has left the spool; rejects with the store's error when one can't be shipped now. */
  drain(): Promise<void>
  /** Ends the loop after the file in hand. */
  stop(): Promise<void>
  readonly counts: ShipCounts
  /** The oldest file's `sinceMs`. */
  readonly oldestMs: number | undefined
}

type Waiting = {
  readonly file: string
  readonly name: SpoolName
  readonly bytes: number
  readonly sinceMs: number
  maybeSent: boolean
  tries: number
  /** Known once it was read. */
  lines: number
}

/** Between two tries; ends early where the signal says so. */
export type Wait = (ms: number, signal: AbortSignal) => Promise<unknown>
export const waitFor: Wait = (ms, signal) => delay(ms, undefined, { signal })

export function startShipper(options: {
  /** Done before the first file is shipped, and again until it succeeds: the store may be away when a collector starts. */
  readonly prepare?: () => Promise<void>
  readonly directory: string
  readonly store: Store
  readonly nextBatch: NextBatch
  readonly wait?: Wait
}): Shipper {
  const { directory, store, nextBatch, prepare = async () => {}, wait = waitFor } = options
  const queue: Waiting[] = []
  const counts: ShipCounts = { filesShipped: 0, rowsShipped: 0, filesWaiting: 0, bytesWaiting: 0, failures: 0, linesAside: 0 }
  const drains: { left: Set<string>; resolve: () => void; reject: (error: unknown) => void }[] = []
  let wake: () => void = () => {}
  let current: Waiting | undefined
  let stopped = false
  const interrupt = new AbortController()

  /** It has left the spool, or others have taken its place. */
  function settle(item: Waiting, replacedBy: readonly string[] = []): void {
    counts.bytesWaiting -= item.bytes
    for (const drain of [...drains]) {
      if (!drain.left.delete(item.file)) continue
      for (const name of replacedBy) drain.left.add(name)
      if (drain.left.size === 0) {
        drains.splice(drains.indexOf(drain), 1)
        drain.resolve()
      }
    }
  }

  function add({ file, bytes, sinceMs, maybeSent }: Shipment): void {
    const name = parseSpoolName(file)
    if (!name) return
    queue.push({ file, name, bytes, sinceMs, maybeSent, tries: 0, lines: 0 })
    counts.filesWaiting = queue.length
    counts.bytesWaiting += bytes
    wake()
  }

  /** A note that is stored twice says the same as once, so it needs no look before. */
  function send({ file, name }: Waiting, lines: Buffer, maybeSent: boolean): Promise<void> {
    const { partition, batch } = name
    // Its rows too: the number of a writer that is drawn twice must not have another file taken for this one.
    const token = `${partition}-${batch}-${crc32(lines).toString(36)}`
    if (!isNote(partition)) {
      const startMs = partitionStartMs(partition)
      return storeOnce(store, { batch, startMs, endMs: startMs + 7 * DAY_MS, lines, maybeSent, token })
    }
    const settings = { insert_deduplication_token: maybeSent ? `${file}-${randomUUID()}` : token }
    return store.insertLines({ owner: `spool.${name.partition}`, into: NOTE_TABLES[partition], lines, settings })
  }

  function keepAside(item: Waiting, { rows, refused }: Checked): void {
    const reasons =
      rows === 0 && refused.length === 0 ? [{ reason: 'missing: all lines of this file are gone', line: '' }] : refused
    setAside(directory, `${item.file}.damaged`, reasons)
    counts.linesAside += reasons.length
  }

  async function ship(item: Waiting): Promise<void> {
    const path = join(directory, item.file)
    let bytes: Buffer
    try {
      bytes = await readFile(path)
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return settle(item)
      throw error
    }
    const checked = await checkLines(bytes, item.name, pause)
    item.lines = checked.rows
    const { maybeSent } = item
    item.maybeSent = true
    try {
      if (checked.rows > 0) await send(item, checked.lines, maybeSent)
    } catch (error) {
      if (!(error instanceof StoreRefused) || !DATA_ERRORS.has(error.clickhouseCode)) throw error
      // Refused for its rows: nothing of it is stored, a block being stored whole or not at all.
      if (checked.refused.length > 0) keepAside(item, checked)
      const rows = rowsOf(checked.lines)
      const { made, refused } = splitRefused(directory, { name: item.name, rows, reason: error.message }, nextBatch)
      counts.linesAside += refused
      for (const { file, bytes } of made) add({ file, bytes, sinceMs: item.sinceMs, maybeSent: false })
      return settle(
        item,
        made.map(({ file }) => file),
      )
    }
    if (checked.rows === 0 || checked.refused.length > 0) keepAside(item, checked)
    await unlink(path).catch((error: unknown) => {
      if (systemCode(error) !== 'ENOENT') throw error
    })
    if (checked.rows > 0) counts.filesShipped++
    if (!isNote(item.name.partition)) counts.rowsShipped += checked.rows
    settle(item)
  }

  /** False where even that fails: it stays. */
  function giveUp(item: Waiting, reason: string): boolean {
    try {
      setFileAside(directory, item.file, reason)
    } catch {
      return false
    }
    counts.linesAside += item.lines
    settle(item)
    return true
  }

  async function run(): Promise<void> {
    let waitMs = RETRY_FIRST_MS
    let failuresInARow = 0
    while (!stopped) {
      const item = queue.shift()
      if (!item) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
        continue
      }
      current = item
      try {
        await prepare()
        await ship(item)
        waitMs = RETRY_FIRST_MS
        failuresInARow = 0
      } catch (error) {
        counts.failures++
        failuresInARow++
        item.tries++
        log.warn({ file: item.file, tries: item.tries, cause: causeOf(error) }, 'a spool file could not be shipped yet')
        const alone = failuresInARow === 1 && queue.length > 0
        if (error instanceof MadeleineError && error.code === 'store_unreachable') queue.unshift(item)
        else if (item.tries < TRIES_MAX || !alone || !giveUp(item, causeOf(error))) queue.push(item)
        for (const drain of drains.splice(0)) drain.reject(error)
        await wait(waitMs, interrupt.signal).catch(() => {})
        waitMs = Math.min(RETRY_MAX_MS, waitMs * 2)
      }
      current = undefined
      counts.filesWaiting = queue.length
    }
  }
  const running = run()

  return {
    add,
    counts,
    get oldestMs() {
      let oldest = current?.sinceMs
      for (const { sinceMs } of queue) if (oldest === undefined || sinceMs < oldest) oldest = sinceMs
      return oldest
    },
    drain() {
      const left = new Set(queue.map((item) => item.file))
      if (current) left.add(current.file)
      if (left.size === 0) return Promise.resolve()
      return new Promise((resolve, reject) => drains.push({ left, resolve, reject }))
    },
    async stop() {
      stopped = true
      interrupt.abort()
      wake()
      await running
    },
  }
}
