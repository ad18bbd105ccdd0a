// The trainer's thread of a server, and the same for a command where no server runs.

import { setTimeout as delay } from 'node:timers/promises'
import { MadeleineError } from '../core/errors.ts'
import type { AudienceId } from '../core/ids.ts'
import { migrate } from '../engine/migrate.ts'
import type { Store } from '../engine/store.ts'
import { makeTrainer, type TrainingOutcome } from '../lookalike/trainer.ts'
import type { Environment } from '../settings/environment.ts'
import { loadSettings, type Settings } from '../settings/load.ts'
import { watchSettings } from '../settings/watch.ts'
import { askOwner, type Claim, claimDirectory, errorOf, type OnCommand } from '../spool/claim.ts'
import { now, openDataStore } from './store.ts'

const LOOK_EVERY_MS = 10_000
const AGAIN_MS = 100

type TrainRequest = { readonly ids: readonly AudienceId[] }

const trainerOf = (store: Store, current: () => Settings, report?: (outcome: TrainingOutcome) => void) =>
  makeTrainer(store, {
    settings: () => {
      const { lookalikes, contentTaxonomy, retentionMs, memoryBytes } = current()
      return { lookalikes, taxonomy: contentTaxonomy, retentionMs, limits: { memoryBytes } }
    },
    now,
    prepare: () => migrate(store),
    ...(report && { report }),
  })

/** Undefined where another process holds the office. */
async function claim(data: string, role: 'serve' | 'command', onCommand: OnCommand): Promise<Claim | undefined> {
  try {
    return await claimDirectory(data, role, onCommand, 'trainer')
  } catch (error) {
    if (error instanceof MadeleineError && error.code === 'locked') return undefined
    throw error
  }
}

/** Trains until it is told to stop. */
export async function openTrainer(
  environment: Environment,
  signal: AbortSignal,
  report: (outcome: TrainingOutcome) => void,
): Promise<void> {
  const settings = loadSettings(environment.config, process.env)
  const watched = watchSettings(environment.config, settings, process.env)
  const store = openDataStore(environment)
  try {
    const trainer = trainerOf(store, watched.current, report)
    const onCommand: OnCommand = async (path, body) => {
      if (path !== '/train') throw new MadeleineError('usage', `the server knows no ${path}`)
      const { ids } = JSON.parse(body) as TrainRequest
      await trainer.train(ids, { isServed: true })
      return ''
    }
    for (;;) {
      if (signal.aborted) return
      const own = await claim(environment.data, 'serve', onCommand) // a command may still be training
      if (own) {
        try {
          await trainer.run(LOOK_EVERY_MS, signal)
          return
        } finally {
          await own.release()
        }
      }
      await delay(AGAIN_MS, undefined, { signal })
    }
  } finally {
    await store.close()
  }
}

/** What is due of `ids` (empty: of all), by the running server or here where there is none. */
export async function trainOnce(
  environment: Environment,
  settings: Settings,
  store: Store,
  ids: readonly AudienceId[],
  onShare: (share: number) => void,
): Promise<void> {
  if (settings.lookalikes.size === 0) return
  for (;;) {
    const owner = await askOwner(environment.data, undefined, 'trainer')
    if (owner?.body === 'serve') {
      const done = await askOwner(environment.data, { method: 'POST', path: '/train', body: JSON.stringify({ ids }) }, 'trainer')
      if (done && done.status !== 200) throw errorOf(done)
      if (done) return
    }
    const refuse = () => Promise.reject(new MadeleineError('locked', 'another command trains', { retry: true }))
    const own = await claim(environment.data, 'command', refuse)
    if (own) {
      try {
        await trainerOf(store, () => settings).train(ids, { onShare })
        return
      } finally {
        await own.release()
      }
    }
    await delay(AGAIN_MS)
  }
}
