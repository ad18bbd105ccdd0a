// Generated visitors with a trait that shows in what they do as strongly as a test asks: what a model should find is known.

import { makeRandom } from '../../../src/lookalike/model/random.ts'
import { rowsOf } from '../../../src/lookalike/model/rows.ts'
import type { Sample } from '../../../src/lookalike/model/sample.ts'

export type Planted = {
  readonly size: number
  readonly width: number
  /** Share of all who have the trait; half of them are the seed. */
  readonly share: number
  /** By how much the trait multiplies the odds of a tenth of the columns. 1: it shows in nothing. */
  readonly strength: number
  readonly seed: number
}

export function populationOf({ size, width, share, strength, seed }: Planted): Sample {
  const random = makeRandom(seed)
  const labels = new Uint8Array(size)
  const lists: number[][] = []
  for (let n = 0; n < size; n++) {
    const trait = random() < share
    labels[n] = trait && random() < 0.5 ? 1 : 0
    const list: number[] = []
    for (let column = 0; column < width; column++) {
      const odds = (0.5 / (1 + column)) * (trait && column % 10 === 3 ? strength : 1)
      if (random() < odds / (1 + odds)) list.push(column)
    }
    lists.push(list)
  }
  return sampleOf(lists, width, labels, random)
}

/** Each row stands for itself. */
export function sampleOf(
  lists: readonly (readonly number[])[],
  width: number,
  labels: Uint8Array,
  random = makeRandom(9),
): Sample {
  return {
    rows: rowsOf(lists, width),
    labels,
    counts: new Float32Array(lists.length).fill(1),
    activity: Uint32Array.from(lists, (list) => list.length),
    ties: Uint32Array.from(lists, () => Math.floor(random() * 2 ** 32)),
  }
}

/** The same visitors; who is of the seed says nothing about them. */
export function shuffled(sample: Sample, seed: number): Sample {
  const random = makeRandom(seed)
  const labels = sample.labels.slice()
  for (let n = labels.length - 1; n > 0; n--) {
    const other = Math.floor(random() * (n + 1))
    const kept = labels[n] as number
    labels[n] = labels[other] as number
    labels[other] = kept
  }
  return { ...sample, labels }
}

/** How well scores rank the seed among everybody else: AUC, and the share of it in the best `share` of the others; of ties, their part. */
export function truthOf(sample: Sample, scores: Float64Array, share: number): { readonly auc: number; readonly recall: number } {
  const others = [...scores.keys()].filter((n) => sample.labels[n] === 0)
  const seed = [...scores.keys()].filter((n) => sample.labels[n] === 1)
  const sorted = Float64Array.from(others, (n) => scores[n] as number).sort()
  const placeOf = (score: number): [above: number, equal: number] => {
    const first = (is: (value: number) => boolean) => {
      let low = 0
      let high = sorted.length
      while (low < high) {
        const middle = (low + high) >> 1
        if (is(sorted[middle] as number)) high = middle
        else low = middle + 1
      }
      return low
    }
    const from = first((value) => value >= score)
    const to = first((value) => value > score)
    return [(sorted.length - to) / sorted.length, (to - from) / sorted.length]
  }
  let auc = 0
  let recall = 0
  for (const n of seed) {
    const [above, equal] = placeOf(scores[n] as number)
    auc += 1 - above - equal / 2
    recall += equal > 0 ? Math.min(1, Math.max(0, (share - above) / equal)) : above <= share ? 1 : 0
  }
  return { auc: auc / seed.length, recall: recall / seed.length }
}

/** Of the seed are most of those with exactly one of two columns; neither says anything alone. */
export function eitherOr(seed: number) {
  const random = makeRandom(seed)
  const columns = [...Array(30).keys()]
  const lists = Array.from({ length: 3000 }, () => columns.filter(() => random() < 0.5))
  const labels = Uint8Array.from(lists, (list) => (random() < (list.includes(0) !== list.includes(1) ? 0.25 : 0.02) ? 1 : 0))
  return sampleOf(lists, columns.length, labels, random)
}
