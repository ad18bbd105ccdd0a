// What an import did not take: counted, listed as far as an answer should be long, and written whole to a file, one `{line, reason}` a line. It holds numbers of
// lines and reasons, nothing of the rows themselves.

import { closeSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { MadeleineError, messageOf } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'

export type Reject = { readonly line: number; readonly reason: string }

export type Rejects = {
  add(reject: Reject): void
  readonly count: number
  /** The first LIMITS.rejectsListed. */
  readonly listed: Reject[]
  /** The file is complete under its name; undefined where nothing was rejected. */
  finish(): string | undefined
  /** The import has failed: what was written of it goes. */
  discard(): void
}

const unwritable = (path: string, error: unknown): MadeleineError =>
  new MadeleineError('usage', `the rejects cannot be written to ${path}: ${messageOf(error)}`, {
    hint: 'name another place with --rejects',
    cause: error,
  })

/** `path`: undefined where nobody wants a file. */
export function makeRejects(path: string | undefined): Rejects {
  const listed: Reject[] = []
  let count = 0
  let fd: number | undefined
  let pending = ''
  /** Two imports may write the same file; the last one's counts. */
  const own = `${path}.${process.pid}.tmp`
  const flush = (): void => {
    if (fd !== undefined && pending !== '') writeSync(fd, pending)
    pending = ''
  }
  const close = (): void => {
    if (fd !== undefined) closeSync(fd)
    fd = undefined
  }
  return {
    add(reject) {
      count++
      if (listed.length < LIMITS.rejectsListed) listed.push(reject)
      if (path === undefined) return
      try {
        if (fd === undefined) {
          mkdirSync(dirname(path), { recursive: true })
          fd = openSync(own, 'w', 0o600)
        }
        pending += `${JSON.stringify(reject)}\n`
        if (pending.length > 1 << 16) flush()
      } catch (error) {
        throw unwritable(path, error)
      }
    },
    get count() {
      return count
    },
    listed,
    finish() {
      if (path === undefined) return undefined
      if (fd === undefined) {
        rmSync(path, { force: true }) // of an earlier import of the file, which had some
        return undefined
      }
      try {
        flush()
        close()
        renameSync(own, path)
      } catch (error) {
        throw unwritable(path, error)
      }
      return path
    },
    discard() {
      if (fd === undefined) return
      close()
      rmSync(own, { force: true })
    },
  }
}
