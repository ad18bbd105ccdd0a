// What the spool asks of the local disk, and how a file or a directory entry is made to survive a power cut.

import { closeSync, fdatasync, fdatasyncSync, fsync, fsyncSync, openSync, writeSync } from 'node:fs'
import { promisify } from 'node:util'

/** Replaced where a test needs a disk that fails. */
export type Disk = {
  readonly write: typeof writeSync
  /** The file's bytes, and as much of its entry as reading them needs. Off the main thread. */
  readonly sync: (fd: number) => Promise<void>
  readonly syncDirectory: (fd: number) => Promise<void>
}

export const DISK: Disk = { write: writeSync, sync: promisify(fdatasync), syncDirectory: promisify(fsync) }

export function writeWhole(write: Disk['write'], fd: number, bytes: Buffer): void {
  let written = 0
  while (written < bytes.length) written += write(fd, bytes, written, bytes.length - written)
}

/** A file of the rare paths, whole on the disk before anything relies on it. */
export function writeDurable(path: string, text: string): void {
  const fd = openSync(path, 'w', 0o600)
  try {
    writeWhole(writeSync, fd, Buffer.from(text))
    fdatasyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** Entries of the directory that were made, renamed or removed. */
export function syncDirectory(path: string): void {
  const fd = openSync(path, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
