// What training leaves: an additive score. A regression's weights, or a similarity's, and boosted trees over few columns; and how a margin reads as a probability.

import { sigmoid } from './linear.ts'
import type { Rows } from './rows.ts'

/** At most 64 columns are asked by all trees of a model together: one number holds a visitor's answers. */
export const ASKED_MAX = 64

export type ObliviousTree = {
  /** 1 to 6. */
  readonly columns: readonly number[]
  /** 2 ** columns.length; bit i of the index: has columns[i]. */
  readonly values: readonly number[]
  /** How many of everybody end at each value. */
  readonly covers: readonly number[]
}

export type ModelKind = 'similarity' | 'regression' | 'trees'

/** margin(x) = bias + sum of weights over x's columns + (sum of normalized.weights over them) / norm(x) + sum of the trees' values;
 *  score = 1 / (1 + exp(-(slope * margin + offset))). */
export type Model = {
  readonly kind: ModelKind
  readonly bias: number
  /** By column, as are those below. */
  readonly weights: Float64Array
  /** norm(x) is the root of the sum of `squares` (squared idf) over x's columns, 1 where that is 0. */
  readonly normalized: { readonly weights: Float64Array; readonly squares: Float64Array }
  readonly trees: readonly ObliviousTree[]
  /** Above 0: a higher margin is a higher score. */
  readonly slope: number
  readonly offset: number
}

/** By column, 1 for those of one visitor: the index of his leaf. */
export function leafOf({ columns }: ObliviousTree, marks: Uint8Array): number {
  let index = 0
  for (let i = 0; i < columns.length; i++) index |= (marks[columns[i] as number] as number) << i
  return index
}

export function marginsOf({ bias, weights, normalized, trees }: Model, { size, width, offsets, features }: Rows): Float64Array {
  const margins = new Float64Array(size)
  const marks = new Uint8Array(width)
  for (let n = 0; n < size; n++) {
    const from = offsets[n] as number
    const to = offsets[n + 1] as number
    let sum = bias
    let near = 0
    let norm = 0
    for (let i = from; i < to; i++) {
      const column = features[i] as number
      sum += weights[column] as number
      near += normalized.weights[column] as number
      norm += normalized.squares[column] as number
      marks[column] = 1
    }
    sum += norm > 0 ? near / Math.sqrt(norm) : near
    for (const tree of trees) sum += tree.values[leafOf(tree, marks)] as number
    margins[n] = sum
    for (let i = from; i < to; i++) marks[features[i] as number] = 0
  }
  return margins
}

/** The chance to be of the seed where seed and others are equally many. */
export const scoreOf = ({ slope, offset }: Model, margin: number): number => sigmoid(slope * margin + offset)
