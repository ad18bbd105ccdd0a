import { MadeleineError } from '../core/errors.ts'
import { isoOf, parseMoment } from '../core/time.ts'
import type { Store } from '../engine/store.ts'
import { chooseAudiences } from '../membership/build.ts'
import { audiencesOf, readImportedLists } from '../membership/lists.ts'
import { type Members, readMembers, readMembersAsOf } from '../membership/members.ts'
import { now, withEvents, withMembers } from '../wire/store.ts'
import { type Flags, readContext } from './context.ts'
import type { Outcome } from './output.ts'

/** `members ID... [--as-of TIME]`: the last build's members, or today's rules on the events up to TIME. */
export async function members(ids: readonly string[], flags: Flags & { readonly asOf?: string }): Promise<Outcome> {
  const { environment, settings } = readContext(flags)
  const atMs = flags.asOf === undefined ? undefined : parseMoment(flags.asOf)
  if (flags.asOf !== undefined && atMs === undefined)
    throw new MadeleineError('usage', `--as-of ${flags.asOf} is no moment`, {
      hint: 'ISO 8601 with a zone, such as 2026-11-21T12:00:00Z',
    })
  const { retentionMs, memoryBytes } = settings
  const limits = { memoryBytes }
  const read = async (store: Store, isServed: boolean): Promise<Members> => {
    const audiences = chooseAudiences(audiencesOf(settings, await readImportedLists(store)).known, ids)
    const nowMs = now()
    return atMs === undefined
      ? readMembers(store, audiences, { retentionMs, nowMs, limits, isServed })
      : readMembersAsOf(store, audiences, { atMs, nowMs, retentionMs }, limits)
  }
  const result =
    atMs === undefined ? await withMembers(environment, read) : await withEvents(environment, (store) => read(store, false)) // the events alone say it
  const many = result.audiences.length > 1
  return {
    json: {
      as_of: isoOf(result.asOfMs),
      audiences: result.audiences.map(({ id, members: list, state }) => ({ id, ...(state && { state }), members: list })),
    },
    text: result.audiences
      .flatMap(({ id, members: list }) => list.map((visitor) => (many ? `${id} ${visitor}` : visitor)))
      .join('\n'),
  }
}
