import { MadeleineError } from '../core/errors.ts'
import { parsePartnerKey } from '../identity/matches.ts'
import { importMatches } from '../imports/matches.ts'
import { now } from '../wire/store.ts'
import { readContext } from './context.ts'
import { type ImportFlags, importFile } from './import-file.ts'
import type { Outcome } from './output.ts'

/** `import matches FILE --partner KEY`: `visitor,partner_id` lines, packed if it ends in .gz. Exit code 4 with rejects. */
export async function importMatchesFile(file: string, flags: ImportFlags & { readonly partner: string }): Promise<Outcome> {
  const { environment } = readContext(flags)
  const partner = parsePartnerKey(flags.partner)
  if (!partner)
    throw new MadeleineError(
      'usage',
      `--partner ${flags.partner}: a key is lower-case letters, digits, \`-\` and \`_\`, at most 64`,
    )
  return importFile(file, flags, environment, 1, (parts) => importMatches({ ...parts, partner, now }))
}
