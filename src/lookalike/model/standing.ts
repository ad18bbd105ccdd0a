// Where rows stand among the unlabelled: what recall, lift and AUC are read from. A row is compared with rows of its own fold only, since the models of two folds
// need not agree on what a margin means.

import { orderOf, type Sample } from './sample.ts'

export type Standings = {
  /** The share of the unlabelled of its fold that ranks before each row, from 0 to 1; ties in the order of `ties`. */
  readonly places: Float64Array
  /** The same with ties counted half. */
  readonly halves: Float64Array
}

export function standingsOf({ labels, counts, ties }: Sample, margins: Float64Array, folds: Uint8Array): Standings {
  const rank = new Uint32Array(ties.length)
  for (const [place, n] of orderOf(ties).entries()) rank[n] = place
  const order = Uint32Array.from(ties, (_, n) => n).sort(
    (a, b) => (margins[b] as number) - (margins[a] as number) || (rank[a] as number) - (rank[b] as number),
  )
  const places = new Float64Array(ties.length)
  const halves = new Float64Array(ties.length)
  const foldCount = folds.reduce((most, fold) => Math.max(most, fold + 1), 1)
  const totals = new Float64Array(foldCount)
  const sizes = new Float64Array(foldCount)
  for (let n = 0; n < labels.length; n++) {
    if (labels[n] === 1) continue
    ;(totals[folds[n] as number] as number) += counts[n] as number
    ;(sizes[folds[n] as number] as number)++
  }
  const ahead = new Float64Array(foldCount)
  for (let i = 0; i < order.length; ) {
    let j = i
    const before = ahead.slice()
    for (; j < order.length && margins[order[j] as number] === margins[order[i] as number]; j++) {
      const n = order[j] as number
      const fold = folds[n] as number
      // Half an average row more on both sides: of m unlabelled the best place is 1 / (2m + 2), not 0, so that a share of few is not flattered.
      const one = (totals[fold] as number) / Math.max(sizes[fold] as number, 1) || 1
      places[n] =
        ((ahead[fold] as number) + (labels[n] === 1 ? one : (counts[n] as number)) / 2) /
        ((totals[fold] as number) + (labels[n] === 1 ? one : 0))
      if (labels[n] === 0) (ahead[fold] as number) += counts[n] as number
    }
    for (; i < j; i++) {
      const n = order[i] as number
      const fold = folds[n] as number
      halves[n] =
        (totals[fold] as number) > 0 ? ((before[fold] as number) + (ahead[fold] as number)) / 2 / (totals[fold] as number) : 0.5
    }
  }
  return { places, halves }
}
