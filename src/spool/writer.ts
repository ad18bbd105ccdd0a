// Appends lines to local files before they are acknowledged: invariants 1 to 4 of the spool (spool.ts).
// Lines that arrive in one turn of the event loop share one write a file; where the disk is waited for (syncs.ts), all that arrive meanwhile share the next.

import { ftruncateSync, mkdirSync, openSync, renameSync, truncateSync, unlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { MadeleineError, messageOf, systemCode } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { log } from '../core/log.ts'
import type { SpoolSync } from '../settings/schema.ts'
import type { NextBatch } from './batches.ts'
import { DISK, type Disk, syncDirectory, writeWhole } from './disk.ts'
import { type Batch, spoolName } from './names.ts'
import { makeSeal, type Seal } from './seal.ts'
import { openSyncs, type SyncedFile } from './syncs.ts'

type OpenFile = SyncedFile & {
  readonly partition: string
  readonly batch: Batch
  readonly path: string
  readonly seal: Seal
  readonly openedMs: number
  /** Acknowledged. */
  bytes: number
  lines: number
  /** Written, and not acknowledged yet. */
  writtenBytes: number
  writtenLines: number
  isClosed: boolean
}

type Waiter = {
  readonly lines: readonly SpooledEvent[]
  readonly size: number
  readonly resolve: () => void
  readonly reject: (error: MadeleineError) => void
}

export type SpooledEvent = { readonly partition: string; readonly line: string }

export type ReadyFile = { readonly name: string; readonly bytes: number; readonly openedMs: number }

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
  readonly counts: { refused: number; failedInARow: number }
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

/** Batch and seal of a line. */
const LINE_OVERHEAD = 48

const failed = (message: string, hint: string, cause?: unknown): MadeleineError =>
  new MadeleineError('spool_failed', message, { hint, retry: true, cause })

export function openWriter(options: WriterOptions): SpoolWriter {
  const { directory, nextBatch, sync, maxBytes, readyBytes, onReady, disk = DISK, elapsed = () => performance.now() } = options
  const isNew = mkdirSync(directory, { recursive: true }) !== undefined
  if (isNew && sync !== 'never') syncDirectory(dirname(directory))
  const open = new Map<string, OpenFile>()
  /** Closed, and still to be cut or renamed, where the disk did not let us. */
  const unfinished = new Set<OpenFile>()
  const syncs = openSyncs({ directory, sync, disk, onDistrust: (file) => rotateDistrusted(file) })
  const counts = { refused: 0, failedInARow: 0 }
  let waiting: Waiter[] = []
  /** Of appends that are not answered yet. */
  let heldBytes = 0
  let ownBytes = 0
  let scheduled = false
  let closing: Promise<void> | undefined
  /** Appends wait for the disk: what is gathered meanwhile is of the next round. */
  let round: Promise<void> | undefined
  const afterRound: (() => void)[] = []

  function fileOf(partition: string): OpenFile {
    const existing = open.get(partition)
    if (existing) return existing
    const batch = nextBatch()
    const path = join(directory, spoolName({ partition, batch, state: 'open' }))
    const fd = openSync(path, 'ax', 0o600)
    syncs.made()
    const empty = { bytes: 0, lines: 0, writtenBytes: 0, writtenLines: 0, isClosed: false }
    const file = { partition, batch, path, fd, seal: makeSeal({ partition, batch }), openedMs: elapsed(), ...empty }
    open.set(partition, file)
    return file
  }

  /** Gives a closed file its last name, or removes it where nothing in it was acknowledged. */
  function finish(file: OpenFile): void {
    const isAgain = unfinished.has(file)
    unfinished.add(file)
    try {
      if (isAgain) truncateSync(file.path, file.bytes)
      const name = spoolName({ partition: file.partition, batch: file.batch, state: 'ready' })
      if (file.bytes === 0) unlinkSync(file.path)
      else renameSync(file.path, join(directory, name))
      unfinished.delete(file)
      ownBytes -= file.bytes
      if (file.bytes > 0) onReady({ name, bytes: file.bytes, openedMs: file.openedMs })
    } catch (error) {
      const isGone = systemCode(error) === 'ENOENT'
      if (isGone) {
        unfinished.delete(file)
        ownBytes -= file.bytes
      }
      if (isGone) log.error({ lines: file.lines }, 'a spool file was removed by somebody else before it was shipped')
      else if (!isAgain) log.error({ err: messageOf(error) }, 'a spool file could not be closed and will be tried again')
    }
  }

  function rotateFile(file: OpenFile): void {
    if (file.isClosed) return
    file.isClosed = true
    open.delete(file.partition)
    finish(file)
    syncs.close(file)
  }

  const rotateOpen = (): void => {
    for (const file of [...open.values()]) rotateFile(file)
  }

  function rotateDistrusted(synced: SyncedFile): void {
    const file = [...open.values()].find((one) => one === synced)
    if (file?.writtenBytes === 0) rotateFile(file)
  }

  /** Back to the last acknowledged byte. Where even that fails the file is closed, and cut when the disk lets us. */
  function undo(file: OpenFile): void {
    file.writtenBytes = 0
    file.writtenLines = 0
    try {
      ftruncateSync(file.fd, file.bytes)
    } catch {
      file.isClosed = true
      open.delete(file.partition)
      unfinished.add(file)
      syncs.close(file)
    }
  }

  function acknowledge(files: readonly OpenFile[], waiters: readonly Waiter[]): void {
    counts.failedInARow = 0
    for (const file of files) {
      file.bytes += file.writtenBytes
      file.lines += file.writtenLines
      ownBytes += file.writtenBytes
      file.writtenBytes = 0
      file.writtenLines = 0
    }
    for (const waiter of waiters) {
      heldBytes -= waiter.size
      waiter.resolve()
    }
    for (const file of files) if (file.bytes >= LIMITS.spoolFileBytes || file.lines >= LIMITS.spoolFileEvents) rotateFile(file)
  }

  function refuse(waiters: readonly Waiter[], error: unknown): void {
    counts.failedInARow++
    counts.refused += waiters.length
    const failure = failed(`the spool cannot be written: ${messageOf(error)}`, 'check the disk of MADELEINE_DATA', error)
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
        const file = fileOf(partition)
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
      for (const file of touched) undo(file)
      refuse(waiters, error)
      return
    }
    const files = [...touched]
    if (syncs.mustWait()) round = syncRound(files, waiters)
    else {
      for (const file of files) syncs.owe(file)
      acknowledge(files, waiters)
    }
  }

  async function syncRound(files: readonly OpenFile[], waiters: readonly Waiter[]): Promise<void> {
    try {
      await syncs.now(files)
      acknowledge(files, waiters)
    } catch (error) {
      for (const file of files) {
        undo(file)
        rotateFile(file)
      }
      refuse(waiters, error)
    }
    for (const act of afterRound.splice(0)) act()
    round = undefined
    flush()
  }

  const ageing = setInterval(() => {
    const oldest = elapsed() - LIMITS.spoolFileAgeMs
    for (const file of unfinished) finish(file)
    for (const file of [...open.values()]) if (file.writtenBytes === 0 && file.openedMs <= oldest) rotateFile(file)
  }, LIMITS.spoolFileAgeMs / 4)
  ageing.unref()

  function refusalOf(size: number): MadeleineError | undefined {
    if (closing) return failed('the spool is closed', '')
    if (heldBytes + size > LIMITS.spoolHeldBytes)
      return failed(
        'the spool takes less than comes in',
        'the disk of MADELEINE_DATA is slow; see spool.sync in config/settings.yaml',
      )
    if (readyBytes() + ownBytes + heldBytes + size > maxBytes)
      return failed('the spool is full', 'bring ClickHouse back, or raise spool.max_size in config/settings.yaml')
    return undefined
  }

  async function rotate(): Promise<void> {
    flush()
    if (!round) return rotateOpen()
    await new Promise<void>((resolve) => {
      afterRound.push(() => {
        rotateOpen()
        resolve()
      })
    })
  }

  async function end(): Promise<void> {
    clearInterval(ageing)
    flush()
    while (round) await round
    rotateOpen()
    await syncs.stop()
  }

  return {
    counts,
    get bytes() {
      return ownBytes
    },
    get oldestMs() {
      let oldest: number | undefined
      for (const { bytes, openedMs } of [...open.values(), ...unfinished])
        if (bytes > 0 && (oldest === undefined || openedMs < oldest)) oldest = openedMs
      return oldest
    },
    refusal: () => refusalOf(1),
    append(lines) {
      let size = 0
      for (const { line } of lines) size += line.length + LINE_OVERHEAD
      const refusal = refusalOf(size)
      if (refusal) {
        counts.refused++
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
