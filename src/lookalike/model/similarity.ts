// How near a visitor's columns are to those of the seed: cosine of tf-idf vectors (Salton and Buckley, 1988), the seed's mean without everybody's (Rocchio).

import type { Lengths, Linear } from './linear.ts'
import type { Rows } from './rows.ts'

export function fitSimilarity(
  { size, width, offsets, features }: Rows,
  lengths: Lengths,
  labels: Uint8Array,
  counts: Float32Array,
): Linear {
  const sums = [new Float64Array(width), new Float64Array(width)] as const
  const totals = [0, 0]
  for (let n = 0; n < size; n++) {
    const count = counts[n] as number
    if (count === 0) continue
    const label = labels[n] as 0 | 1
    ;(totals[label] as number) += count
    const part = count * (lengths.inverse[n] as number)
    for (let i = offsets[n] as number; i < (offsets[n + 1] as number); i++) (sums[label][features[i] as number] as number) += part
  }
  const normalized = lengths.squares.map((square, i) => {
    const near = (sums[1][i] as number) / Math.max(totals[1] as number, 1)
    const usual = (sums[0][i] as number) / Math.max(totals[0] as number, 1)
    return square * (near - usual)
  })
  return { bias: 0, plain: new Float64Array(width), normalized }
}
