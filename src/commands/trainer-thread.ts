// The thread that `serve` starts to train lookalikes. Ends when it is sent anything.

import { parentPort, workerData } from 'node:worker_threads'
import type { Environment } from '../settings/environment.ts'
import { openTrainer } from '../wire/trainer.ts'

const stopping = new AbortController()
parentPort?.once('message', () => stopping.abort())

try {
  await openTrainer(workerData as Environment, stopping.signal, (outcome) => parentPort?.postMessage(outcome))
} catch (error) {
  if (!stopping.signal.aborted) throw error
} finally {
  parentPort?.close()
}
