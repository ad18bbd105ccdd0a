// When the bytes of spool files reach the disk itself (`spool.sync`), so that they survive a power cut and not only kill -9.
// `batch`: before an append is answered. An interval: behind the answers, in the background; at most so long a time of acknowledged events is lost. Where the
// disk does not keep up with that, or has failed, appends wait for it as in `batch` until it has caught up. `never`: whenever the kernel likes.
// A file whose sync has failed is never synced again: the kernel may have dropped what it could not write, and would say yes the second time. It is shipped at once; until
// then what was acknowledged ahead of that sync is as safe as with `never`.

import { closeSync, fstat, openSync } from 'node:fs'
import { promisify } from 'node:util'
import { messageOf } from '../core/errors.ts'
import { log } from '../core/log.ts'
import type { SpoolSync } from '../settings/schema.ts'
import type { Disk } from './disk.ts'

export type SyncedFile = { readonly fd: number }

export type Syncs<File extends SyncedFile> = {
  /** Appends are answered only when `now` has resolved. */
  mustWait(): boolean
  /** Bytes of it were acknowledged ahead of the disk. */
  owe(file: File): void
  /** A file was made: its directory entry must be durable with its bytes. (Not so when it is renamed: undone by a power cut, it is open again, and recovery closes it.) */
  made(): void
  /** Everything owed and these files are on the disk; rejects where that is not certain of `files`. */
  now(files: readonly File[]): Promise<void>
  /** Closes a file that nobody writes any more, when nothing of it is owed. */
  close(file: File): void
  /** Syncs what is owed a last time. */
  stop(): Promise<void>
}

const stat = promisify(fstat)

export function openSyncs<File extends SyncedFile>(options: {
  readonly directory: string
  readonly sync: SpoolSync
  readonly disk: Disk
  /** Milliseconds that only grow. */
  readonly elapsed: () => number
  /** Something acknowledged may not be on the disk: the file should leave the spool soon. */
  readonly onDistrust: (file: File) => void
}): Syncs<File> {
  const { sync, disk, elapsed, onDistrust } = options
  const directory = sync === 'never' ? undefined : openSync(options.directory, 'r')
  let owed = new Set<File>()
  let inHand = new Set<File>()
  const leaving = new Set<File>()
  const distrusted = new WeakSet<File>()
  let owedSince: number | undefined
  let inHandSince: number | undefined
  let isDirectoryOwed = false
  let hasFailed = false
  let running: Promise<void> | undefined

  async function syncOne(file: File): Promise<void> {
    // Nearly every file that was closed is in the store, and gone, by now.
    if (leaving.has(file) && (await stat(file.fd)).nlink === 0) return
    await disk.sync(file.fd)
  }

  async function run(): Promise<void> {
    inHand = owed
    inHandSince = owedSince
    owed = new Set()
    owedSince = undefined
    const files = [...inHand]
    const isDirectoryInHand = isDirectoryOwed
    isDirectoryOwed = false
    const entries = isDirectoryInHand && directory !== undefined ? disk.syncDirectory(directory) : Promise.resolve()
    const [entry, ...results] = await Promise.allSettled([entries, ...files.map(syncOne)])
    const failure = [entry, ...results].find((one) => one.status === 'rejected')
    hasFailed = failure !== undefined
    if (failure) log.error({ err: messageOf(failure.reason) }, 'the spool could not be synced to the disk')
    inHand = new Set()
    inHandSince = undefined
    if (entry.status === 'rejected') isDirectoryOwed = true
    for (const [n, file] of files.entries()) {
      if (results[n]?.status === 'rejected' || entry.status === 'rejected') {
        distrusted.add(file)
        owed.delete(file)
        onDistrust(file)
      }
      if (leaving.has(file) && !owed.has(file)) end(file)
    }
  }

  function end(file: File): void {
    leaving.delete(file)
    try {
      closeSync(file.fd)
    } catch {
      // Says that something was not written: of what is synced that is not so, and of nothing else was it promised.
    }
  }

  /** One at a time: what comes meanwhile is owed to the next. */
  function runAlone(): Promise<void> {
    running ??= run().finally(() => {
      running = undefined
    })
    return running
  }

  function owe(file: File): void {
    if (sync === 'never' || distrusted.has(file)) return
    owed.add(file)
    owedSince ??= elapsed()
  }

  const timer =
    typeof sync === 'object'
      ? setInterval(() => {
          if (owed.size > 0 || isDirectoryOwed) void runAlone()
        }, sync.everyMs / 2)
      : undefined
  timer?.unref()

  return {
    mustWait() {
      if (sync === 'never') return false
      if (sync === 'batch' || hasFailed) return true
      const since = inHandSince ?? owedSince
      return since !== undefined && elapsed() - since > sync.everyMs
    },
    owe,
    made() {
      isDirectoryOwed = sync !== 'never'
    },
    async now(files) {
      await running
      for (const file of files) owe(file)
      await runAlone()
      if (files.some((file) => distrusted.has(file))) throw new Error('the disk did not take it')
    },
    close(file) {
      leaving.add(file)
      if (!owed.has(file) && !inHand.has(file)) end(file)
    },
    async stop() {
      clearInterval(timer)
      await running
      await runAlone()
      if (directory !== undefined) closeSync(directory)
    },
  }
}
