// Refreshes memberships as long as it runs, a tick after the other, and builds when a command asks for it. It alone writes memberships meanwhile.

import { setTimeout as delay } from 'node:timers/promises'
import { HOUR_MS } from '../core/duration.ts'
import { causeOf } from '../core/errors.ts'
import type { AudienceId } from '../core/ids.ts'
import { log } from '../core/log.ts'
import type { Store } from '../engine/store.ts'
import { type AudienceRules, type BuildOptions, type BuildResult, buildAudiences } from './build.ts'
import type { PassLimits } from './pass.ts'
import { makeMembership } from './refresh.ts'

export type Audiences = { readonly known: AudienceRules; readonly usual: readonly AudienceId[] }

export type SegmenterOptions = {
  readonly store: Store
  /** As the configuration has them now. */
  readonly audiences: () => Promise<Audiences>
  readonly retentionMs: number
  readonly limits: PassLimits
  readonly now: () => number
  /** Pause between ticks. */
  readonly everyMs: number
}
export type Segmenter = {
  build(options: Pick<BuildOptions, 'known' | 'audiences' | 'full'>): Promise<BuildResult>
  /** A tick now. */
  refresh(): Promise<void>
  readonly counts: { ticks: number; failures: number; watermarkMs: number; touched: number }
  /** Ends after the tick in hand. */
  close(): Promise<void>
}

/** Where nothing happens, members are said to be complete through a new moment this often. */
const IDLE_MS = 5_000
const RETRY_MAX_MS = 30_000

export function startSegmenter(options: SegmenterOptions): Segmenter {
  const { store, audiences, retentionMs, limits, now, everyMs } = options
  const membership = makeMembership(store)
  const counts = { ticks: 0, failures: 0, watermarkMs: 0, touched: 0 }
  const interrupt = new AbortController()
  let busy: Promise<unknown> = Promise.resolve()
  let checkpointMs = now()

  /** One after the other. */
  function alone<T>(work: () => Promise<T>): Promise<T> {
    const done = busy.then(work, work)
    busy = done.catch(() => {})
    return done
  }

  async function tick(): Promise<void> {
    const { known, usual } = await audiences()
    const checkpoint = now() - checkpointMs > HOUR_MS
    const { atMs, touched } = await membership.refresh({
      known: [...known].map(([id, { rule }]) => ({ id, rule })),
      wanted: new Set(usual),
      retentionMs,
      now,
      limits,
      checkpoint,
      maker: 'serve',
      idleMs: IDLE_MS,
    })
    if (checkpoint) checkpointMs = now()
    counts.ticks++
    counts.watermarkMs = atMs
    counts.touched += touched
  }

  async function run(): Promise<void> {
    let waitMs = everyMs
    while (!interrupt.signal.aborted) {
      try {
        await alone(tick)
        waitMs = everyMs
      } catch (error) {
        counts.failures++
        waitMs = Math.min(RETRY_MAX_MS, Math.max(1_000, waitMs * 2))
        log.warn({ cause: causeOf(error) }, 'memberships could not be refreshed and will be tried again')
      }
      await delay(waitMs, undefined, { signal: interrupt.signal }).catch(() => {})
    }
  }
  const running = run()

  return {
    counts,
    refresh: () => alone(tick),
    build: (asked) => alone(() => buildAudiences(store, { ...asked, retentionMs, limits, now }, membership)),
    async close() {
      interrupt.abort()
      await running
      await busy
    },
  }
}
