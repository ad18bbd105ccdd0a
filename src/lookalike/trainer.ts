// Trains lookalikes when they are due, and between trainings scores whoever has come. One a data directory, in a thread or a command of its own: a training computes for
// seconds at a time, and memberships are refreshed meanwhile.

import { setTimeout as delay } from 'node:timers/promises'
import { MINUTE_MS } from '../core/duration.ts'
import { causeOf } from '../core/errors.ts'
import type { AudienceId } from '../core/ids.ts'
import { log } from '../core/log.ts'
import type { Store } from '../engine/store.ts'
import { ARRIVAL_MARGIN_MS, readLastTick } from '../membership/ticks.ts'
import type { LookalikeSettings } from '../settings/lookalikes.ts'
import { type Applied, addNewcomers, readApplied } from './newcomers.ts'
import { type TrainOptions, trainLookalikes } from './train.ts'
import { readDue, readTrainings, type Training } from './trainings.ts'

export type TrainerOptions = Omit<TrainOptions, 'onShare' | 'listOf'> & {
  /** As the configuration has them now. */
  readonly lookalikes: () => ReadonlyMap<AudienceId, LookalikeSettings>
  /** The store has its tables after it. */
  readonly prepare: () => Promise<void>
  readonly report?: (outcome: TrainingOutcome) => void
}

/** What came of a training, told to whoever watches over it. `failed`: none came about. */
export const TRAINING_OUTCOMES = ['trained', 'refused', 'failed'] as const
export type TrainingOutcome = (typeof TRAINING_OUTCOMES)[number]

export type Trainer = {
  /** Those that are due of `ids` (empty: of all) or were refused, and then whoever has come since trainings. Answers what was trained. */
  train(ids: readonly AudienceId[], onShare?: (share: number) => void): Promise<readonly Training[]>
  /** As `train` of all, again and again until `signal` says to stop. */
  run(everyMs: number, signal: AbortSignal): Promise<void>
}

/** A membership that looks at those who were added must begin after they were: in a server another thread's tick may be under way. */
const NEXT_TICK_MS = 2_000
/** What fails is tried again, but not in every round: a training reads everything. */
const FAILED_AGAIN_MS = 10 * MINUTE_MS

export function makeTrainer(store: Store, { lookalikes, prepare, report = () => {}, ...options }: TrainerOptions): Trainer {
  const { now, retentionMs, limits } = options
  let applied: Applied = new Map()
  let lookedMs: number | undefined
  let failedMs = Number.NEGATIVE_INFINITY
  let busy: Promise<unknown> = Promise.resolve()

  /** One after the other. */
  function alone<T>(work: () => Promise<T>): Promise<T> {
    const done = busy.then(work, work)
    busy = done.catch(() => {})
    return done
  }

  async function look(dueMs: number): Promise<void> {
    const own = lookalikes()
    const trainings = [...(await readTrainings(store)).values()].filter(({ lookalike }) => own.has(lookalike))
    applied = await readApplied(store, trainings, applied)
    const nowMs = now()
    const sinceMs = (lookedMs ?? (await readLastTick(store))?.atMs ?? 0) - ARRIVAL_MARGIN_MS
    await addNewcomers(store, applied, { retentionMs, nowMs, sinceMs, dueMs, limits })
    lookedMs = nowMs
  }

  async function trainDue(ids: readonly AudienceId[], retry: boolean, onShare?: (share: number) => void): Promise<Training[]> {
    const own = [...lookalikes().values()].filter(({ id }) => ids.length === 0 || ids.includes(id))
    if (own.length === 0) return []
    const due = await readDue(store, own, { nowMs: now(), retentionMs, retry })
    const trained = await trainLookalikes(store, due, { ...options, ...(onShare && { onShare }) })
    for (const { outcome } of trained) report(outcome)
    return trained
  }

  return {
    train: (ids, onShare) =>
      alone(async () => {
        const trained = await trainDue(ids, true, onShare)
        await look(now())
        return trained
      }),
    async run(everyMs, signal) {
      while (!signal.aborted) {
        try {
          await alone(async () => {
            if (lookalikes().size === 0) return
            await prepare()
            if (now() - failedMs > FAILED_AGAIN_MS) {
              failedMs = now()
              for (const { lookalike, outcome, seconds } of await trainDue([], false))
                log.info({ lookalike, outcome, seconds }, 'a lookalike was trained')
              failedMs = Number.NEGATIVE_INFINITY
            }
            await look(now() + NEXT_TICK_MS)
          })
        } catch (error) {
          report('failed')
          log.warn({ cause: causeOf(error) }, 'lookalikes could not be trained and will be tried again')
        }
        await delay(everyMs, undefined, { signal }).catch(() => {})
      }
      await busy
    },
  }
}
