// What a model is trained on: some of the seed and some of everybody else, drawn apart from each other, with how many of the pool each row stands for.

import type { Rows } from './rows.ts'

export type Sample = {
  readonly rows: Rows
  /** 1: of the seed; 0: unlabelled. */
  readonly labels: Uint8Array
  /** How many of the pool each row stands for: seeds and unlabelled are sampled separately. */
  readonly counts: Float32Array
  /** Events of each visitor: the baseline "most active", and the quintiles. */
  readonly activity: Uint32Array
  /** Per row, a number that knows nothing of labels: the order of ties, and folds. */
  readonly ties: Uint32Array
}

/** What each row weighs in training: in each class 1 on average, so that a penalty means the same however thinly everybody was sampled. */
export function weightsOf({ labels, counts }: Sample): Float32Array {
  const sums = [0, 0]
  const sizes = [0, 0]
  for (let n = 0; n < labels.length; n++) {
    const label = labels[n] as number
    ;(sums[label] as number) += counts[n] as number
    ;(sizes[label] as number)++
  }
  return counts.map((count, n) => (count * (sizes[labels[n] as number] as number)) / (sums[labels[n] as number] || 1))
}

/** Indexes in the order of `ties`: an order that knows nothing of labels. */
export function orderOf(ties: Uint32Array): Uint32Array {
  const order = Uint32Array.from(ties, (_, n) => n)
  return order.sort((a, b) => (ties[a] as number) - (ties[b] as number) || a - b)
}

/** The fold of each row; each fold has its share of the seed. */
export function foldsOf({ labels, ties }: Sample, folds: number): Uint8Array {
  const of = new Uint8Array(labels.length)
  const dealt = [0, 0]
  for (const n of orderOf(ties)) {
    const label = labels[n] as number
    of[n] = (dealt[label] as number) % folds
    ;(dealt[label] as number)++
  }
  return of
}
