// Appends lines to local files before they are acknowledged: invariants 1 to 4 of the spool (spool.ts).
// Lines that arrive in one turn of the event loop share one write a file; where the disk is waited for (syncs.ts), all that arrive meanwhile share the next.

import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { performance } from 'node:perf_hooks'
import { MadeleineError, messageOf } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { log } from '../core/log.ts'
import type { SpoolSync } from '../settings/schema.ts'
import type { NextBatch } from './batches.ts'
import { DISK, type Disk, syncDirectory, writeWhole } from './disk.ts'
import { makeFiles, type OpenFile, type ReadyFile } from './files.ts'
import { openSyncs } from './syncs.ts'

type Waiter = {
  readonly lines: readonly SpooledEvent[]
  readonly size: number
  readonly resolve: () => void
  readonly reject: (error: MadeleineError) => void
}

export type SpooledEvent = { readonly partition: string; readonly line: string }

export type SpoolWriter = {
  /** Resolves when every one of the lines is as durable as `sync` says; rejects with spool_failed, then none of them is kept. */
  append(lines: readonly SpooledEvent[]): Promise<void>
  /** Closes what is open, so that it can be shipped. */
  rotate(): Promise<void>
  close(): Promise<void>
  /** Bytes in files that are not ready yet. */
  readonly bytes: number
  /** When the oldest of them was opened. */
  readonly oldestMs: number | undefined
  /** Why an append would be refused now; as far as can be known without writing. */
  refusal(): MadeleineError | undefined
  readonly counts: { refused: number }
}

export type WriterOptions = {
  readonly directory: string
  readonly nextBatch: NextBatch
  readonly sync: SpoolSync
  /** Of the whole spool. */
  readonly maxBytes: number
  /** Of files that are ready, and wait to be shipped. */
  readonly readyBytes: () => number
  readonly onReady: (file: ReadyFile) => void
  readonly disk?: Disk
  /** Milliseconds that only grow: a clock that is set back must not keep files open. */
  readonly elapsed?: () => number
}

const TELL_EVERY_MS = 1_000

/** Batch and seal of a line. */
const LINE_OVERHEAD = 48

const failed = (message: string, hint: string, cause?: unknown): MadeleineError =>
  new MadeleineError('spool_failed', message, { hint, retry: true, cause })

export function openWriter(options: WriterOptions): SpoolWriter {
  const { directory, nextBatch, sync, maxBytes, readyBytes, onReady, disk = DISK, elapsed = () => performance.now() } = options
  const isNew = mkdirSync(directory, { recursive: true }) !== undefined
  if (isNew && sync !== 'never') syncDirectory(dirname(directory))
  const syncs = openSyncs<OpenFile>({
    directory,
    sync,
    disk,
    elapsed,
    // Its bytes are acknowledged and may not be on the disk: the sooner it is shipped, the better.
    onDistrust: (file) => {
      if (file.writtenBytes === 0) files.rotate(file)
    },
  })
  const files = makeFiles({ directory, nextBatch, elapsed, syncs: () => syncs, onReady })
  const counts = { refused: 0 }
  let waiting: Waiter[] = []
  /** Of appends that are not answered yet. */
  let heldBytes = 0
  let scheduled = false
  let toldMs = -Infinity
  let closing: Promise<void> | undefined
  /** Appends wait for the disk: what is gathered meanwhile is of the next round. */
  let round: Promise<void> | undefined
  const afterRound: (() => void)[] = []

  function acknowledge(touched: readonly OpenFile[], waiters: readonly Waiter[]): void {
    for (const file of touched) files.acknowledge(file)
    for (const waiter of waiters) {
      heldBytes -= waiter.size
      waiter.resolve()
    }
  }

  /** Said once a second at the most: every refusal is counted. */
  function tell(error: MadeleineError): void {
    if (elapsed() - toldMs < TELL_EVERY_MS) return
    toldMs = elapsed()
    log.error({ err: error.message, hint: error.hint }, 'events are refused')
  }

  function refuse(waiters: readonly Waiter[], error: unknown): void {
    counts.refused += waiters.length
    const failure = failed(`the spool cannot be written: ${messageOf(error)}`, 'check the disk of MADELEINE_DATA', error)
    tell(failure)
    for (const waiter of waiters) {
      heldBytes -= waiter.size
      waiter.reject(failure)
    }
  }

  /** One write a file. `written` gets every file that was touched, also where it throws. */
  function write(waiters: readonly Waiter[], written: Set<OpenFile>): void {
    const texts = new Map<OpenFile, string>()
    for (const { lines } of waiters) {
      for (const { partition, line } of lines) {
        const file = files.of(partition)
        texts.set(file, (texts.get(file) ?? '') + file.seal(line, file.lines + file.writtenLines))
        file.writtenLines++
        written.add(file)
      }
    }
    for (const [file, text] of texts) {
      const bytes = Buffer.from(text)
      writeWhole(disk.write, file.fd, bytes)
      file.writtenBytes = bytes.length
    }
  }

  function flush(): void {
    scheduled = false
    if (round || waiting.length === 0) return
    const waiters = waiting
    waiting = []
    const touched = new Set<OpenFile>()
    try {
      write(waiters, touched)
    } catch (error) {
      for (const file of touched) files.undo(file)
      refuse(waiters, error)
      return
    }
    if (syncs.mustWait()) round = syncRound([...touched], waiters)
    else {
      for (const file of touched) syncs.owe(file)
      acknowledge([...touched], waiters)
    }
  }

  async function syncRound(touched: readonly OpenFile[], waiters: readonly Waiter[]): Promise<void> {
    try {
      await syncs.now(touched)
      acknowledge(touched, waiters)
    } catch (error) {
      for (const file of touched) {
        files.undo(file)
        files.rotate(file)
      }
      refuse(waiters, error)
    }
    for (const act of afterRound.splice(0)) act()
    round = undefined
    flush()
  }

  const ageing = setInterval(() => files.age(), LIMITS.spoolFileAgeMs / 4)
  ageing.unref()

  function refusalOf(size: number): MadeleineError | undefined {
    if (closing) return failed('the spool is closed', '')
    if (heldBytes + size > LIMITS.spoolHeldBytes)
      return failed(
        'the spool takes less than comes in',
        'the disk of MADELEINE_DATA is slow; see spool.sync in config/settings.yaml',
      )
    if (readyBytes() + files.bytes + heldBytes + size > maxBytes)
      return failed('the spool is full', 'bring ClickHouse back, or raise spool.max_size in config/settings.yaml')
    return undefined
  }

  async function rotate(): Promise<void> {
    flush()
    if (!round) return files.rotateAll()
    await new Promise<void>((resolve) => {
      afterRound.push(() => {
        files.rotateAll()
        resolve()
      })
    })
  }

  async function end(): Promise<void> {
    clearInterval(ageing)
    flush()
    while (round) await round
    files.rotateAll()
    await syncs.stop()
  }

  return {
    counts,
    get bytes() {
      return files.bytes
    },
    get oldestMs() {
      return files.oldestMs
    },
    refusal: () => refusalOf(1),
    append(lines) {
      let size = 0
      for (const { line } of lines) size += line.length + LINE_OVERHEAD
      const refusal = refusalOf(size)
      if (refusal) {
        counts.refused++
        tell(refusal)
        return Promise.reject(refusal)
      }
      heldBytes += size
      if (!scheduled) {
        scheduled = true
        setImmediate(flush)
      }
      return new Promise((resolve, reject) => waiting.push({ lines, size, resolve, reject }))
    },
    rotate,
    close() {
      closing ??= end()
      return closing
    },
  }
}
