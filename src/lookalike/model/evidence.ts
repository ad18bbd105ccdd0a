// What is known of a model before anybody is scored by it: how well it ranks held-out members of the seed, with intervals, beside rankings that need no model.
// Everything here is read from margins of rows that their model has not seen.

import { errorOfMean, type Interval, meanOf, widened, Z } from './intervals.ts'
import type { ModelKind } from './model.ts'
import type { Sample } from './sample.ts'
import { type Standings, standingsOf } from './standing.ts'

/** Where of a ranking recall and lift are read. */
export const DEPTHS = { p1: 0.01, p5: 0.05, p10: 0.1 } as const
type Depth = keyof typeof DEPTHS
type ByDepth<T> = Readonly<Record<Depth, T>>
const byDepth = <T>(at: (share: number) => T): ByDepth<T> => ({ p1: at(DEPTHS.p1), p5: at(DEPTHS.p5), p10: at(DEPTHS.p10) })

const REACHES = [0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1]
const QUINTILES = 5
const DECILES = 10

export type Baseline = { readonly auc: number; readonly recall: ByDepth<number>; readonly lift: ByDepth<number> }
export type CandidateEvidence = { readonly kind: ModelKind; readonly auc: number; readonly recall5: number }

/** Recall at 5 %: the share of held-out members of the seed that rank among the best 5 % of the pool. Lift: recall / share. */
export type Evidence = Baseline & {
  /** Members of the seed in the sample, and visitors of the pool that its other rows stand for. */
  readonly seed: number
  readonly pool: number
  /** 0: too few on a side to hold any out. */
  readonly folds: number
  /** Standard error of `auc`. */
  readonly aucError: number
  /** How far from 0.5 the AUC of a seed of this size strays that was drawn by chance, or of this one if its own error is larger. */
  readonly chanceError: number
  /** The same of the recall at 10 % from 0.1. */
  readonly chanceErrorRecall10: number
  /** From the least active fifth of the pool to the most active; null: no member there, or nobody else. */
  readonly aucWithinActivity: readonly (number | null)[]
  /** Of what this model would measure on another such sample. It does not cover that the seed may be no random part of those who are looked for. */
  readonly interval: {
    readonly confidence: 0.95
    readonly auc: Interval
    readonly recall: ByDepth<Interval>
    readonly lift: ByDepth<Interval>
  }
  readonly baselines: { readonly random: Baseline; readonly most_active: Baseline }
  readonly reach: readonly { readonly share: number; readonly recall: number; readonly lift: number }[]
  /** By tenths of the score, seed and others weighing the same: the mean score, and the share of the seed seen there. */
  readonly calibration: readonly { readonly score: number; readonly observed: number; readonly count: number }[]
  readonly candidates: readonly CandidateEvidence[]
  readonly chosen: ModelKind
}

export const RANDOM: Baseline = { auc: 0.5, recall: byDepth((share) => share), lift: byDepth(() => 1) }

const membersOf = ({ labels }: Sample): number[] => [...labels.keys()].filter((n) => labels[n] === 1)
const shareOf = <T>(items: readonly T[], is: (item: T) => boolean): number =>
  items.length === 0 ? 0 : items.filter(is).length / items.length

function baselineOf(sample: Sample, { places, halves }: Standings): Baseline {
  const members = membersOf(sample)
  const recall = byDepth((share) => shareOf(members, (n) => (places[n] as number) <= share))
  return {
    auc: 1 - meanOf(members.map((n) => halves[n] as number)),
    recall,
    lift: byDepth((share) => shareOf(members, (n) => (places[n] as number) <= share) / share),
  }
}

/** DeLong, DeLong and Clarke-Pearson, Biometrics 1988. */
function sampledErrorOf(sample: Sample, { halves }: Standings): number {
  const sorted = Float64Array.from(membersOf(sample), (n) => halves[n] as number).sort()
  const below: number[] = []
  for (let n = 0; n < halves.length; n++) {
    if (sample.labels[n] === 1) continue
    let low = 0
    let high = sorted.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((sorted[middle] as number) < (halves[n] as number)) low = middle + 1
      else high = middle
    }
    below.push(low / sorted.length)
  }
  return Math.hypot(errorOfMean(Array.from(sorted)), errorOfMean(below))
}

