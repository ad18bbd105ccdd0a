// The least of a smooth convex function by L-BFGS (Nocedal and Wright, Numerical Optimization, algorithms 7.4 and 3.1), with the curvature of each coordinate
// as the first guess: columns that many have and columns that few have differ by thousands. Deterministic.

export type Objective = (at: Float64Array, gradient: Float64Array) => number

const MEMORY = 8
const HALVINGS = 20
/** Armijo's share of the promised descent that a step must bring. */
const DESCENT = 1e-4

const dot = (a: Float64Array, b: Float64Array): number => {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number)
  return sum
}
/** a += factor * b */
const add = (a: Float64Array, factor: number, b: Float64Array): void => {
  for (let i = 0; i < a.length; i++) (a[i] as number) += factor * (b[i] as number)
}
const times = (a: Float64Array, b: Float64Array): Float64Array => a.map((value, i) => value * (b[i] as number))

type Step = { readonly s: Float64Array; readonly y: Float64Array; readonly rho: number }

/** The gradient as the curvature seen so far bends it: algorithm 7.4. */
function direction(gradient: Float64Array, steps: readonly Step[], inverse: Float64Array): Float64Array {
  const way = gradient.slice()
  const alphas: number[] = []
  for (let k = steps.length - 1; k >= 0; k--) {
    const { s, y, rho } = steps[k] as Step
    alphas[k] = rho * dot(s, way)
    add(way, -(alphas[k] as number), y)
  }
  const newest = steps.at(-1)
  const scale = newest ? 1 / (newest.rho * dot(newest.y, times(newest.y, inverse))) : 1
  for (let i = 0; i < way.length; i++) (way[i] as number) *= scale * (inverse[i] as number)
  for (const [k, { s, y, rho }] of steps.entries()) add(way, (alphas[k] as number) - rho * dot(y, way), s)
  return way
}

export type MinimumOptions = {
  /** Second derivative by coordinate, roughly; all above 0. */
  readonly curvature: Float64Array
  readonly stepsMax: number
  /** Ends when a step gains less than this share of the value. */
  readonly tolerance: number
}

export function minimum(
  objective: Objective,
  start: Float64Array,
  { curvature, stepsMax, tolerance }: MinimumOptions,
): Float64Array {
  const inverse = curvature.map((value) => 1 / value)
  let x = start.slice()
  let gradient = new Float64Array(x.length)
  let value = objective(x, gradient)
  const steps: Step[] = []
  for (let n = 0; n < stepsMax; n++) {
    const way = direction(gradient, steps, inverse)
    const slope = -dot(gradient, way)
    if (!(slope < 0)) break
    let next = x
    let nextGradient = gradient
    let nextValue = Number.POSITIVE_INFINITY
    for (let halving = 0, step = 1; halving < HALVINGS; halving++, step /= 2) {
      next = x.slice()
      add(next, -step, way)
      nextGradient = new Float64Array(x.length)
      nextValue = objective(next, nextGradient)
      if (nextValue <= value + DESCENT * step * slope) break
    }
    if (!(nextValue < value)) break
    const s = next.slice()
    add(s, -1, x)
    const y = nextGradient.slice()
    add(y, -1, gradient)
    const bend = dot(s, y)
    if (bend > 1e-12) {
      steps.push({ s, y, rho: 1 / bend })
      if (steps.length > MEMORY) steps.shift()
    }
    const gain = value - nextValue
    x = next
    gradient = nextGradient
    value = nextValue
    if (gain <= tolerance * Math.abs(value)) break
  }
  return x
}
