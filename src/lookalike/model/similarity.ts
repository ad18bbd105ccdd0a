// How near a visitor's columns are to those of the seed: cosine of tf-idf vectors (Salton and Buckley, 1988), the seed's mean without everybody's (Rocchio).

import type { Linear } from './logistic.ts'
import { type Rows, supports } from './rows.ts'

export type Similarity = Linear & { readonly squares: Float64Array }

/** Squared idf by column; of all rows, which says nothing of labels. */
export function squaredIdf(rows: Rows): Float64Array {
  return Float64Array.from(supports(rows), (support) => Math.log((1 + rows.size) / (1 + support)) ** 2)
}

export function fitSimilarity({ size, width, offsets, features }: Rows, labels: Uint8Array, counts: Float32Array, squares: Float64Array, less = 1): Similarity {
  const sums = [new Float64Array(width), new Float64Array(width)] as const
  const totals = [0, 0]
  for (let n = 0; n < size; n++) {
    const count = counts[n] as number
    if (count === 0) continue
    const label = labels[n] as 0 | 1
    ;(totals[label] as number) += count
    const from = offsets[n] as number
    const to = offsets[n + 1] as number
    let norm = 0
    for (let i = from; i < to; i++) norm += squares[features[i] as number] as number
    if (norm === 0) continue
    const part = count / Math.sqrt(norm)
    for (let i = from; i < to; i++) (sums[label][features[i] as number] as number) += part
  }
  const weights = new Float64Array(width)
  for (let i = 0; i < width; i++) {
    const near = (sums[1][i] as number) / Math.max(totals[1] as number, 1)
    const usual = (sums[0][i] as number) / Math.max(totals[0] as number, 1)
    weights[i] = (squares[i] as number) * (near - less * usual)
  }
  return { bias: 0, weights, squares }
}
