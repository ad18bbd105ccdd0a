import { existsSync, statSync } from 'node:fs'
import { MadeleineError } from '../core/errors.ts'
import { parseAudienceId } from '../core/ids.ts'
import { importList } from '../imports/list.ts'
import { now, openReadyStore } from '../wire.ts'
import { type Flags, readContext } from './context.ts'
import { importOutcome } from './import-outcome.ts'
import type { Outcome } from './output.ts'
import { startProgress } from './progress.ts'

/** `import list FILE --list ID`: one visitor id a line, packed if it ends in .gz. Exit code 4 with rejects. */
export async function importListFile(file: string, flags: Flags & { readonly list: string }): Promise<Outcome> {
  const { environment, settings } = readContext(flags)
  const list = parseAudienceId(flags.list)
  if (!list) throw new MadeleineError('usage', `--list ${flags.list}: an id is lower-case letters, digits and \`-\`, at most 64`)
  if (settings.nodes.has(list))
    throw new MadeleineError('usage', `\`${list}\` is a node of the audience taxonomy: audiences share one set of ids`)
  if (settings.segments.has(list)) throw new MadeleineError('usage', `\`${list}\` is a segment: audiences share one set of ids`)
  if (!existsSync(file) || !statSync(file).isFile()) throw new MadeleineError('usage', `no such file: ${file}`)
  const store = await openReadyStore(environment)
  const progress = startProgress('importing', statSync(file).size, 'bytes')
  try {
    return importOutcome(file, await importList({ file, list, store, now, onBytes: (bytes) => progress.add(bytes) }))
  } finally {
    progress.done()
    await store.close()
  }
}
