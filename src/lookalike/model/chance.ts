// How far from 0.5 the held-out AUC of a seed without signal strays. Further than the errors of its own figures say: visitors drawn by chance may happen to do more than
// others, or to come from one place, and then every fold agrees on it. (Of 200 seeds drawn by chance from Deskdrop the AUC of one in ten lay two such errors above 0.5.)
// So seeds are drawn by chance, and ranked by the regression's first step: where it begins to go from a gradient and a diagonal, at the price of an addition a cell.

import type { Penalties } from './candidates.ts'
import { DEPTHS } from './evidence.ts'
import type { Lengths } from './linear.ts'
import { makeRandom } from './random.ts'
import type { Rows } from './rows.ts'
import { orderOf, type Sample } from './sample.ts'

export type Chance = { readonly auc: number; readonly recall10: number }

const DRAWS = 60
/** Visitors among whom seeds are drawn. */
const VISITORS_MAX = 3000

/** Over the columns of some visitors: how often each is had, the sum of its values in rows of length 1, and of their squares. */
function sumsOf({ width, offsets, features }: Rows, { squares, inverse }: Lengths, some: Uint32Array) {
  const counts = new Float64Array(width)
  const near = new Float64Array(width)
  const nearSquares = new Float64Array(width)
  for (const n of some) {
    const short = inverse[n] as number
    for (let i = offsets[n] as number; i < (offsets[n + 1] as number); i++) {
      const column = features[i] as number
      ;(counts[column] as number)++
      ;(near[column] as number) += short
      ;(nearSquares[column] as number) += short * short
    }
  }
  for (let i = 0; i < width; i++) {
    ;(near[i] as number) *= Math.sqrt(squares[i] as number)
    ;(nearSquares[i] as number) *= squares[i] as number
  }
  return { counts, near, nearSquares }
}

/** The AUC of margins against others' margins, and the share of them above the best tenth of the others. */
function rankedOf(own: Float64Array, others: Float64Array): Chance {
  others.sort()
  let sum = 0
  let found = 0
  const least = others[Math.floor(others.length * (1 - DEPTHS.p10))] as number
  for (const margin of own) {
    if (margin > least) found++
    const below = (isOver: (other: number) => boolean): number => {
      let low = 0
      let high = others.length
      while (low < high) {
        const middle = (low + high) >> 1
        if (isOver(others[middle] as number)) high = middle
        else low = middle + 1
      }
      return low
    }
    sum += (below((other) => other >= margin) + below((other) => other > margin)) / 2
  }
  return { auc: sum / own.length / others.length, recall10: found / own.length }
}

/** How far, in the root mean square, the figures of seeds of this size that were drawn by chance from the unlabelled are from 0.5 and 0.1. */
export function chanceOf(sample: Sample, lengths: Lengths, penalties: Penalties, foldCount: number, seed: number): Chance {
  const { rows, labels, ties } = sample
  const { offsets, features } = rows
  const members = labels.reduce((sum, label) => sum + label, 0)
  const visitors = orderOf(ties)
    .filter((n) => labels[n] === 0)
    .slice(0, VISITORS_MAX)
  const drawn = Math.min(members, Math.floor(visitors.length / 2))
  if (drawn < foldCount) return { auc: 0.5, recall10: 1 }
  const prior = drawn / visitors.length
  const bend = prior * (1 - prior)
  const everybody = sumsOf(rows, lengths, visitors)
  const plainStep = everybody.counts.map((count) => 1 / (penalties.penalty + bend * count))
  const nearStep = everybody.nearSquares.map(
    (square, i) => Math.sqrt(lengths.squares[i] as number) / (penalties.penaltyNormalized + bend * square),
  )
  const random = makeRandom(seed)
  const squares = { auc: 0, recall10: 0 }
  for (let draw = 0; draw < DRAWS; draw++) {
    // Fisher and Yates; the first are the seed, and each fold has every so many of both.
    for (let n = visitors.length - 1; n > 0; n--) {
      const other = Math.floor(random() * (n + 1))
      const kept = visitors[n] as number
      visitors[n] = visitors[other] as number
      visitors[other] = kept
    }
    const mean = { auc: 0, recall10: 0 }
    for (let fold = 0; fold < foldCount; fold++) {
      const trained = visitors.slice(0, drawn).filter((_, k) => k % foldCount !== fold)
      const sums = sumsOf(rows, lengths, trained)
      const share = trained.length / visitors.length
      const plain = plainStep.map((step, i) => step * ((sums.counts[i] as number) - share * (everybody.counts[i] as number)))
      const near = nearStep.map((step, i) => step * ((sums.near[i] as number) - share * (everybody.near[i] as number)))
      const marginsOf = (from: number, to: number): Float64Array => {
        const held = visitors.slice(from, to).filter((_, k) => k % foldCount === fold)
        return Float64Array.from(held, (n) => {
          let sum = 0
          let shortened = 0
          for (let i = offsets[n] as number; i < (offsets[n + 1] as number); i++) {
            sum += plain[features[i] as number] as number
            shortened += near[features[i] as number] as number
          }
          return sum + shortened * (lengths.inverse[n] as number)
        })
      }
      const { auc, recall10 } = rankedOf(marginsOf(0, drawn), marginsOf(drawn, visitors.length))
      mean.auc += auc / foldCount
      mean.recall10 += recall10 / foldCount
    }
    squares.auc += (mean.auc - 0.5) ** 2 / DRAWS
    squares.recall10 += (mean.recall10 - DEPTHS.p10) ** 2 / DRAWS
  }
  // A larger seed than can be drawn here strays less.
  const smaller = drawn / members
  return { auc: Math.sqrt(squares.auc * smaller), recall10: Math.sqrt(squares.recall10 * smaller) }
}