function aucErrorOf(sample: Sample, standings: Standings, folds: Uint8Array): number {
  const ofFolds = byFold(membersOf(sample), folds, (own) => meanOf(own.map((n) => standings.halves[n] as number)))
  return Math.max(sampledErrorOf(sample, standings), errorOfMean(ofFolds))
}

function byFold(members: readonly number[], folds: Uint8Array, measure: (own: readonly number[]) => number): number[] {
  const own: number[][] = []
  for (const n of members) {
    own[folds[n] as number] ??= []
    own[folds[n] as number]?.push(n)
  }
  return own.filter(Boolean).map(measure)
}

function recallInterval(sample: Sample, { places }: Standings, folds: Uint8Array, share: number): Interval {
  const members = membersOf(sample)
  const within = (own: readonly number[], depth: number) => shareOf(own, (n) => (places[n] as number) <= depth)
  const recall = within(members, share)
  // Where the best 5 % end is itself read from the sampled unlabelled: their binomial error, times how many members stand there.
  const density = (within(members, share * 1.5) - within(members, share * 0.5)) / share
  const ends = density * Math.sqrt((share * (1 - share)) / Math.max(places.length - members.length, 1))
  const drawn = Math.sqrt((recall * (1 - recall)) / members.length)
  const error = Math.max(Math.hypot(drawn, ends), errorOfMean(byFold(members, folds, (own) => within(own, share))))
  return widened(recall, members.length, error)
}

function withinActivity(sample: Sample, { halves }: Standings, active: Standings): (number | null)[] {
  const fifths = Uint8Array.from(active.places, (place) => QUINTILES - 1 - Math.min(QUINTILES - 1, Math.floor(place * QUINTILES)))
  const whole = standingsOf(
    sample,
    Float64Array.from(halves, (half) => -half),
    fifths,
  )
  return Array.from({ length: QUINTILES }, (_, fifth) => {
    const members = membersOf(sample).filter((n) => fifths[n] === fifth)
    const others = fifths.some((own, n) => own === fifth && sample.labels[n] === 0)
    return members.length > 0 && others ? 1 - meanOf(members.map((n) => whole.halves[n] as number)) : null
  })
}

function calibrationOf({ labels }: Sample, weights: Float32Array, scores: Float64Array): Evidence['calibration'] {
  const totals = [0, 0]
  for (let n = 0; n < labels.length; n++) (totals[labels[n] as number] as number) += weights[n] as number
  const tenths = Array.from({ length: DECILES }, () => ({ weight: 0, score: 0, seed: 0, count: 0 }))
  let before = 0
  for (const n of Uint32Array.from(scores, (_, n) => n).sort((a, b) => (scores[a] as number) - (scores[b] as number) || a - b)) {
    const weight = (weights[n] as number) / (2 * (totals[labels[n] as number] as number))
    const tenth = tenths[Math.min(DECILES - 1, Math.floor((before + weight / 2) * DECILES))]
    before += weight
    if (!tenth) continue
    tenth.weight += weight
    tenth.score += weight * (scores[n] as number)
    tenth.seed += labels[n] === 1 ? weight : 0
    tenth.count++
  }
  return tenths
    .filter(({ count }) => count > 0)
    .map(({ weight, score, seed, count }) => ({ score: score / weight, observed: seed / weight, count }))
}

const poolOf = ({ labels, counts }: Sample): number => counts.reduce((sum, count, n) => (labels[n] === 0 ? sum + count : sum), 0)

export type Measured = {
  readonly folds: Uint8Array
  readonly standings: Standings
  readonly scores: Float64Array
  readonly weights: Float32Array
  readonly candidates: readonly CandidateEvidence[]
  readonly chosen: ModelKind
  readonly chance: Readonly<Record<'auc' | 'recall10', number>>
}

