// Puts a spool directory in order after a crash, before anything else writes there. Every step may be cut off and redone. What the files hold is looked at when
// they are shipped (seal.ts); here only what cannot be read as a file is set aside.

import {
  closeSync,
  existsSync,
  fdatasyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  type Stats,
  unlinkSync,
} from 'node:fs'
import { join } from 'node:path'
import { messageOf, systemCode } from '../core/errors.ts'
import { log } from '../core/log.ts'
import { setFileAside } from './aside.ts'
import { syncDirectory } from './disk.ts'
import { parseSpoolName, type SpoolName, spoolName } from './names.ts'

export type LeftFile = { readonly file: string; readonly bytes: number; readonly writtenMs: number }
type Found = LeftFile & { readonly name: SpoolName }

/** A piece of a refused file counts once that file is gone; before, the split was not finished and is done again. */
function isUnfinishedPiece(directory: string, { name }: Found): boolean {
  if (typeof name.state === 'string') return false
  return existsSync(join(directory, spoolName({ ...name, batch: name.state.splitOf, state: 'ready' })))
}

/** Undefined where there is nothing to ship. */
function settle(directory: string, found: Found): Found | undefined {
  const path = join(directory, found.file)
  // An empty file that was open had nothing acknowledged; an empty one that was closed has lost its lines, which the shipper says.
  if ((found.name.state === 'open' && found.bytes === 0) || isUnfinishedPiece(directory, found)) {
    unlinkSync(path)
    return undefined
  }
  if (found.name.state === 'ready') return found
  const file = spoolName({ ...found.name, state: 'ready' })
  if (existsSync(join(directory, file))) {
    setFileAside(directory, found.file, 'a copy: there is a closed file of this number')
    return undefined
  }
  renameSync(path, join(directory, file))
  return { ...found, file }
}

/** The process that was killed may have owed that (syncs.ts). What cannot be synced is shipped all the same. */
function attemptSync(sync: () => void): void {
  try {
    sync()
  } catch (error) {
    log.error({ err: messageOf(error) }, 'what an earlier process left in the spool could not be synced to the disk')
  }
}

/** Why nothing can be read there, or undefined, and then it is on the disk. */
function unreadable(path: string, stats: Stats): string | undefined {
  if (!stats.isFile()) return 'not a file'
  try {
    const fd = openSync(path, 'r')
    attemptSync(() => fdatasyncSync(fd))
    closeSync(fd)
    return undefined
  } catch (error) {
    if (['EMFILE', 'ENFILE', 'ENOMEM'].includes(systemCode(error))) throw error
    return `unreadable: ${systemCode(error)}`
  }
}

/** All files that are ready to be shipped, oldest batch first. Only the owner of the directory may call this. */
export function recoverSpool(directory: string): LeftFile[] {
  mkdirSync(directory, { recursive: true })
  const ready: Found[] = []
  for (const file of readdirSync(directory)) {
    const name = parseSpoolName(file)
    if (!name) continue
    try {
      const stats = lstatSync(join(directory, file))
      const reason = unreadable(join(directory, file), stats)
      if (reason !== undefined) {
        setFileAside(directory, file, reason)
        continue
      }
      const left = settle(directory, { file, name, bytes: stats.size, writtenMs: stats.mtimeMs })
      if (left) ready.push(left)
    } catch (error) {
      // One file must not keep the collector from starting: it is tried again at the next start.
      log.error({ file, err: messageOf(error) }, 'a spool file could not be recovered')
    }
  }
  attemptSync(() => syncDirectory(directory))
  ready.sort((a, b) => (a.name.batch < b.name.batch ? -1 : a.name.batch > b.name.batch ? 1 : 0))
  return ready.map(({ file, bytes, writtenMs }) => ({ file, bytes, writtenMs }))
}
