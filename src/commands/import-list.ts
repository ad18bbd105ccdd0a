import { parseDuration, RETENTION_MAX_MS } from '../core/duration.ts'
import { MadeleineError } from '../core/errors.ts'
import { type AudienceId, parseAudienceId } from '../core/ids.ts'
import { importList } from '../imports/list.ts'
import { now } from '../wire/store.ts'
import { readContext } from './context.ts'
import { type ImportFlags, importFile } from './import-file.ts'
import type { Outcome } from './output.ts'

type ListFlags = ImportFlags & { readonly list?: string; readonly expires?: string }

function keepMsOf(written: string | undefined): number {
  if (written === undefined) return RETENTION_MAX_MS
  const ms = parseDuration(written)
  if (ms === undefined || ms > RETENTION_MAX_MS)
    throw new MadeleineError('usage', `--expires ${written}: a duration is a whole number and m, h, d or w, and at most 90d`)
  return ms
}

/** `import list FILE [--list ID]`: one visitor id a line, or `visitor,list` lines; packed if it ends in .gz. Exit code 4 with rejects. */
export async function importListFile(file: string, flags: ListFlags): Promise<Outcome> {
  const { environment, settings } = readContext(flags)
  const { retentionMs } = settings
  const refuse = (id: AudienceId): string | undefined => {
    if (settings.nodes.has(id)) return `\`${id}\` is a node of the audience taxonomy: audiences share one set of ids`
    if (settings.lookalikes.has(id)) return `\`${id}\` is a lookalike: audiences share one set of ids`
    return settings.segments.has(id) ? `\`${id}\` is a segment: audiences share one set of ids` : undefined
  }
  const list = flags.list === undefined ? undefined : parseAudienceId(flags.list)
  if (flags.list !== undefined && list === undefined)
    throw new MadeleineError('usage', `--list ${flags.list}: an id is lower-case letters, digits and \`-\`, at most 64`)
  const refused = list && refuse(list)
  if (refused) throw new MadeleineError('usage', refused)
  const keepMs = Math.min(keepMsOf(flags.expires), retentionMs)
  return importFile(file, flags, environment, 1, (parts) => importList({ ...parts, list, refuse, now, retentionMs, keepMs }))
}
