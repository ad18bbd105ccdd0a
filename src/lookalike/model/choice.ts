// Which kind of model a seed gets. The regression, unless held-out rows say clearly otherwise: a difference that chance explains must not decide, or a seed of 30
// would get another kind of audience with every training.

import type { Candidate, Ground } from './candidates.ts'
import type { CandidateEvidence } from './evidence.ts'
import { errorOfMean, meanOf } from './intervals.ts'
import { softplus } from './linear.ts'
import type { Sample } from './sample.ts'
import { type Standings, standingsOf } from './standing.ts'

/** Standard errors by which another kind must be better. Trees are nested in the regression and their number was chosen, so little is at stake; a similarity is another ranking. */
const CLEAR_TREES = 1
const CLEAR_SIMILARITY = 2

export type Choice = {
  readonly chosen: Candidate
  readonly standings: Standings
  readonly candidates: readonly CandidateEvidence[]
}
type Candidates = { readonly similarity: Candidate; readonly regression: Candidate; readonly trees: Candidate }

const isClear = (gains: readonly number[], errors: number): boolean =>
  meanOf(gains) > errors * errorOfMean(gains) && meanOf(gains) > 0

export function chooseOf(
  sample: Sample,
  { labels, weights, folds }: Ground,
  { similarity, regression, trees }: Candidates,
): Choice {
  const members = [...labels.keys()].filter((n) => labels[n] === 1)
  const all = [similarity, regression, trees].map((candidate) => ({
    candidate,
    standings: standingsOf(sample, candidate.margins, folds),
  }))
  const [near, linear, boosted] = all as [(typeof all)[number], (typeof all)[number], (typeof all)[number]]
  const lossOf = (z: number, n: number) => (weights[n] as number) * (softplus(z) - (labels[n] as number) * z)
  const losses = Array.from(labels, (_, n) => lossOf(regression.margins[n] as number, n) - lossOf(trees.margins[n] as number, n))
  let best = trees.trees.some((own) => own.length > 0) && isClear(losses, CLEAR_TREES) ? boosted : linear
  const rises = members.map((n) => (best.standings.halves[n] as number) - (near.standings.halves[n] as number))
  if (isClear(rises, CLEAR_SIMILARITY)) best = near
  return {
    chosen: best.candidate,
    standings: best.standings,
    candidates: all.map(({ candidate: { kind }, standings: { places, halves } }) => ({
      kind,
      auc: 1 - meanOf(members.map((n) => halves[n] as number)),
      recall5: members.filter((n) => (places[n] as number) <= 0.05).length / members.length,
    })),
  }
}
