// How far a measurement may be from the truth. Each is the larger of what chance in who was sampled explains and of how much the folds differ: the second covers
// that another sample would have trained another model.

export type Interval = readonly [low: number, high: number]

/** Two-sided, 95 %. */
export const Z = 1.959964

export const meanOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length
/** The standard error of a mean of these. */
export function errorOfMean(values: readonly number[]): number {
  if (values.length < 2) return 0
  const middle = meanOf(values)
  return Math.sqrt(values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (values.length - 1) / values.length)
}

/** Wilson's score interval (JASA 1927) of a share seen in `size` draws. */
export function wilson(share: number, size: number): Interval {
  if (!(size > 0)) return [0, 1]
  const z2 = Z * Z
  const middle = (share + z2 / (2 * size)) / (1 + z2 / size)
  const half = (Z / (1 + z2 / size)) * Math.sqrt((share * (1 - share)) / size + z2 / (4 * size * size))
  return [Math.max(0, middle - half), Math.min(1, middle + half)]
}

/** Wilson's, as if seen in as few draws as would have the larger of this error and the binomial one. */
export function widened(share: number, size: number, error: number): Interval {
  const variance = share * (1 - share)
  if (variance === 0 || error === 0) return wilson(share, size)
  return wilson(share, Math.min(size, variance / (error * error)))
}
