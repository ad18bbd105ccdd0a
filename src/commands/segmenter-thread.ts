// The thread that `serve` starts to keep memberships fresh. Ends when it is sent anything.

import { parentPort, workerData } from 'node:worker_threads'
import type { Environment } from '../settings/environment.ts'
import { openSegmenter } from '../wire/segmenter.ts'

const stopping = new AbortController()
parentPort?.once('message', () => stopping.abort())

try {
  await openSegmenter(workerData as Environment, stopping.signal, (report) => parentPort?.postMessage(report))
} catch (error) {
  if (!stopping.signal.aborted) throw error
} finally {
  parentPort?.close()
}
