import { existsSync, statSync } from 'node:fs'
import { MadeleineError } from '../core/errors.ts'
import { importEvents } from '../imports/events.ts'
import { now, openReadyStore, readTombstones } from '../wire.ts'
import { type Flags, readContext } from './context.ts'
import { importOutcome } from './import-outcome.ts'
import type { Outcome } from './output.ts'
import { startProgress } from './progress.ts'

/** `import events FILE`: NDJSON, packed if it ends in .gz. Exit code 4 with rejects. */
export async function importEventsFile(file: string, flags: Flags): Promise<Outcome> {
  const { environment, settings } = readContext(flags)
  if (!existsSync(file) || !statSync(file).isFile()) throw new MadeleineError('usage', `no such file: ${file}`)
  const store = await openReadyStore(environment)
  // The file is read twice: once for its hash, which makes a second import of it harmless, once for its rows.
  const progress = startProgress('importing', statSync(file).size * 2, 'bytes')
  try {
    const tombstones = await readTombstones(environment, store)
    const isOptedOut = tombstones.has
    const result = await importEvents({ file, store, settings, isOptedOut, now, onBytes: (bytes) => progress.add(bytes) })
    return importOutcome(file, result)
  } finally {
    progress.done()
    await store.close()
  }
}
