// What the collector counts. Labels are closed lists or fields of the contract, so that a sender cannot make new ones.

import { Tally } from '../core/tally.ts'
import { FIELD_TYPES } from '../event/event.ts'
import type { Decision } from './decide.ts'

export type CollectCounts = {
  readonly accepted: Tally
  /** `reason` or `reason:field`. */
  readonly dropped: Tally
  readonly requests: Tally
  /** `partner:outcome`; the outcomes are a closed list (sync/outcomes.ts). */
  readonly syncs: Tally
  ignoredParameters: number
  /** Cookies that carried our name and not our signature. */
  foreignCookies: number
  /** Pixels sent round once more, to see which cookies the browser keeps. */
  askedAgain: number
  /** Requests whose events the disk did not take, and when the last of them was. */
  refused: number
  refusedMs: number | undefined
  /** When an event of a source was accepted last. */
  readonly lastEventMs: Map<string, number>
}

export const makeCounts = (): CollectCounts => ({
  accepted: new Tally(),
  dropped: new Tally(),
  requests: new Tally(),
  syncs: new Tally(),
  ignoredParameters: 0,
  foreignCookies: 0,
  askedAgain: 0,
  refused: 0,
  refusedMs: undefined,
  lastEventMs: new Map(),
})

const LABELLED: ReadonlySet<string> = new Set([...Object.keys(FIELD_TYPES), 'event', 'ts', 'visitor', 'referrer', 'attr', 'body'])

export function countDecision(counts: CollectCounts, decision: Decision, nowMs: number): void {
  if (decision.kind === 'event') {
    counts.accepted.add(decision.source)
    counts.lastEventMs.set(decision.source, nowMs)
    counts.ignoredParameters += decision.ignored.length
  } else if (decision.kind === 'drop') counts.dropped.add(decision.reason)
  else if (decision.reason !== 'invalid_field') counts.dropped.add(decision.reason)
  else counts.dropped.add(`invalid_field:${LABELLED.has(decision.field) ? decision.field : 'attr'}`)
}
