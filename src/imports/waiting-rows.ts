// Rows of a block until it is stored: as bytes beside the heap. As strings they would be a hundred thousand ropes that the garbage collector copies over and
// over, a third of an import's time.

import type { Batch } from '../spool/names.ts'
import { lineInBatch } from '../spool/row.ts'

export type WaitingRows = {
  /** `number`: of the line in the file, growing; `text`: the row as the engine reads it, without its batch (spool/row.ts). */
  add(number: number, text: string): void
  /** Of the lines, in order. */
  readonly numbers: readonly number[]
  /** The rows whose lines are covered by ranges (from, to, from, to, ...), and the others. */
  divide(ranges: readonly number[]): { readonly covered: WaitingRows; readonly left: WaitingRows }
  /** As they are inserted. */
  inBatch(batch: Batch): Buffer
}

const FIRST_BYTES = 1 << 16

export function makeWaitingRows(): WaitingRows {
  const numbers: number[] = []
  /** Where each row ends. */
  const ends: number[] = []
  let bytes = Buffer.allocUnsafe(FIRST_BYTES)
  let used = 0

  const startOf = (n: number): number => (n === 0 ? 0 : (ends[n - 1] ?? 0))

  const rows: WaitingRows & { addBytes(number: number, from: Buffer): void } = {
    numbers,
    add(number, text) {
      const most = text.length * 3 // of UTF-8 a UTF-16 unit
      if (bytes.length - used < most) grow(most)
      used += bytes.write(text, used, 'utf8')
      numbers.push(number)
      ends.push(used)
    },
    addBytes(number, from) {
      if (bytes.length - used < from.length) grow(from.length)
      used += from.copy(bytes, used)
      numbers.push(number)
      ends.push(used)
    },
    divide(ranges) {
      const covered = makeWaitingRows() as typeof rows
      const left = makeWaitingRows() as typeof rows
      let at = 0
      for (const [n, number] of numbers.entries()) {
        while (at < ranges.length && (ranges[at + 1] ?? 0) < number) at += 2
        const isCovered = at < ranges.length && (ranges[at] ?? 0) <= number
        const to = isCovered ? covered : left
        to.addBytes(number, bytes.subarray(startOf(n), ends[n]))
      }
      return { covered, left }
    },
    inBatch(batch) {
      const [before = '', after = ''] = lineInBatch(PLACE, batch).split(PLACE)
      const [head, tail] = [Buffer.from(before), Buffer.from(after)]
      const made = Buffer.allocUnsafe(used + numbers.length * (head.length + tail.length))
      let at = 0
      for (let n = 0; n < numbers.length; n++) {
        at += head.copy(made, at)
        at += bytes.copy(made, at, startOf(n), ends[n])
        at += tail.copy(made, at)
      }
      return made
    },
  }
  function grow(by: number): void {
    const larger = Buffer.allocUnsafe(Math.max(bytes.length * 2, used + by))
    bytes.copy(larger, 0, 0, used)
    bytes = larger
  }
  return rows
}

/** Stands for a row. */
const PLACE = '"row"'
