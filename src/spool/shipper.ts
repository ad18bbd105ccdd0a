// Ships ready files to ClickHouse, each exactly once, and deletes them after that.
// A file is one block of one partition under a token made of its name, so a repeat stores nothing twice. The engine writes the token down before
// the rows are in place: killed between the two, it would take the next try for a repeat and drop it. So a file that may have been
// sent before is looked for by its batch, before it is sent and after.
// A file the store refuses for its rows is split (refusal.ts); one that fails for any other reason is tried again later and never blocks the rest.

import { mkdirSync } from 'node:fs'
import { readFile, rename, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { DAY_MS } from '../core/duration.ts'
import { causeOf, MadeleineError, StoreRefused, systemCode } from '../core/errors.ts'
import { log } from '../core/log.ts'
import type { Store } from '../engine/store.ts'
import type { NextBatch } from './batches.ts'
import { isNote, parseSpoolName, partitionStartMs, type SpoolName } from './names.ts'
import { DATA_ERRORS, splitRefused } from './refusal.ts'
import { EVENT_COLUMNS, NOTE_TABLES } from './row.ts'

const NEWLINE = 0x0a
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
  if (block.maybeSent && (await storedRows(store, block)) === 0) await insert(`${block.token}-${Date.now()}`)
}

export type Shipper = {
  add(name: string, maybeSent: boolean): void
  /** Resolves when every file added so far has left the spool; rejects with the store's error when one can't be shipped now. */
  drain(): Promise<void>
  /** Ends the loop after the file in hand. */
  stop(): Promise<void>
  readonly counts: { filesShipped: number; rowsShipped: number; filesWaiting: number; failures: number }
}

type Waiting = { readonly file: string; readonly name: SpoolName; maybeSent: boolean; tries: number }

export function startShipper(options: {
  /** Done before the first file is shipped, and again until it succeeds: the store may be away when a collector starts. */
  readonly prepare?: () => Promise<void>
  readonly directory: string
  readonly store: Store
  readonly nextBatch: NextBatch
}): Shipper {
  const { directory, store, nextBatch, prepare = async () => {} } = options
  const queue: Waiting[] = []
  const counts = { filesShipped: 0, rowsShipped: 0, filesWaiting: 0, failures: 0 }
  const drains: { left: Set<string>; resolve: () => void; reject: (error: unknown) => void }[] = []
  let wake: () => void = () => {}
  let current: string | undefined
  let stopped = false
  const interrupt = new AbortController()

  function settle(file: string, replacedBy: readonly string[] = []): void {
    for (const drain of [...drains]) {
      if (!drain.left.delete(file)) continue
      for (const name of replacedBy) drain.left.add(name)
      if (drain.left.size === 0) {
        drains.splice(drains.indexOf(drain), 1)
        drain.resolve()
      }
    }
  }

  function add(file: string, maybeSent: boolean): void {
    const name = parseSpoolName(file)
    if (!name) return
    queue.push({ file, name, maybeSent, tries: 0 })
    counts.filesWaiting = queue.length
    wake()
  }

  /** A note that is stored twice says the same as once, so it needs no look before. */
  function send({ file, name, maybeSent }: Waiting, lines: Buffer): Promise<void> {
    if (!isNote(name.partition)) {
      const { partition, batch } = name
      const startMs = partitionStartMs(partition)
      return storeOnce(store, { batch, startMs, endMs: startMs + 7 * DAY_MS, lines, maybeSent, token: `${partition}-${batch}` })
    }
    const settings = { insert_deduplication_token: maybeSent ? `${file}-${Date.now()}` : file }
    return store.insertLines({ owner: `spool.${name.partition}`, into: NOTE_TABLES[name.partition], lines, settings })
  }

  async function ship(item: Waiting): Promise<void> {
    const path = join(directory, item.file)
    let lines: Buffer
    try {
      lines = await readFile(path)
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return settle(item.file)
      throw error
    }
    try {
      await send(item, lines)
    } catch (error) {
      item.maybeSent = true
      if (!(error instanceof StoreRefused) || !DATA_ERRORS.has(error.clickhouseCode)) throw error
      // Refused for its rows: nothing of it is stored, a block being stored whole or not at all.
      const made = splitRefused(directory, item.name, error.message, nextBatch)
      settle(item.file, made)
      for (const file of made) add(file, false)
      return
    }
    await unlink(path)
    counts.filesShipped++
    if (!isNote(item.name.partition))
      for (let end = lines.indexOf(NEWLINE); end >= 0; end = lines.indexOf(NEWLINE, end + 1)) counts.rowsShipped++
    settle(item.file)
  }

  async function giveUp(item: Waiting, reason: string): Promise<void> {
    mkdirSync(join(directory, 'aside'), { recursive: true })
    await writeFile(join(directory, 'aside', `${item.file}.reason`), `${reason}\n`)
    await rename(join(directory, item.file), join(directory, 'aside', item.file))
    log.error({ file: item.file, reason }, 'spool file set aside')
    settle(item.file)
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
      current = item.file
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
        if (item.tries >= TRIES_MAX && alone) await giveUp(item, causeOf(error))
        else if (error instanceof MadeleineError && error.code === 'store_unreachable') queue.unshift(item)
        else queue.push(item)
        for (const drain of drains.splice(0)) drain.reject(error)
        await delay(waitMs, undefined, { signal: interrupt.signal }).catch(() => {})
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
    drain() {
      const left = new Set(queue.map((item) => item.file))
      if (current) left.add(current)
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
