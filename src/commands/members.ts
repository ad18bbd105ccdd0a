import { MadeleineError } from '../core/errors.ts'
import type { AudienceId } from '../core/ids.ts'
import { isoOf, parseMoment } from '../core/time.ts'
import type { Store } from '../engine/store.ts'
import { readScores } from '../lookalike/scores.ts'
import { readCounting } from '../lookalike/trainings.ts'
import { chooseAudiences } from '../membership/build.ts'
import { audiencesOf, readKept } from '../membership/lists.ts'
import { type Members, readMembers, readMembersAsOf } from '../membership/members.ts'
import { now, withEvents, withMembers } from '../wire/store.ts'
import { type Flags, readContext } from './context.ts'
import type { Outcome } from './output.ts'

export type MembersFlags = Flags & { readonly asOf?: string; readonly scores?: boolean }

/** Of each lookalike, what its members scored. */
async function scoresOf(store: Store, ids: readonly AudienceId[]): Promise<Map<AudienceId, ReadonlyMap<string, number>>> {
  const trainings = await readCounting(store)
  const scores = new Map<AudienceId, ReadonlyMap<string, number>>()
  for (const id of ids) {
    const training = trainings.get(id)
    scores.set(id, training ? await readScores(store, id, training) : new Map())
  }
  return scores
}

/** Best first; equal scores in the order of ids. */
function withScores(list: readonly string[], scores: ReadonlyMap<string, number>): [visitor: string, score: number][] {
  const scored = list.map((visitor): [string, number] => [visitor, scores.get(visitor) ?? 0])
  return scored.sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))
}

/** `members ID... [--as-of TIME] [--scores]`: the last build's members, or today's rules on the events up to TIME. */
export async function members(ids: readonly string[], flags: MembersFlags): Promise<Outcome> {
  const { environment, settings } = readContext(flags)
  const atMs = flags.asOf === undefined ? undefined : parseMoment(flags.asOf)
  if (flags.asOf !== undefined && atMs === undefined)
    throw new MadeleineError('usage', `--as-of ${flags.asOf} is no moment`, {
      hint: 'ISO 8601 with a zone, such as 2026-11-21T12:00:00Z',
    })
  const { retentionMs, memoryBytes, lookalikes } = settings
  const limits = { memoryBytes }
  const scored = flags.scores ? (ids as readonly AudienceId[]).filter((id) => lookalikes.has(id)) : []
  if (flags.scores && scored.length === 0)
    throw new MadeleineError('usage', '--scores is about lookalikes', {
      hint: `known: ${[...lookalikes.keys()].join(', ') || 'none'}`,
    })
  let scores: Awaited<ReturnType<typeof scoresOf>> = new Map()
  const read = async (store: Store, isServed: boolean): Promise<Members> => {
    const audiences = chooseAudiences(audiencesOf(settings, await readKept(store)).known, ids)
    const nowMs = now()
    scores = await scoresOf(store, scored)
    return atMs === undefined
      ? readMembers(store, audiences, { retentionMs, nowMs, limits, isServed })
      : readMembersAsOf(store, audiences, { atMs, nowMs, retentionMs }, limits)
  }
  const result =
    atMs === undefined ? await withMembers(environment, read) : await withEvents(environment, (store) => read(store, false)) // the events alone say it
  const many = result.audiences.length > 1
  const told = (id: AudienceId, list: readonly string[]) => {
    const own = scores.get(id)
    return own ? withScores(list, own) : list
  }
  return {
    json: {
      as_of: isoOf(result.asOfMs),
      audiences: result.audiences.map(({ id, members: list, state }) => ({
        id,
        ...(state && { state }),
        members: told(id, list),
      })),
    },
    text: result.audiences
      .flatMap(({ id, members: list }) =>
        told(id, list).map((one) =>
          [...(many ? [id] : []), ...(typeof one === 'string' ? [one] : [one[0], one[1].toFixed(6)])].join(' '),
        ),
      )
      .join('\n'),
  }
}
