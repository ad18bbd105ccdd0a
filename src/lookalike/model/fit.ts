// Trains a model of a seed and measures it on what it has not seen. Deterministic: the same sample and seed give the same model.
//
// Unlabelled visitors are not negatives: some of them are like the seed, and those are who is looked for. Ranking by P(seed | x) is right all the same where the seed is
// a random part of all who have the trait: P(seed | x) = c * P(trait | x) with one c for everybody, so both rank alike (Elkan and Noto, KDD 2008). Two things would
// still harm: to measure on rows that a model has seen as negative, so whole folds are held out, of seed and unlabelled alike; and to score somebody only by models
// that learnt him by heart as negative, so the model is the mean of the folds' models.

import { askedOf } from './asked.ts'
import { calibrate } from './calibrate.ts'
import { type Boosting, type Candidate, type Ground, regressionOf, similarityOf, treesOf } from './candidates.ts'
import { chanceOf } from './chance.ts'
import { chooseOf } from './choice.ts'
import { type Evidence, evidenceOf, noEvidence } from './evidence.ts'
import { type Linear, lengthsOf } from './linear.ts'
import { type Model, scoreOf } from './model.ts'
import { foldsOf, type Sample, weightsOf } from './sample.ts'

export type Fitted = { readonly model: Model; readonly evidence: Evidence }
export type FitOptions = {
  readonly seed: number
  /** How much of the work is done, from 0 to 1. */
  readonly onShare?: (share: number) => void
}

const FOLDS = 5
/** Samples with more columns in all rows are held out in fewer folds, and their penalty is sought on one: of 70,000 visitors any fold says the same. */
const LARGE_CELLS = 1_000_000
const FOLDS_LARGE = 3
/** With few members a fold's loss wavers for longer. */
const PATIENCE_LARGE = 5
/** Trees of all folds together: each is asked of everybody who is scored. Twice as many at half the rate had the same AUC and recall to 0.0005. */
const TREES_MAX = 125
const BOOSTING: Omit<Boosting, 'roundsMax' | 'patience'> = { depth: 6, rate: 0.2, share: 0.7, penalty: 5 }

const meanByColumn = (arrays: readonly Float64Array[], width: number): Float64Array => {
  const mean = new Float64Array(width)
  for (const array of arrays) for (let i = 0; i < width; i++) (mean[i] as number) += (array[i] as number) / arrays.length
  return mean
}

/** The mean of the folds' models. */
function modelOf({ rows, lengths }: Ground, { kind, linears, trees }: Candidate): Omit<Model, 'slope' | 'offset'> {
  const mean = (pick: (linear: Linear) => Float64Array) => meanByColumn(linears.map(pick), rows.width)
  return {
    kind,
    bias: linears.reduce((sum, { bias }) => sum + bias, 0) / linears.length,
    weights: mean(({ plain }) => plain),
    normalized: { weights: mean(({ normalized }) => normalized), squares: lengths.squares },
    trees: trees.flat().map((tree) => ({ ...tree, values: tree.values.map((value) => value / linears.length) })),
  }
}

function nothing({ rows: { width } }: Sample): Model {
  const zeros = new Float64Array(width)
  return {
    kind: 'similarity',
    bias: 0,
    weights: zeros,
    normalized: { weights: zeros, squares: zeros },
    trees: [],
    slope: 1,
    offset: 0,
  }
}

export function fitModel(sample: Sample, { seed, onShare }: FitOptions): Fitted {
  const { rows, labels, counts } = sample
  const members = labels.reduce((sum, label) => sum + label, 0)
  const isLarge = rows.features.length > LARGE_CELLS
  const foldCount = Math.min(isLarge ? FOLDS_LARGE : FOLDS, members, rows.size - members)
  if (foldCount < 2) return { model: nothing(sample), evidence: noEvidence(sample) }
  const folds = foldsOf(sample, foldCount)
  const weights = weightsOf(sample)
  const trained = Array.from({ length: foldCount }, (_, k) => weights.map((weight, n) => (folds[n] === k ? 0 : weight)))
  const ground: Ground = { rows, lengths: lengthsOf(rows), labels, weights, counts, folds, trained, seed }
  const similarity = similarityOf(ground)
  onShare?.(0.05)
  const regression = regressionOf(ground, isLarge ? 1 : foldCount)
  onShare?.(0.6)
  const roundsMax = Math.floor(TREES_MAX / foldCount)
  const patience = isLarge ? PATIENCE_LARGE : roundsMax
  const trees = treesOf(ground, regression, askedOf(rows), { ...BOOSTING, roundsMax, patience })
  onShare?.(0.95)
  const { chosen, standings, candidates } = chooseOf(sample, ground, { similarity, regression, trees })
  const model = { ...modelOf(ground, chosen), ...calibrate(chosen.margins, labels, weights) }
  const scores = chosen.margins.map((margin) => scoreOf(model, margin))
  const chance = chanceOf(sample, ground.lengths, regression.penalties, foldCount, seed)
  const evidence = evidenceOf(sample, { folds, standings, scores, weights, candidates, chosen: chosen.kind, chance })
  onShare?.(1)
  return { model, evidence }
}
