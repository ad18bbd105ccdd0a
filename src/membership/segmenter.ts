// Refreshes memberships as long as it runs, a tick after the other, and builds when a command asks for it. It alone writes memberships meanwhile.

import { setTimeout as delay } from 'node:timers/promises'
import { HOUR_MS } from '../core/duration.ts'
import { causeOf, MadeleineError } from '../core/errors.ts'
import type { AudienceId } from '../core/ids.ts'
import { log } from '../core/log.ts'
import type { Store } from '../engine/store.ts'
import { type AudienceRules, type BuildOptions, type BuildResult, buildAudiences } from './build.ts'
import type { Leader } from './leader.ts'
import type { PassLimits } from './pass.ts'
import { makeMembership } from './refresh.ts'
import { countStates, type SegmenterReport } from './report.ts'

/** `retentionMs`: as the rules were read with it. */
export type Audiences = {
  readonly known: AudienceRules
  readonly usual: readonly AudienceId[]
  readonly retentionMs: number
}

export type SegmenterOptions = {
  readonly store: Store
  /** As the configuration has them now. */
  readonly audiences: () => Promise<Audiences>
  readonly limits: PassLimits
  readonly budgetSeconds: number | undefined
  readonly now: () => number
  /** Where several servers share a ClickHouse. */
  readonly leader: Leader | undefined
  /** Heard by whoever watches over it. */
  readonly report?: (report: SegmenterReport) => void
}
export type Segmenter = {
  build(options: Pick<BuildOptions, 'known' | 'audiences' | 'full' | 'retentionMs'>): Promise<BuildResult>
  /** Brings every audience up to now. */
  tick(): Promise<void>
  /** A tick after the other, begun so often at the most, until `signal` says to stop. */
  run(everyMs: number, signal: AbortSignal): Promise<void>
}

/** Where nothing happens, members are said to be complete through a new moment this often. */
const IDLE_MS = 5_000
/** After a tick that took long: a build that waits for its turn, or the end of the server, goes first. */
const PAUSE_MS = 50
const RETRY_MAX_MS = 30_000
const LEAD_TRIES = 10
const LEAD_AGAIN_MS = 500

export function makeSegmenter({ store, audiences, leader, report = () => {}, ...options }: SegmenterOptions): Segmenter {
  const always = { ...options, onShare: () => report({ kind: 'building' }) }
  const { now } = always
  let membership = makeMembership(store)
  let busy: Promise<unknown> = Promise.resolve()
  let checkpointMs = now()

  /** One after the other. */
  function alone<T>(work: () => Promise<T>): Promise<T> {
    const done = busy.then(work, work)
    busy = done.catch(() => {})
    return done
  }

  let isLeading = leader === undefined
  /** Whoever begins to lead knows nothing of the ticks before. */
  async function leads(): Promise<boolean> {
    if (!leader) return true
    const leading = await leader.leads()
    if (leading && !isLeading) membership = makeMembership(store)
    isLeading = leading
    return leading
  }

  async function refresh(): Promise<void> {
    const { known, usual, retentionMs } = await audiences()
    if (!(await leads())) return report({ kind: 'standby' })
    const startedMs = performance.now()
    const checkpoint = now() - checkpointMs > HOUR_MS
    const tock = await membership.refresh({
      known: [...known].map(([id, { rule, refused }]) => ({ id, rule, refused })),
      wanted: new Set(usual),
      retentionMs,
      ...always,
      checkpoint,
      maker: 'serve',
      idleMs: IDLE_MS,
    })
    if (checkpoint) checkpointMs = now()
    const isKnown = tock.audiences.length > 0 || usual.length === 0
    report({
      kind: 'ticked',
      seconds: (performance.now() - startedMs) / 1_000,
      audiences: isKnown ? countStates(usual, tock.audiences) : undefined,
    })
  }

  return {
    build: (asked) =>
      alone(async () => {
        // Whoever has just come leads once others had time to be heard.
        for (let tries = 0; tries < LEAD_TRIES && !(await leads()); tries++) await delay(LEAD_AGAIN_MS)
        if (!isLeading)
          throw new MadeleineError('locked', 'another server refreshes the memberships of this ClickHouse', { retry: true })
        return buildAudiences(store, { ...asked, ...always }, membership)
      }),
    tick: () => alone(refresh),
    async run(everyMs, signal) {
      let waitMs = everyMs
      while (!signal.aborted) {
        const startedMs = performance.now()
        try {
          await alone(refresh)
          waitMs = Math.max(PAUSE_MS, everyMs - (performance.now() - startedMs))
        } catch (error) {
          waitMs = Math.min(RETRY_MAX_MS, Math.max(everyMs, waitMs * 2))
          report({ kind: 'failed' })
          log.warn({ cause: causeOf(error) }, 'memberships could not be refreshed and will be tried again')
        }
        await delay(waitMs, undefined, { signal }).catch(() => {})
      }
      await busy
      await leader?.leave()
    },
  }
}