export function evidenceOf(
  sample: Sample,
  { folds, standings, scores, weights, candidates, chosen, chance }: Measured,
): Evidence {
  const active = standingsOf(sample, Float64Array.from(sample.activity), new Uint8Array(folds.length))
  const own = baselineOf(sample, standings)
  const aucError = aucErrorOf(sample, standings, folds)
  const recall = byDepth((share) => recallInterval(sample, standings, folds, share))
  const liftOf = (depth: Depth): Interval => [recall[depth][0] / DEPTHS[depth], recall[depth][1] / DEPTHS[depth]]
  const members = membersOf(sample)
  return {
    ...own,
    seed: members.length,
    pool: poolOf(sample),
    folds: folds.reduce((most, fold) => Math.max(most, fold + 1), 0),
    aucError,
    chanceError: Math.max(chance.auc, sampledErrorOf(sample, standings)),
    chanceErrorRecall10: chance.recall10,
    aucWithinActivity: withinActivity(sample, standings, active),
    interval: {
      confidence: 0.95,
      auc: [Math.max(0, own.auc - Z * aucError), Math.min(1, own.auc + Z * aucError)],
      recall,
      lift: { p1: liftOf('p1'), p5: liftOf('p5'), p10: liftOf('p10') },
    },
    baselines: { random: RANDOM, most_active: baselineOf(sample, active) },
    reach: REACHES.map((share) => {
      const found = shareOf(members, (n) => (standings.places[n] as number) <= share)
      return { share, recall: found, lift: found / share }
    }),
    calibration: calibrationOf(sample, weights, scores),
    candidates,
    chosen,
  }
}

/** Where nothing can be held out nothing is known: like a ranking by chance, and anything is possible. */
export function noEvidence(sample: Sample): Evidence {
  const any: Interval = [0, 1]
  return {
    ...RANDOM,
    seed: membersOf(sample).length,
    pool: poolOf(sample),
    folds: 0,
    aucError: 0.5,
    chanceError: 0.5,
    chanceErrorRecall10: 1,
    aucWithinActivity: Array.from({ length: QUINTILES }, () => null),
    interval: { confidence: 0.95, auc: any, recall: byDepth(() => any), lift: byDepth((share): Interval => [0, 1 / share]) },
    baselines: { random: RANDOM, most_active: RANDOM },
    reach: REACHES.map((share) => ({ share, recall: share, lift: 1 })),
    calibration: [],
    candidates: [],
    chosen: 'similarity',
  }
}

/** How many times as far from 0.5 as chance strays the AUC must lie: none of 200 seeds drawn by chance from Deskdrop was taken. */
const REFUSED_BELOW_ERRORS = 3
/** Less is asked of the AUC where the recall lies so far above chance: 30 members who are alike may be few among many who do much. */
const ENOUGH_WITH_RECALL = 2

/** Why no audience should be made of this, or undefined. */
export function refusalOf({
  seed,
  pool,
  folds,
  auc,
  chanceError,
  chanceErrorRecall10,
  recall,
  lift,
  interval,
}: Evidence): string | undefined {
  const visitors = (count: number) => `${Math.round(count)} ${Math.round(count) === 1 ? 'visitor' : 'visitors'}`
  if (folds === 0)
    return `nothing can be measured: ${visitors(seed)} of the seed and ${visitors(pool)} outside it are known, and some of both must be held out`
  const errors = (auc - 0.5) / chanceError
  const isFound = recall.p10 - REFUSED_BELOW_ERRORS * chanceErrorRecall10 > DEPTHS.p10
  const isBetter = errors > REFUSED_BELOW_ERRORS || (errors > ENOUGH_WITH_RECALL && isFound)
  if (isBetter && interval.lift.p10[0] > 1) return undefined
  const range = ([low, high]: Interval) => `${low.toFixed(2)} to ${high.toFixed(2)}`
  const measured = `AUC ${auc.toFixed(3)} (${range(interval.auc)}; 0.5 is chance), lift at 10 % ${lift.p10.toFixed(2)} (${range(interval.lift.p10)}; 1 is chance)`
  return `the seed's ${visitors(seed)} cannot be told from everybody else by what they did: ${measured} on members held out`
}
