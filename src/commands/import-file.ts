// What every import has in common: a file that is there, a store, a bar, a place for what is rejected, and what is said at the end.

import { statSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { MadeleineError } from '../core/errors.ts'
import type { VisitorId } from '../core/ids.ts'
import type { Store } from '../engine/store.ts'
import type { ImportResult } from '../imports/events.ts'
import type { Environment } from '../settings/environment.ts'
import { readTombstones, withEvents } from '../wire/store.ts'
import type { Flags } from './context.ts'
import type { Outcome } from './output.ts'
import { startProgress } from './progress.ts'

export type ImportFlags = Flags & { readonly rejects?: string }

export type ImportParts = {
  readonly file: string
  readonly store: Store
  readonly isOptedOut: (visitor: VisitorId) => boolean
  readonly rejectsPath: string
  readonly onBytes: (bytes: number) => void
}

const REJECTS_SHOWN = 20

function outcome(file: string, result: ImportResult): Outcome {
  const { read, stored, duplicates, rejected, rejects_file: rejectsFile } = result
  const shown = result.rejects.slice(0, REJECTS_SHOWN).map(({ line, reason }) => `${file}:${line}: ${reason}`)
  const more = rejected > shown.length ? [`... and ${rejected - shown.length} more`] : []
  const where = rejectsFile === undefined ? [] : [`all of them: ${rejectsFile}`]
  const sum = `${read} read, ${stored} stored, ${duplicates} already there, ${rejected} rejected`
  return { json: result, text: [...shown, ...more, ...where, sum].join('\n'), failed: rejected > 0 }
}

/** `readings`: how often the file is read. */
export async function importFile(
  file: string,
  flags: ImportFlags,
  environment: Environment,
  readings: number,
  work: (parts: ImportParts) => Promise<ImportResult>,
): Promise<Outcome> {
  const stats = statSync(file, { throwIfNoEntry: false })
  if (!stats) throw new MadeleineError('usage', `no such file: ${file}`)
  if (!stats.isFile()) throw new MadeleineError('usage', `not a file: ${file}`)
  const progress = startProgress('importing', stats.size * readings, 'bytes')
  try {
    // What the spool holds first: opt-outs and matches in it are for these rows too.
    return await withEvents(environment, async (store) => {
      const tombstones = await readTombstones(environment, store)
      const rejectsPath = resolve(flags.rejects ?? join(environment.data, 'rejects', `${basename(file)}.ndjson`))
      const onBytes = (bytes: number) => progress.add(bytes)
      return outcome(file, await work({ file, store, isOptedOut: tombstones.has, rejectsPath, onBytes }))
    })
  } finally {
    progress.done()
  }
}
