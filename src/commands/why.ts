import { MadeleineError } from '../core/errors.ts'
import { parseVisitorId } from '../core/ids.ts'
import { isoOf } from '../core/time.ts'
import { type ExplainedScore, explainScore } from '../lookalike/scores.ts'
import { chooseAudiences } from '../membership/build.ts'
import { audiencesOf, readKept } from '../membership/lists.ts'
import { readVisitor } from '../membership/visitor.ts'
import { type Explanation, explain } from '../rules/explain.ts'
import { now, withEvents } from '../wire/store.ts'
import { type Flags, readContext } from './context.ts'
import type { Outcome } from './output.ts'

/** Events of a clause that are shown to people; \`--json\` has all. */
const EVENTS_SHOWN = 10

function told({ member, clauses, untilMs }: Explanation, visitor: string, audience: string): string {
  const lines = clauses.flatMap(({ clause, says, holds, value, events, sessions }) => [
    `${holds ? 'true ' : 'false'} ${clause}: ${says}${value === undefined ? '' : `; found ${value}`}`,
    ...events
      .map(({ ts, event, source, path }, n) =>
        `        ${isoOf(ts)} ${event} ${source} ${path}${sessions ? ` (session ${sessions[n]})` : ''}`.trimEnd(),
      )
      .slice(-EVENTS_SHOWN),
  ])
  const until = untilMs === undefined ? 'time alone changes nothing' : `until ${isoOf(untilMs)}, if nothing more happens`
  return [`${visitor} is ${member ? '' : 'not '}in ${audience}: ${until}`, ...lines].join('\n')
}

const CONTRIBUTIONS_SHOWN = 12

function toldScore({ score, least, contributions, atMs }: ExplainedScore): string[] {
  const shown = contributions.slice(0, CONTRIBUTIONS_SHOWN)
  const rest = contributions.slice(CONTRIBUTIONS_SHOWN).reduce((sum, { weight }) => sum + weight, 0)
  const line = (weight: number, what: string) => `  ${weight < 0 ? '' : '+'}${weight.toFixed(3)} ${what}`
  return [
    `score ${score.toFixed(4)} by the events up to ${isoOf(atMs)}; the lowest of a member was ${least.toFixed(4)}`,
    ...shown.map(({ feature, has, weight }) => line(weight, has ? feature : `not: ${feature}`)),
    ...(contributions.length > shown.length ? [line(rest, `of ${contributions.length - shown.length} more`)] : []),
  ]
}

/** `why VISITOR ID`: each clause true or false now, the events behind it, and when the answer turns. */
export async function why(visitorText: string, id: string, flags: Flags): Promise<Outcome> {
  const { environment, settings } = readContext(flags)
  const visitor = parseVisitorId(visitorText)
  if (!visitor)
    throw new MadeleineError('usage', `${visitorText} is no visitor id`, { hint: 'a UUID, as in the cookie before the dot' })
  const { retentionMs } = settings
  const explained = await withEvents(environment, async (store) => {
    const [audience] = chooseAudiences(audiencesOf(settings, await readKept(store)).known, [id])
    if (!audience) throw new Error('no audience') // chooseAudiences refuses unknown ids
    const nowMs = now()
    const { history, facts } = await readVisitor(store, visitor, { nowMs, retentionMs })
    const scored = settings.lookalikes.has(audience.id)
      ? await explainScore(store, audience.id, visitor, { nowMs, retentionMs })
      : undefined
    return { ...explain(audience.rule, history, nowMs, retentionMs, facts), nowMs, scored }
  })
  const { member, clauses, untilMs, nowMs, scored } = explained
  return {
    json: {
      visitor,
      audience: id,
      at: isoOf(nowMs),
      member,
      clauses: clauses.map(({ events, sessions, ...clause }) => ({
        ...clause,
        events: events.map(({ ts, event, source, path }, n) => ({
          ts: isoOf(ts),
          event,
          source,
          path,
          ...(sessions && { session: sessions[n] }),
        })),
      })),
      until: untilMs === undefined ? null : isoOf(untilMs),
      ...(scored && {
        score: scored.score,
        least: scored.least,
        trained_at: isoOf(scored.trainedAtMs),
        scored_at: isoOf(scored.atMs),
        base: scored.base,
        slope: scored.slope,
        offset: scored.offset,
        contributions: scored.contributions,
      }),
    },
    text: [told(explained, visitor, id), ...(scored ? toldScore(scored) : [])].join('\n'),
  }
}
