// Whether an event sent now would be kept, and how what it needs is doing. The store is not part of the answer: while it is away events wait in the spool.

import { isoOf } from '../core/time.ts'
import type { Reach } from '../engine/reach.ts'

type Told = string | number | null
export type Check = { readonly ok: boolean } & Readonly<Record<string, Told | boolean>>
export type Readiness = {
  readonly ready: boolean
  readonly stopping: boolean
  readonly checks: { readonly spool: Check; readonly store: Check; readonly segmenter: Check }
}

/** How the segmenter's thread is doing, as far as readiness goes (membership/report.ts). */
export type SegmenterSigns = {
  readonly state: string
  /** The last tick that was done, or sign of a build that goes on. */
  readonly lastSignMs: number
  readonly lastTickMs: number | undefined
}

/** It is asked every few seconds: one that has not answered for so long hangs. */
const SILENT_AFTER_MS = 60_000
/** A tick is a second's work, or some seconds'. */
const STUCK_AFTER_MS = 5 * 60_000

export type Seen = {
  readonly isStopping: boolean
  /** Undefined: the spool takes events. */
  readonly spoolProblem: string | undefined
  readonly reach: Reach
  readonly segmenter: SegmenterSigns
  readonly nowMs: number
}

const isoOrNull = (ms: number | undefined): string | null => (ms === undefined ? null : isoOf(ms))

export function readinessOf({ isStopping, spoolProblem, reach, segmenter, nowMs }: Seen): Readiness {
  const spool = { ok: spoolProblem === undefined, problem: spoolProblem ?? null }
  return {
    ready: !isStopping && spool.ok,
    stopping: isStopping,
    checks: {
      spool,
      store: {
        ok: reach.downSinceMs === undefined && reach.lastSuccessMs !== undefined && nowMs - reach.lastSuccessMs < SILENT_AFTER_MS,
        away_since: isoOrNull(reach.downSinceMs),
        last_success: isoOrNull(reach.lastSuccessMs),
      },
      segmenter: {
        ok: nowMs - segmenter.lastSignMs < STUCK_AFTER_MS,
        state: segmenter.state,
        last_tick: isoOrNull(segmenter.lastTickMs),
      },
    },
  }
}
