// How far from 0.5 the held-out AUC of a seed without signal strays. Further than the errors of its own figures say: visitors drawn by chance may happen to do more than
// others, or to come from one place, and then every fold agrees on it. (Of 200 seeds drawn by chance from Deskdrop the AUC of one in ten lay two such errors above 0.5.)
// So seeds are drawn by chance, and ranked by the regression's first step: where it begins to go from a gradient and a diagonal, at the price of an addition a cell.

import type { Penalties } from './candidates.ts'
import type { Lengths } from './linear.ts'
import { makeRandom } from './random.ts'
import { foldsOf, orderOf, type Sample } from './sample.ts'
import { standingsOf } from './standing.ts'

const DRAWS = 60
/** Visitors among whom seeds are drawn. */
const VISITORS_MAX = 4000

/** The standard deviation of the AUC of seeds of this size that were drawn by chance from the unlabelled. */
export function chanceErrorOf(
  sample: Sample,
  lengths: Lengths,
  { penalty, penaltyNormalized }: Penalties,
  foldCount: number,
  seed: number,
): number {
  const { rows, labels } = sample
  const visitors = [...orderOf(sample.ties)].filter((n) => labels[n] === 0).slice(0, VISITORS_MAX)
  const members = labels.length - labels.filter((label) => label === 0).length
  const drawn = Math.min(members, Math.floor(visitors.length / 2))
  if (drawn < foldCount) return 0.5
  const prior = drawn / visitors.length
  const random = makeRandom(seed)
  const idf = lengths.squares.map(Math.sqrt)

  /** Over the columns of some visitors: how often each is had, as it is and in rows of length 1. */
  function sumsOf(
    some: readonly number[],
    sums = [new Float64Array(rows.width), new Float64Array(rows.width), new Float64Array(rows.width)] as const,
  ) {
    for (const n of some) {
      const short = lengths.inverse[n] as number
      for (let i = rows.offsets[n] as number; i < (rows.offsets[n + 1] as number); i++) {
        const column = rows.features[i] as number
        const near = short * (idf[column] as number)
        ;(sums[0][column] as number)++
        ;(sums[1][column] as number) += near
        ;(sums[2][column] as number) += near * near
      }
    }
    return sums
  }
  const everybody = sumsOf(visitors)
  const bend = prior * (1 - prior)
  const first = everybody[0].map((count) => 1 / (penalty + bend * count))
  const second = everybody[2].map((squares, i) => (idf[i] as number) / (penaltyNormalized + bend * squares))
  const aucs: number[] = []
  for (let draw = 0; draw < DRAWS; draw++) {
    const shuffled = Uint32Array.from(visitors, () => Math.floor(random() * 2 ** 32))
    const chosen = new Set(orderOf(shuffled).slice(0, drawn))
    const own: Sample = {
      ...sample,
      labels: Uint8Array.from(visitors, (_, k) => (chosen.has(k) ? 1 : 0)),
      counts: new Float32Array(visitors.length).fill(1),
      ties: Uint32Array.from(visitors, () => Math.floor(random() * 2 ** 32)),
    }
    const folds = foldsOf(own, foldCount)
    const margins = new Float64Array(visitors.length)
    for (let fold = 0; fold < foldCount; fold++) {
      const trained = visitors.filter((_, k) => own.labels[k] === 1 && folds[k] !== fold)
      const [plain, near] = sumsOf(trained)
      const share = trained.length / visitors.length
      for (let i = 0; i < rows.width; i++) {
        plain[i] = ((plain[i] as number) - share * (everybody[0][i] as number)) * (first[i] as number)
        near[i] = ((near[i] as number) - share * (everybody[1][i] as number)) * (second[i] as number)
      }
      for (const [k, n] of visitors.entries()) {
        if (folds[k] !== fold) continue
        let sum = 0
        let shortened = 0
        for (let i = rows.offsets[n] as number; i < (rows.offsets[n + 1] as number); i++) {
          sum += plain[rows.features[i] as number] as number
          shortened += near[rows.features[i] as number] as number
        }
        margins[k] = sum + shortened * (lengths.inverse[n] as number)
      }
    }
    const { halves } = standingsOf(own, margins, folds)
    let sum = 0
    for (const k of chosen) sum += 1 - (halves[k] as number)
    aucs.push(sum / drawn)
  }
  const spread = Math.sqrt(aucs.reduce((sum, auc) => sum + (auc - 0.5) ** 2, 0) / DRAWS)
  return spread * Math.sqrt(drawn / members)
}
