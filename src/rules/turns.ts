// When time alone changes what rules see of a visitor. What it changes in their answers many.ts says.

import { type ConsentSignal, standingOf } from '../consent/standing.ts'
import { isSignalled, permits } from '../core/permissions.ts'
import type { Event } from '../event/event.ts'
import type { Seen } from './evaluate.ts'

/** When the last event that permits models leaves retention; Infinity: none does. */
export function modelEndsMs(
  history: readonly Event[],
  said: readonly ConsentSignal[],
  { atMs }: Seen,
  retentionMs: number,
): number {
  const last = standingOf(
    history.filter(({ ts }) => ts > atMs - retentionMs),
    'model',
    said,
  ).reduce((latest, { ts }) => (ts <= atMs ? Math.max(latest, ts) : latest), Number.NEGATIVE_INFINITY)
  return Number.isFinite(last) ? last + retentionMs : Number.POSITIVE_INFINITY
}

/**
 * The next moment at which an event of the future begins to count, the last visible one leaves retention, or a refusal does, so that what it hid may be seen again.
 * Infinity: there is none. `history` and `said`: all that is kept of the visitor.
 */
export function nextSightMs(
  history: readonly Event[],
  said: readonly ConsentSignal[],
  { history: visible, atMs }: Seen,
  retentionMs: number,
): number {
  let next = Number.POSITIVE_INFINITY
  const consider = (ms: number): void => {
    if (ms > atMs && ms < next) next = ms
  }
  const last = visible.at(-1)
  if (last) consider(last.ts + retentionMs)
  for (const { ts, permissions } of history) {
    consider(ts)
    if (isSignalled(permissions) && !permits(permissions, 'profile')) consider(ts + retentionMs)
  }
  for (const { tsMs, permissions } of said) if (!permits(permissions, 'profile')) consider(tsMs + retentionMs)
  return next
}
