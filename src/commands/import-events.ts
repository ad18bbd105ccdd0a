import { MadeleineError } from '../core/errors.ts'
import { importEvents } from '../imports/events.ts'
import { FORMATS, type Format } from '../imports/rows.ts'
import { now } from '../wire/store.ts'
import { readContext } from './context.ts'
import { type ImportFlags, importFile } from './import-file.ts'
import type { Outcome } from './output.ts'

/** `import events FILE`: NDJSON or CSV, packed if it ends in .gz. Exit code 4 with rejects. */
export async function importEventsFile(file: string, flags: ImportFlags & { readonly format?: string }): Promise<Outcome> {
  const { environment, settings } = readContext(flags)
  const format = FORMATS.find((known) => known === flags.format)
  if (flags.format !== undefined && format === undefined)
    throw new MadeleineError('usage', `--format ${flags.format}: the formats are ${FORMATS.join(' and ')}`)
  // Read twice: once for the file's hash, which makes a second import of it harmless, once for its rows.
  return importFile(file, flags, environment, 2, (parts) =>
    importEvents({ ...parts, format: format as Format | undefined, settings, now }),
  )
}
