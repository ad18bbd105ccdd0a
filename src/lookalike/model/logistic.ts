// Logistic regression with an L2 penalty on sparse rows. The bias is free, rows without weight are not seen at all. Deterministic.

import { minimum } from './minimum.ts'
import type { Rows } from './rows.ts'

export type Linear = { readonly bias: number; readonly weights: Float64Array }

/** log(1 + e^z) without overflow. */
export const softplus = (z: number): number => (z > 0 ? z + Math.log1p(Math.exp(-z)) : Math.log1p(Math.exp(z)))
export const sigmoid = (z: number): number => 1 / (1 + Math.exp(-z))

export function linearMargins({ size, offsets, features }: Rows, { bias, weights }: Linear): Float64Array {
  const z = new Float64Array(size)
  for (let n = 0; n < size; n++) {
    let sum = bias
    const to = offsets[n + 1] as number
    for (let i = offsets[n] as number; i < to; i++) sum += weights[features[i] as number] as number
    z[n] = sum
  }
  return z
}

/** The penalised loss at weights and, behind them, the bias; its gradient is written into `gradient`. */
export function logisticLoss(rows: Rows, labels: Uint8Array, counts: Float32Array, penalty: number) {
  const { size, width, offsets, features } = rows
  return (at: Float64Array, gradient: Float64Array): number => {
    let sum = 0
    for (let i = 0; i < width; i++) {
      const weight = at[i] as number
      gradient[i] = penalty * weight
      sum += 0.5 * penalty * weight * weight
    }
    const bias = at[width] as number
    let biasGradient = 0
    for (let n = 0; n < size; n++) {
      const count = counts[n] as number
      if (count === 0) continue
      const from = offsets[n] as number
      const to = offsets[n + 1] as number
      let z = bias
      for (let i = from; i < to; i++) z += at[features[i] as number] as number
      const label = labels[n] as number
      const odds = Math.exp(-Math.abs(z))
      sum += count * (Math.log1p(odds) + Math.max(z, 0) - label * z)
      const residual = count * ((z > 0 ? 1 : odds) / (1 + odds) - label)
      biasGradient += residual
      for (let i = from; i < to; i++) (gradient[features[i] as number] as number) += residual
    }
    gradient[width] = biasGradient
    return sum
  }
}

export type LogisticOptions = {
  /** Half of it times the sum of the squared weights is added to the loss. */
  readonly penalty: number
  /** How much each row weighs; 0: it is held out. */
  readonly counts: Float32Array
  /** A solution of a like problem to start from. */
  readonly start?: Linear | undefined
}

/** A hundred steps are twice what the hardest of the measured problems took. */
const STEPS_MAX = 100
/** A thousandth of this leaves the ranking as it is: the recall of 20 tasks did not change by 0.0005. */
const TOLERANCE = 1e-6

export function fitLogistic(rows: Rows, labels: Uint8Array, { penalty, counts, start }: LogisticOptions): Linear {
  const { size, width, offsets, features } = rows
  let ones = 0.5
  let zeros = 0.5
  for (let n = 0; n < size; n++) {
    if (labels[n] === 1) ones += counts[n] as number
    else zeros += counts[n] as number
  }
  const prior = ones / (ones + zeros)
  const spread = prior * (1 - prior)
  const at = new Float64Array(width + 1)
  at[width] = start?.bias ?? Math.log(ones / zeros)
  if (start) at.set(start.weights)
  const curvature = new Float64Array(width + 1).fill(penalty)
  curvature[width] = spread * (ones + zeros)
  for (let n = 0; n < size; n++) {
    const part = spread * (counts[n] as number)
    if (part > 0) for (let i = offsets[n] as number; i < (offsets[n + 1] as number); i++) (curvature[features[i] as number] as number) += part
  }
  const found = minimum(logisticLoss(rows, labels, counts, penalty), at, { curvature, stepsMax: STEPS_MAX, tolerance: TOLERANCE })
  return { bias: found[width] as number, weights: found.slice(0, width) }
}
