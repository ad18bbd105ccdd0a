// Batch numbers: the order of arrival. 42 bits of milliseconds, 22 bits of writer, so that numbers of one writer only grow, numbers of
// several writers are comparable to the accuracy of their clocks, and no two processes have to agree on anything.

import { randomInt } from 'node:crypto'
import type { Batch } from './names.ts'

const WRITER_BITS = 22

export type NextBatch = () => Batch

/** A new writer. The number never repeats or goes back while the process lives, whatever the clock does. */
export function makeBatches(now: () => number, writer = randomInt(2 ** WRITER_BITS)): NextBatch {
  let lastMs = 0
  return () => {
    lastMs = Math.max(lastMs + 1, now())
    return (BigInt(lastMs) << BigInt(WRITER_BITS)) | BigInt(writer)
  }
}

/** The least number that a writer could give at a moment. */
export const firstBatchAt = (ms: number): Batch => BigInt(ms) << BigInt(WRITER_BITS)
