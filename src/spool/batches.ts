// Batch numbers: the order of arrival. 42 bits of milliseconds, 22 bits of writer, so that numbers of one writer only grow, numbers of
// several writers are comparable to the accuracy of their clocks, and no two processes have to agree on anything. Two numbers are the same only where a writer was
// drawn twice (1 in 4,194,304) and both gave one in the same millisecond, as after a clock that was set back; a file is also known by its rows (shipper.ts).

import { randomInt } from 'node:crypto'
import type { Batch } from './names.ts'

const WRITER_BITS = 22
/** Up to the year 2109; a clock that is further ahead is not believed. */
const MOMENTS = 2 ** 42

export type NextBatch = () => Batch

/** A new writer. The number never repeats or goes back while the process lives, whatever the clock does. */
export function makeBatches(now: () => number, writer = randomInt(2 ** WRITER_BITS)): NextBatch {
  let lastMs = 0
  return () => {
    const ms = now()
    lastMs = Math.max(lastMs + 1, ms < MOMENTS ? ms : 0)
    return (BigInt(lastMs) << BigInt(WRITER_BITS)) | BigInt(writer)
  }
}

/** The least number that a writer could give at a moment. */
export const firstBatchAt = (ms: number): Batch => BigInt(ms) << BigInt(WRITER_BITS)
