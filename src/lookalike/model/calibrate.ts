// From margins to probabilities: Platt's sigmoid (Advances in Large Margin Classifiers, 1999; the fit as corrected by Lin, Lin and Weng, 2007), on margins of rows
// that their model has not seen, with seed and others weighing the same: 0.5 is as likely of the seed as not where both are equally many.

export type Calibration = { readonly slope: number; readonly offset: number }

const STEPS_MAX = 100
/** A model whose margins say nothing still orders nothing backwards. */
const SLOPE_MIN = 1e-6

export function calibrate(margins: Float64Array, labels: Uint8Array, weights: Float32Array): Calibration {
  let ones = 0
  let zeros = 0
  let mean = 0
  for (let n = 0; n < margins.length; n++) {
    if (labels[n] === 1) ones++
    else zeros++
    mean += (margins[n] as number) / margins.length
  }
  if (ones === 0 || zeros === 0) return { slope: SLOPE_MIN, offset: 0 }
  let variance = 0
  for (let n = 0; n < margins.length; n++) variance += ((margins[n] as number) - mean) ** 2 / margins.length
  const scale = Math.sqrt(variance)
  if (!(scale > 1e-12)) return { slope: SLOPE_MIN, offset: 0 }
  // Platt's targets: few members must not make anybody certain.
  const targets = [1 / (zeros + 2), (ones + 1) / (ones + 2)] as const
  const shares = [0.5 / zeros, 0.5 / ones] as const
  let slope = 1
  let offset = 0
  const loss = (a: number, b: number): number => {
    let sum = 0
    for (let n = 0; n < margins.length; n++) {
      const label = labels[n] as 0 | 1
      const z = (a * ((margins[n] as number) - mean)) / scale + b
      sum += shares[label] * (weights[n] as number) * (Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z))) - targets[label] * z)
    }
    return sum
  }
  let value = loss(slope, offset)
  for (let step = 0; step < STEPS_MAX; step++) {
    let ga = 0
    let gb = 0
    let haa = 1e-12
    let hab = 0
    let hbb = 1e-12
    for (let n = 0; n < margins.length; n++) {
      const label = labels[n] as 0 | 1
      const x = ((margins[n] as number) - mean) / scale
      const p = 1 / (1 + Math.exp(-(slope * x + offset)))
      const share = shares[label] * (weights[n] as number)
      const g = share * (p - targets[label])
      const h = share * p * (1 - p)
      ga += g * x
      gb += g
      haa += h * x * x
      hab += h * x
      hbb += h
    }
    const determinant = haa * hbb - hab * hab
    const da = (hbb * ga - hab * gb) / determinant
    const db = (haa * gb - hab * ga) / determinant
    let length = 1
    let next = loss(slope - da, offset - db)
    while (next > value && length > 1e-6) {
      length /= 2
      next = loss(slope - length * da, offset - length * db)
    }
    if (!(next < value)) break
    slope -= length * da
    offset -= length * db
    const gain = value - next
    value = next
    if (gain < 1e-10) break
  }
  if (!(slope / scale > SLOPE_MIN)) return { slope: SLOPE_MIN, offset: 0 }
  return { slope: slope / scale, offset: offset - (slope * mean) / scale }
}
