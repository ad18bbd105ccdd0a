// What the segmenter's thread says of itself to the collector's, and what is known of it from that.

import type { AudienceId } from '../core/ids.ts'
import type { AudienceState, Refreshed } from './refresh.ts'

/** `stale`: not up to date with its rule, and not built yet. */
export const AUDIENCE_STATES = ['complete', 'waiting_for_list', 'failed', 'stale'] as const satisfies readonly (
  | AudienceState
  | 'stale'
)[]
export type AudienceCounts = Readonly<Record<(typeof AUDIENCE_STATES)[number], number>>

export type SegmenterReport =
  /** `audiences`: undefined where nothing had to be looked at, so they are as they were. */
  | { readonly kind: 'ticked'; readonly seconds: number; readonly audiences: AudienceCounts | undefined }
  /** A build has come a piece further. */
  | { readonly kind: 'building' }
  /** Another server refreshes memberships. */
  | { readonly kind: 'standby' }
  | { readonly kind: 'failed' }

export function countStates(usual: readonly AudienceId[], refreshed: readonly Refreshed[]): AudienceCounts {
  const states = new Map(refreshed.map(({ id, state }) => [id, state]))
  const counts = { complete: 0, waiting_for_list: 0, failed: 0, stale: 0 }
  for (const id of usual) counts[states.get(id) ?? 'stale']++
  return counts
}

export type SegmenterStatus = {
  readonly state: 'starting' | 'ticking' | 'building' | 'standby' | 'failing'
  readonly ticks: number
  readonly failures: number
  readonly lastTickMs: number | undefined
  readonly lastTickSeconds: number
  /** Of a tick, or of a build that goes on: none for long means that it is stuck. */
  readonly lastSignMs: number
  readonly audiences: AudienceCounts | undefined
}

export const newStatus = (nowMs: number): SegmenterStatus => ({
  state: 'starting',
  ticks: 0,
  failures: 0,
  lastTickMs: undefined,
  lastTickSeconds: 0,
  lastSignMs: nowMs,
  audiences: undefined,
})

export function reported(status: SegmenterStatus, report: SegmenterReport, nowMs: number): SegmenterStatus {
  switch (report.kind) {
    case 'ticked':
      return {
        ...status,
        state: 'ticking',
        ticks: status.ticks + 1,
        lastTickMs: nowMs,
        lastTickSeconds: report.seconds,
        lastSignMs: nowMs,
        audiences: report.audiences ?? status.audiences,
      }
    case 'building':
      return { ...status, state: 'building', lastSignMs: nowMs }
    case 'standby':
      return { ...status, state: 'standby', lastSignMs: nowMs, audiences: undefined }
    case 'failed':
      return { ...status, state: 'failing', failures: status.failures + 1 }
  }
}
