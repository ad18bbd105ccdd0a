// Three kinds of model of one seed, each trained once a fold on the other folds, so that every row has a margin of a model that has not seen it.

import { type Lengths, type Linear, linearMargins, softplus } from './linear.ts'
import { fitLogistic } from './logistic.ts'
import type { ModelKind, ObliviousTree } from './model.ts'
import type { Rows } from './rows.ts'
import { fitSimilarity } from './similarity.ts'
import { addTrees, fitTrees, groupsOf } from './trees.ts'

/** What every candidate is trained on. */
export type Ground = {
  readonly rows: Rows
  readonly lengths: Lengths
  readonly labels: Uint8Array
  readonly weights: Float32Array
  readonly counts: Float32Array
  readonly folds: Uint8Array
  /** By fold: the weights of the rows outside it, 0 for those inside. */
  readonly trained: readonly Float32Array[]
  readonly seed: number
}

export type Candidate = {
  readonly kind: ModelKind
  /** Of each row, by the model that has not seen it. */
  readonly margins: Float64Array
  readonly linears: readonly Linear[]
  readonly trees: readonly (readonly ObliviousTree[])[]
}

/** Of each row the margin of the fold that holds it out. */
function heldOut({ folds }: Ground, byFold: readonly Float64Array[]): Float64Array {
  return Float64Array.from(folds, (fold, n) => (byFold[fold] as Float64Array)[n] as number)
}

export function similarityOf(ground: Ground): Candidate {
  const linears = ground.trained.map((counts) => fitSimilarity(ground.rows, ground.lengths, ground.labels, counts))
  const margins = linears.map((linear) => linearMargins(ground.rows, ground.lengths, linear))
  return { kind: 'similarity', margins: heldOut(ground, margins), linears, trees: [] }
}

/** The held-out log loss of some folds. */
function lossOf({ labels, weights, folds }: Ground, byFold: readonly Float64Array[]): number {
  let sum = 0
  for (let n = 0; n < labels.length; n++) {
    const z = byFold[folds[n] as number]?.[n]
    if (z !== undefined) sum += (weights[n] as number) * (softplus(z) - (labels[n] as number) * z)
  }
  return sum
}

/** From strong to weak: each is the start of the next. */
const PENALTIES = [300, 100, 30, 10, 3, 1]
/** The penalty of rows of length 1 as a share of the other: their values are smaller. */
const SHARE_NORMALIZED = 0.1

export type Penalties = { readonly penalty: number; readonly penaltyNormalized: number }
type Fitted = {
  readonly penalties: Penalties
  readonly linears: readonly Linear[]
  readonly margins: readonly Float64Array[]
  readonly loss: number
}

/** Both penalties are those with the least held-out loss, sought on the first `searched` folds. */
export function regressionOf(ground: Ground, searched: number): Candidate & { readonly penalties: Penalties } {
  const { rows, lengths, labels, trained } = ground
  const fitted = (penalties: Penalties, folds: readonly Float32Array[], starts: readonly Linear[] | undefined): Fitted => {
    const linears = folds.map((counts, k) => fitLogistic(rows, lengths, labels, { ...penalties, counts, start: starts?.[k] }))
    const margins = linears.map((linear) => linearMargins(rows, lengths, linear))
    return { penalties, linears, margins, loss: lossOf(ground, margins) }
  }
  const some = trained.slice(0, searched)
  let best: Fitted | undefined
  for (const penalty of PENALTIES) {
    const next = fitted({ penalty, penaltyNormalized: penalty * SHARE_NORMALIZED }, some, best?.linears)
    if (best && next.loss >= best.loss) break
    best = next
  }
  let chosen = best as Fitted
  for (const factor of [3, 1 / 3]) {
    const { penalty, penaltyNormalized } = (best as Fitted).penalties
    const next = fitted({ penalty: penalty * factor, penaltyNormalized }, some, best?.linears)
    if (next.loss < chosen.loss) chosen = next
  }
  const rest = fitted(chosen.penalties, trained.slice(searched), undefined)
  const linears = [...chosen.linears, ...rest.linears]
  return {
    kind: 'regression',
    margins: heldOut(ground, [...chosen.margins, ...rest.margins]),
    linears,
    trees: [],
    penalties: chosen.penalties,
  }
}

export type Boosting = {
  readonly roundsMax: number
  readonly depth: number
  readonly rate: number
  readonly share: number
  readonly penalty: number
  /** Ends after so many rounds that did not make a fold's held-out loss less. */
  readonly patience: number
}

/** Trees on what the regression leaves; as many rounds as make the held-out loss least. */
export function treesOf(
  ground: Ground,
  { linears }: Candidate,
  asked: readonly number[],
  { roundsMax, patience, ...boosting }: Boosting,
): Candidate {
  const { rows, lengths, labels, weights, counts, folds, trained } = ground
  const groups = groupsOf(rows, asked)
  const losses = new Float64Array(roundsMax + 1)
  const held = trained.map((_, k) => Uint32Array.from([...folds.keys()].filter((n) => folds[n] === k)))
  let rounds = roundsMax
  const trees = trained.map((own, k) => {
    const margins = linearMargins(rows, lengths, linears[k] as Linear)
    let least = Number.POSITIVE_INFINITY
    let leastAt = 0
    const record = (round: number): boolean => {
      let loss = 0
      for (const n of held[k] as Uint32Array) {
        const z = margins[n] as number
        loss += (weights[n] as number) * (softplus(z) - (labels[n] as number) * z)
      }
      ;(losses[round] as number) += loss
      if (loss < least) {
        least = loss
        leastAt = round
      }
      return round - leastAt < patience
    }
    record(0)
    const seed = ground.seed + k
    const found = fitTrees(groups, labels, margins, { ...boosting, rounds, seed, counts: own, covers: counts, onRound: record })
    rounds = Math.min(rounds, found.length)
    return found
  })
  const comparable = losses.slice(0, rounds + 1)
  const best = comparable.indexOf(comparable.reduce((least, loss) => Math.min(least, loss)))
  const kept = trees.map((found) => found.slice(0, best))
  const margins = kept.map((found, k) => {
    const z = linearMargins(rows, lengths, linears[k] as Linear)
    addTrees(groups, found, z)
    return z
  })
  return { kind: 'trees', margins: heldOut(ground, margins), linears, trees: kept }
}
