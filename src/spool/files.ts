// The files that a writer has open, one a partition: how they are made, cut back to their last acknowledged byte, and closed under their last name. What the disk does
// not let us do now is tried again until it does; a file is ready only when it holds what was acknowledged and nothing else.

import { ftruncateSync, openSync, renameSync, truncateSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { messageOf, systemCode } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { log } from '../core/log.ts'
import type { NextBatch } from './batches.ts'
import { type Batch, spoolName } from './names.ts'
import { makeSeal, type Seal } from './seal.ts'
import type { SyncedFile, Syncs } from './syncs.ts'

export type OpenFile = SyncedFile & {
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

export type ReadyFile = { readonly name: string; readonly bytes: number; readonly openedMs: number }

export type OpenFiles = {
  /** Throws where none can be made. */
  of(partition: string): OpenFile
  /** What was written to it is answered with yes. */
  acknowledge(file: OpenFile): void
  /** What was written to it and not acknowledged is taken back. */
  undo(file: OpenFile): void
  /** Closes it, to be shipped. */
  rotate(file: OpenFile): void
  rotateAll(): void
  /** Closes those of their age, and tries again what could not be done before. */
  age(): void
  /** Acknowledged and not ready. */
  readonly bytes: number
  readonly oldestMs: number | undefined
}

export function makeFiles(options: {
  readonly directory: string
  readonly nextBatch: NextBatch
  readonly elapsed: () => number
  readonly syncs: () => Syncs<OpenFile>
  readonly onReady: (file: ReadyFile) => void
}): OpenFiles {
  const { directory, nextBatch, elapsed, syncs, onReady } = options
  const open = new Map<string, OpenFile>()
  /** Closed, and still to be cut or renamed. */
  const unfinished = new Set<OpenFile>()
  let bytes = 0

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
      bytes -= file.bytes
      if (file.bytes > 0) onReady({ name, bytes: file.bytes, openedMs: file.openedMs })
    } catch (error) {
      if (systemCode(error) === 'ENOENT') {
        unfinished.delete(file)
        bytes -= file.bytes
        log.error({ lines: file.lines }, 'a spool file was removed by somebody else before it was shipped')
      } else if (!isAgain) log.error({ err: messageOf(error) }, 'a spool file could not be closed and will be tried again')
    }
  }

  function rotate(file: OpenFile): void {
    if (file.isClosed) return
    file.isClosed = true
    open.delete(file.partition)
    finish(file)
    syncs().close(file)
  }

  return {
    rotate,
    get bytes() {
      return bytes
    },
    get oldestMs() {
      let oldest: number | undefined
      for (const file of [...open.values(), ...unfinished])
        if (file.bytes > 0 && (oldest === undefined || file.openedMs < oldest)) oldest = file.openedMs
      return oldest
    },
    of(partition) {
      const existing = open.get(partition)
      if (existing) return existing
      const batch = nextBatch()
      const path = join(directory, spoolName({ partition, batch, state: 'open' }))
      const fd = openSync(path, 'ax', 0o600)
      syncs().made()
      const empty = { bytes: 0, lines: 0, writtenBytes: 0, writtenLines: 0, isClosed: false }
      const file = { partition, batch, path, fd, seal: makeSeal({ partition, batch }), openedMs: elapsed(), ...empty }
      open.set(partition, file)
      return file
    },
    acknowledge(file) {
      file.bytes += file.writtenBytes
      file.lines += file.writtenLines
      bytes += file.writtenBytes
      file.writtenBytes = 0
      file.writtenLines = 0
      if (file.bytes >= LIMITS.spoolFileBytes || file.lines >= LIMITS.spoolFileEvents) rotate(file)
    },
    undo(file) {
      file.writtenBytes = 0
      file.writtenLines = 0
      try {
        ftruncateSync(file.fd, file.bytes)
      } catch {
        // Until it can be cut it keeps its name. (Killed before that, the next start would find whole lines there that were refused: the one case of that.)
        file.isClosed = true
        open.delete(file.partition)
        unfinished.add(file)
        syncs().close(file)
      }
    },
    rotateAll() {
      for (const file of [...open.values()]) rotate(file)
    },
    age() {
      const oldest = elapsed() - LIMITS.spoolFileAgeMs
      for (const file of [...unfinished]) finish(file)
      for (const file of [...open.values()]) if (file.writtenBytes === 0 && file.openedMs <= oldest) rotate(file)
    },
  }
}
