// The additive part of a model: a weight for each column as it is, and one for it in a tf-idf vector of length 1 (Salton and Buckley, 1988).

import { type Rows, supports } from './rows.ts'

/** What tf-idf needs: says nothing of labels. */
export type Lengths = {
  /** Squared idf by column. */
  readonly squares: Float64Array
  /** 1 / norm by row. */
  readonly inverse: Float64Array
}

export function lengthsOf(rows: Rows): Lengths {
  const squares = Float64Array.from(supports(rows), (support) => Math.log((1 + rows.size) / (1 + support)) ** 2)
  const inverse = new Float64Array(rows.size)
  for (let n = 0; n < rows.size; n++) {
    let sum = 0
    for (let i = rows.offsets[n] as number; i < (rows.offsets[n + 1] as number); i++)
      sum += squares[rows.features[i] as number] as number
    inverse[n] = sum > 0 ? 1 / Math.sqrt(sum) : 1
  }
  return { squares, inverse }
}

/** margin(x) = bias + sum of `plain` over x's columns + sum of `normalized` over them / norm(x) */
export type Linear = { readonly bias: number; readonly plain: Float64Array; readonly normalized: Float64Array }

export const sigmoid = (z: number): number => 1 / (1 + Math.exp(-z))
/** log(1 + e^z) without overflow. */
export const softplus = (z: number): number => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)))

export function linearMargins(
  { size, offsets, features }: Rows,
  { inverse }: Lengths,
  { bias, plain, normalized }: Linear,
): Float64Array {
  const z = new Float64Array(size)
  for (let n = 0; n < size; n++) {
    let sum = 0
    let near = 0
    const to = offsets[n + 1] as number
    for (let i = offsets[n] as number; i < to; i++) {
      sum += plain[features[i] as number] as number
      near += normalized[features[i] as number] as number
    }
    z[n] = bias + sum + near * (inverse[n] as number)
  }
  return z
}
