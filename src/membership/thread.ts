// A thread of the server beside the collector's: the segmenter's, the trainer's. One that ends by a mistake of ours is told and started again: the collector does not end
// with it.

import { setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { causeOf } from '../core/errors.ts'
import { log } from '../core/log.ts'
import { distFile } from '../engine/package-files.ts'
import type { Environment } from '../settings/environment.ts'

export type Thread = {
  /** Ends after the tick in hand; one that takes longer is cut off, and made again at the next start. */
  stop(withinMs: number): Promise<void>
}

const AGAIN_MS = 1_000
const AGAIN_MAX_MS = 60_000

/** Runs the module of that name in dist/, which reads `environment` from its workerData and stops when it is sent anything. */
export function startThread<Report>(
  name: 'segmenter' | 'trainer',
  environment: Environment,
  onReport: (report: Report) => void,
): Thread {
  const file = distFile(`${name}-thread.js`)
  const stopping = new AbortController()
  let worker: Worker | undefined

  const once = (): Promise<void> =>
    new Promise((resolve, reject) => {
      worker = new Worker(file, { workerData: environment })
      worker.on('message', onReport)
      worker.once('error', reject)
      worker.once('exit', (code) => (code === 0 || stopping.signal.aborted ? resolve() : reject(new Error(`exit code ${code}`))))
    })

  async function run(): Promise<void> {
    let waitMs = AGAIN_MS
    while (!stopping.signal.aborted) {
      const startedMs = Date.now()
      try {
        await once()
      } catch (error) {
        log.error({ cause: causeOf(error) }, `the ${name} has ended and will be started again`)
      }
      waitMs = Date.now() - startedMs > AGAIN_MAX_MS ? AGAIN_MS : Math.min(AGAIN_MAX_MS, waitMs * 2)
      await delay(waitMs, undefined, { signal: stopping.signal }).catch(() => {})
    }
  }
  const running = run()

  return {
    async stop(withinMs) {
      stopping.abort()
      worker?.postMessage('stop')
      await Promise.race([running, delay(withinMs, undefined, { ref: false })])
      await worker?.terminate()
    },
  }
}
