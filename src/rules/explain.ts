// Why a visitor is in an audience or not: each clause with the events that it rests on, and the moment at which the answer turns if nothing more happens.

import { decimalText } from '../core/decimal.ts'
import type { AudienceId } from '../core/ids.ts'
import type { Event } from '../event/event.ts'
import { clausesOf } from './clauses.ts'
import { leafText } from './describe.ts'
import { countedEvents, holds, isMember, lookAt, measured, type Seen, sessionsOf, type VisitorFacts } from './evaluate.ts'
import { makeDecide } from './many.ts'
import { planAudiences } from './plan.ts'
import type { Leaf, ResolvedRule, Sequence } from './rule.ts'
import { nextSightMs } from './turns.ts'

export type ExplainedClause = {
  /** Where it stands in the rule. */
  readonly clause: string
  readonly says: string
  /** Of the clause by itself: under a `not` it counts the other way round. */
  readonly holds: boolean
  /** What was measured; of a sequence, how many of its steps were reached; of a list undefined. */
  readonly value: string | undefined
  /** Those that were counted, in order; of a sequence that holds, one event a step. */
  readonly events: readonly Event[]
  /** Of a clause on sessions: the session of each of these events, from the visitor's first. Events of any kind make a session, so the ones that count do not show it. */
  readonly sessions: readonly number[] | undefined
}
export type Explanation = {
  readonly member: boolean
  readonly clauses: readonly ExplainedClause[]
  /** When the answer turns by the passing of time alone; undefined: it does not. */
  readonly untilMs: number | undefined
}

/** Ends of each step, each with the end of the step before that it follows: the nearest one, which a gap allows if any. */
function chainOf({ steps, gapMs, withinMs }: Sequence, seen: Seen): Event[] {
  type End = { readonly event: Event; readonly before: End | undefined }
  let ends: End[] = []
  let deepest: End | undefined
  for (const [n, step] of steps.entries()) {
    const found = countedEvents({ ...step, withinMs }, seen)
    ends =
      n === 0
        ? found.map((event) => ({ event, before: undefined }))
        : found.flatMap((event) => {
            const before = ends.findLast((end) => end.event.ts < event.ts)
            return before && (gapMs === undefined || event.ts - before.event.ts <= gapMs) ? [{ event, before }] : []
          })
    if (ends.length === 0) break
    deepest = ends.at(-1)
  }
  const chain: Event[] = []
  for (let end = deepest; end; end = end.before) chain.unshift(end.event)
  return chain
}

function explainLeaf(leaf: Leaf, seen: Seen): Pick<ExplainedClause, 'value' | 'events' | 'sessions'> {
  if (leaf.kind === 'list') return { value: undefined, events: [], sessions: undefined }
  if (leaf.kind === 'sequence') {
    const chain = chainOf(leaf, seen)
    return { value: `${chain.length} of ${leaf.steps.length} steps`, events: chain, sessions: undefined }
  }
  const counted = countedEvents(leaf, seen)
  const value = measured(leaf, counted, seen)
  const sessions = leaf.measure.kind === 'sessions' ? sessionsOf(seen.history) : undefined
  return {
    value: typeof value === 'bigint' ? decimalText(value) : String(value),
    events: counted,
    sessions: sessions && counted.map(({ ts }) => sessions.get(ts) ?? 0),
  }
}

/** From one moment at which something changes to the next, until the answer is another one. */
function turnMs(
  rule: ResolvedRule,
  history: readonly Event[],
  atMs: number,
  retentionMs: number,
  facts: VisitorFacts,
): number | undefined {
  const decide = makeDecide(planAudiences([{ id: 'explained' as AudienceId, rule }]))
  let first: boolean | undefined
  for (let ms = atMs; Number.isFinite(ms); ) {
    const said = (facts.said ?? []).filter(({ tsMs }) => tsMs > ms - retentionMs)
    const seen = lookAt(history, ms, retentionMs, { ...facts, said })
    const { held, turnsMs = Number.POSITIVE_INFINITY } = decide(seen)
    first ??= held.length > 0
    if (first !== held.length > 0) return ms
    ms = Math.min(turnsMs, nextSightMs(history, said, seen, retentionMs))
  }
  return undefined
}

/** `history` and `facts.said`: all that is kept of the visitor, in any order. */
export function explain(
  rule: ResolvedRule,
  history: readonly Event[],
  atMs: number,
  retentionMs: number,
  facts: VisitorFacts = {},
): Explanation {
  const at = (ms: number): VisitorFacts => ({ ...facts, said: (facts.said ?? []).filter(({ tsMs }) => tsMs > ms - retentionMs) })
  const seen = lookAt(history, atMs, retentionMs, at(atMs))
  const member = isMember(rule, history, atMs, retentionMs, at(atMs))
  const clauses = clausesOf(rule).map(({ path, leaf }) => ({
    clause: path === '' ? 'when' : `when.${path}`,
    says: leafText(leaf),
    holds: holds(leaf, seen),
    ...explainLeaf(leaf, seen),
  }))
  const untilMs = turnMs(rule, history, atMs, retentionMs, facts)
  return { member, clauses, untilMs }
}
