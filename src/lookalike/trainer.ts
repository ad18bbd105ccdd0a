// Trains lookalikes when they are due, and between trainings scores whoever has come. One a data directory, in a thread or a command of its own: a training computes for
// seconds at a time, and memberships are refreshed meanwhile.

import { setTimeout as delay } from 'node:timers/promises'
import { causeOf } from '../core/errors.ts'
import type { AudienceId } from '../core/ids.ts'
import { log } from '../core/log.ts'
import type { Store } from '../engine/store.ts'
import { ARRIVAL_MARGIN_MS } from '../membership/ticks.ts'
import type { LookalikeSettings } from '../settings/lookalikes.ts'
import { type Applied, addNewcomers, dropRefusers, readApplied, readLookSight, tellMembership } from './newcomers.ts'
import { type TrainOptions, trainLookalikes } from './train.ts'
import { readDue, type Training } from './trainings.ts'

/** As the configuration has them now. */
export type TrainerSettings = Pick<TrainOptions, 'taxonomy' | 'retentionMs' | 'limits'> & {
  readonly lookalikes: ReadonlyMap<AudienceId, LookalikeSettings>
}

export type TrainerOptions = {
  readonly settings: () => TrainerSettings
  readonly now: () => number
  /** The store has its tables after it. */
  readonly prepare: () => Promise<void>
  readonly report?: (outcome: Training['outcome']) => void
}

export const TRAINING_OUTCOMES = ['trained', 'refused', 'failed'] as const satisfies readonly Training['outcome'][]
export type TrainingOutcome = (typeof TRAINING_OUTCOMES)[number]

/** `isServed`: another thread's ticks go on meanwhile. */
export type TrainCall = { readonly onShare?: (share: number) => void; readonly isServed?: boolean }

export type Trainer = {
  /** Those that are due of `ids` (empty: of all) or were refused, and then whoever has come since trainings. Answers what was trained. */
  train(ids: readonly AudienceId[], options?: TrainCall): Promise<readonly Training[]>
  /** As `train` of all, again and again until `signal` says to stop. */
  run(everyMs: number, signal: AbortSignal): Promise<void>
}

/** A membership that looks at those who were added must begin after they were: in a server another thread's tick may be under way. */
const NEXT_TICK_MS = 2_000
const EMPTY_AGAIN_MS = 60_000

export function makeTrainer(store: Store, { settings, now, prepare, report = () => {} }: TrainerOptions): Trainer {
  let applied: Applied = new Map()
  let lookedMs: number | undefined
  /** When the membership looks at whom it was told of last. */
  let toldMs = 0
  let emptyMs = Number.NEGATIVE_INFINITY
  let busy: Promise<unknown> = Promise.resolve()

  /** One after the other. */
  function alone<T>(work: () => Promise<T>): Promise<T> {
    const done = busy.then(work, work)
    busy = done.catch(() => {})
    return done
  }

  /** `aheadMs`: what is written is looked at by a tick that begins so long after it. */
  async function look(aheadMs: number): Promise<void> {
    const { lookalikes, retentionMs, limits } = settings()
    applied = await readApplied(store, lookalikes, applied)
    const nowMs = now()
    const sinceMs = lookedMs === undefined ? undefined : lookedMs - ARRIVAL_MARGIN_MS
    const options = { retentionMs, nowMs, sinceMs, limits }
    const sight = applied.size > 0 ? await readLookSight(store, options) : undefined
    for (const one of applied.values()) {
      const left = await dropRefusers(store, one, now() + aheadMs)
      const added = sight ? await addNewcomers(store, one, sight, options) : 0
      await tellMembership(store, one, options, now() + aheadMs)
      if (left + added > 0) toldMs = now() + aheadMs
    }
    lookedMs = nowMs
  }

  async function trainDue(ids: readonly AudienceId[], retry: boolean, onShare?: (share: number) => void): Promise<Training[]> {
    const { lookalikes, ...options } = settings()
    const own = [...lookalikes.values()].filter(({ id }) => ids.length === 0 || ids.includes(id))
    if (own.length === 0) return []
    const due = await readDue(store, own, { nowMs: now(), retentionMs: options.retentionMs, retry })
    const trained = await trainLookalikes(store, due, { ...options, now, ...(onShare && { onShare }) })
    for (const { outcome } of trained) report(outcome)
    return trained
  }

  /** A seed without anybody has no training that would say when to try again. */
  async function trainAlone(): Promise<void> {
    if (now() - emptyMs < EMPTY_AGAIN_MS) return
    const trained = await trainDue([], false, () => {
      emptyMs = now()
    })
    if (trained.length > 0) emptyMs = Number.NEGATIVE_INFINITY
    for (const { lookalike, outcome, seconds } of trained) log.info({ lookalike, outcome, seconds }, 'a lookalike was trained')
  }

  return {
    train: (ids, { onShare, isServed = false } = {}) =>
      alone(async () => {
        const trained = await trainDue(ids, true, onShare)
        await look(isServed ? NEXT_TICK_MS : 0)
        // Whoever builds next must find them, also those of the look before.
        if (isServed) await delay(Math.max(0, toldMs - now()))
        return trained
      }),
    async run(everyMs, signal) {
      while (!signal.aborted) {
        try {
          await alone(async () => {
            if (settings().lookalikes.size === 0) return
            await prepare()
            await trainAlone()
            await look(NEXT_TICK_MS)
          })
        } catch (error) {
          log.warn({ cause: causeOf(error) }, 'lookalikes could not be looked after and will be again')
        }
        await delay(everyMs, undefined, { signal }).catch(() => {})
      }
      await busy
    },
  }
}
