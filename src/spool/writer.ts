// Appends events to local files before they are acknowledged.
// Invariants:
// - append() resolves only after the event's bytes are with the kernel: they survive kill -9 of this process.
// - Events that arrive in one turn of the event loop share one write a file; all of them are acknowledged, or none is.
// - A failed write leaves nothing behind: the files are cut back to their last acknowledged byte.
// - A file is renamed to `.ready` only when whole, and never written again.

import { closeSync, ftruncateSync, mkdirSync, openSync, renameSync, unlinkSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { MadeleineError, messageOf } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { log } from '../core/log.ts'
import type { NextBatch } from './batches.ts'
import { type Batch, spoolName } from './names.ts'
import { lineInBatch } from './row.ts'

type OpenFile = {
  readonly partition: string
  readonly batch: Batch
  readonly path: string
  readonly fd: number
  readonly openedMs: number
  bytes: number
  events: number
  pending: string
  pendingEvents: number
}

type Waiter = { readonly resolve: () => void; readonly reject: (error: MadeleineError) => void }

export type SpooledEvent = { readonly partition: string; readonly line: string }

export type SpoolWriter = {
  /** Resolves when every one of the events is durable; rejects with spool_failed, then none of them is. */
  append(events: readonly SpooledEvent[]): Promise<void>
  /** Closes what is open, so that it can be shipped. */
  rotate(): void
  close(): void
}

export type WriterOptions = {
  readonly directory: string
  readonly nextBatch: NextBatch
  readonly now: () => number
  /** Called with the name of each file that became ready. */
  readonly onReady: (name: string) => void
  /** Replaced where a test needs a disk that fails. */
  readonly write?: typeof writeSync
}

function writeWhole(write: typeof writeSync, fd: number, bytes: Buffer): void {
  let written = 0
  while (written < bytes.length) written += write(fd, bytes, written, bytes.length - written)
}

export function openWriter({ directory, nextBatch, now, onReady, write = writeSync }: WriterOptions): SpoolWriter {
  mkdirSync(directory, { recursive: true })
  const open = new Map<string, OpenFile>()
  let waiting: Waiter[] = []
  let scheduled = false

  function fileOf(partition: string): OpenFile {
    const existing = open.get(partition)
    if (existing) return existing
    const batch = nextBatch()
    const path = join(directory, spoolName({ partition, batch, state: 'open' }))
    const fd = openSync(path, 'ax', 0o600)
    const file = { partition, batch, path, fd, openedMs: now(), bytes: 0, events: 0, pending: '', pendingEvents: 0 }
    open.set(partition, file)
    return file
  }

  /** What cannot be closed stays `.open`: recovery at the next start ships it. */
  function rotateFile(file: OpenFile): void {
    open.delete(file.partition)
    try {
      closeSync(file.fd)
      if (file.bytes === 0) {
        unlinkSync(file.path)
        return
      }
      const name = spoolName({ partition: file.partition, batch: file.batch, state: 'ready' })
      renameSync(file.path, join(directory, name))
      onReady(name)
    } catch (error) {
      log.error({ err: messageOf(error) }, 'a spool file could not be closed; it is shipped after the next start')
    }
  }

  /** Back to the last acknowledged byte. Where even that fails the file is left as it is, open: recovery cuts its torn end off. */
  function undo(file: OpenFile): void {
    try {
      ftruncateSync(file.fd, file.bytes)
    } catch {
      open.delete(file.partition)
      closeSync(file.fd)
    }
  }

  function flush(): void {
    scheduled = false
    const waiters = waiting
    waiting = []
    const touched = [...open.values()].filter((file) => file.pending !== '')
    try {
      const sizes = touched.map((file) => {
        const bytes = Buffer.from(file.pending)
        writeWhole(write, file.fd, bytes)
        return bytes.length
      })
      touched.forEach((file, i) => {
        file.bytes += sizes[i] ?? 0
        file.events += file.pendingEvents
      })
      for (const waiter of waiters) waiter.resolve()
    } catch (error) {
      for (const file of touched) undo(file)
      const failure = new MadeleineError('spool_failed', `the spool cannot be written: ${messageOf(error)}`, {
        hint: 'check the disk of MADELEINE_DATA',
        retry: true,
        cause: error,
      })
      for (const waiter of waiters) waiter.reject(failure)
    }
    for (const file of touched) {
      file.pending = ''
      file.pendingEvents = 0
      if (open.get(file.partition) === file && (file.bytes >= LIMITS.spoolFileBytes || file.events >= LIMITS.spoolFileEvents))
        rotateFile(file)
    }
  }

  const ageing = setInterval(() => {
    const oldest = now() - LIMITS.spoolFileAgeMs
    for (const file of [...open.values()]) if (file.pending === '' && file.openedMs <= oldest) rotateFile(file)
  }, LIMITS.spoolFileAgeMs / 4)
  ageing.unref()

  return {
    append(events) {
      try {
        // Files first: where one cannot be opened, no line of this call is left pending in another.
        for (const { partition } of events) fileOf(partition)
      } catch (error) {
        return Promise.reject(
          new MadeleineError('spool_failed', `the spool cannot be opened: ${messageOf(error)}`, { retry: true, cause: error }),
        )
      }
      for (const { partition, line } of events) {
        const file = fileOf(partition)
        file.pending += lineInBatch(line, file.batch)
        file.pendingEvents++
      }
      if (!scheduled) {
        scheduled = true
        setImmediate(flush)
      }
      return new Promise((resolve, reject) => waiting.push({ resolve, reject }))
    },
    rotate() {
      flush()
      for (const file of [...open.values()]) rotateFile(file)
    },
    close() {
      clearInterval(ageing)
      this.rotate()
    },
  }
}
