import { exportAudiences } from '../activate/export.ts'
import { MadeleineError } from '../core/errors.ts'
import { audiencesOf, readKept } from '../membership/lists.ts'
import { now, withMembers } from '../wire/store.ts'
import { type Flags, readContext } from './context.ts'
import { type Outcome, table } from './output.ts'

/** `export [DESTINATION...]`: delivers what changed since the last delivery. Exit code 4 where an audience failed. */
export async function exportDestinations(
  ids: readonly string[],
  flags: Flags & { readonly full?: boolean; readonly dryRun?: boolean },
): Promise<Outcome> {
  const { environment, settings } = readContext(flags)
  const known = settings.destinations.map(({ id }) => id)
  for (const id of ids)
    if (!known.includes(id))
      throw new MadeleineError('usage', `unknown destination \`${id}\``, { hint: `known: ${known.join(', ') || 'none'}` })
  const destinations = settings.destinations.filter(({ id }) => ids.length === 0 || ids.includes(id))
  const done = await withMembers(environment, async (store) =>
    exportAudiences({
      store,
      known: audiencesOf(settings, await readKept(store)).known,
      destinations,
      data: environment.data,
      retentionMs: settings.retentionMs,
      kind: flags.full ? 'full' : 'delta',
      dryRun: flags.dryRun ?? false,
      now,
    }),
  )
  const rows = done.flatMap(({ id, audiences }) =>
    audiences.map((a) => [id, a.as, a.added, a.removed, a.skipped, a.reason ?? '', a.file ?? '']),
  )
  return {
    json: { destinations: done },
    text: table(['destination', 'audience', 'added', 'removed', 'skipped', 'reason', 'file'], rows),
    failed: done.some(({ failed }) => failed > 0),
  }
}
