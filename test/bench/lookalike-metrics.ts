// How well scores find the hidden half of a trait: AUC and recall at 5 % of everybody outside the seed, and means over tasks with intervals.

import type { Task } from './lookalike-data.ts'

export type Result = { readonly auc: number; readonly recall: number }
const SHARE = 0.05

/** Ties: half in the AUC, in the order of the rows in the recall (of no use to anybody: rows are in the order of ids). */
export function resultOf({ trait, seed }: Task, scores: Float64Array): Result {
  const ranked = [...scores.keys()]
    .filter((n) => seed[n] === 0)
    .sort((a, b) => (scores[b] as number) - (scores[a] as number) || a - b)
  const positives = ranked.reduce((sum, n) => sum + (trait[n] as number), 0)
  let others = 0
  let lost = 0
  for (let i = 0; i < ranked.length; ) {
    let own = 0
    let not = 0
    const score = scores[ranked[i] as number]
    for (; i < ranked.length && scores[ranked[i] as number] === score; i++) {
      if (trait[ranked[i] as number] === 1) own++
      else not++
    }
    lost += own * (others + not / 2)
    others += not
  }
  const found = ranked.slice(0, Math.ceil(SHARE * ranked.length)).reduce((sum, n) => sum + (trait[n] as number), 0)
  return { auc: 1 - lost / (positives * others), recall: found / positives }
}

export const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

/** Student's t, two-sided 95 %, by degrees of freedom from 1. */
const T = [12.71, 4.3, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.2, 2.18, 2.16, 2.14, 2.13, 2.12, 2.11, 2.1, 2.09, 2.09]

/** The mean of paired differences with its 95 % interval over tasks. */
export function paired(ours: readonly number[], theirs: readonly number[]): string {
  const differences = ours.map((value, i) => value - (theirs[i] as number))
  const middle = mean(differences)
  const variance = differences.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (differences.length - 1)
  const half = (T[differences.length - 2] ?? 1.96) * Math.sqrt(variance / differences.length)
  const signed = (value: number) => `${value < 0 ? '' : '+'}${value.toFixed(4)}`
  return `${signed(middle)} (${signed(middle - half)} to ${signed(middle + half)})`
}
