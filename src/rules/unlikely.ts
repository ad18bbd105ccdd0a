// What a rule may say and hardly means: numbers that no visitor can reach. Warnings, never errors.

import { DAY_MS } from '../core/duration.ts'
import type { Checker } from './checker.ts'
import { SESSION_GAP_MS } from './evaluate.ts'
import type { Comparison, ComparisonOperator, Measure, ProblemPath } from './rule.ts'

const LOWER: Partial<Record<ComparisonOperator, bigint>> = { gte: 0n, gt: 1n, eq: 0n }
const UPPER: Partial<Record<ComparisonOperator, bigint>> = { lte: 0n, lt: -1n, eq: 0n }

/** The least and the greatest whole number (of millionths, for sums) that the comparison allows. */
function bounds(comparison: Comparison<number> | Comparison<bigint>): { least: bigint | undefined; most: bigint | undefined } {
  let least: bigint | undefined
  let most: bigint | undefined
  for (const { operator, than } of comparison) {
    const lower = LOWER[operator]
    const upper = UPPER[operator]
    if (lower !== undefined && (least === undefined || BigInt(than) + lower > least)) least = BigInt(than) + lower
    if (upper !== undefined && (most === undefined || BigInt(than) + upper < most)) most = BigInt(than) + upper
  }
  return { least, most }
}

/** A window touches one calendar day more than it is long; sessions are at least half an hour apart. */
const possible = (kind: 'days' | 'sessions', withinMs: number): number =>
  kind === 'days' ? Math.ceil(withinMs / DAY_MS) + 1 : Math.floor((withinMs - 1) / SESSION_GAP_MS) + 1

/** `path`: of the condition. */
export function warnOfMeasure(check: Checker, measure: Measure, withinMs: number, path: ProblemPath): void {
  const { least, most } = bounds(measure.comparison)
  const at = [...path, measure.kind]
  if (least !== undefined && most !== undefined && least > most)
    check.unlikely(at, `no number satisfies all of \`${measure.kind}\``)
  if (measure.kind !== 'days' && measure.kind !== 'sessions') return
  const reachable = possible(measure.kind, withinMs)
  if (least !== undefined && least > BigInt(reachable))
    check.unlikely(at, `\`${measure.kind}\` cannot be reached: the window holds at most ${reachable}`)
}

export function warnOfGap(check: Checker, gapMs: number | undefined, withinMs: number, path: ProblemPath): void {
  if (gapMs !== undefined && gapMs >= withinMs)
    check.unlikely([...path, 'gap'], '`gap` is as long as the window: it excludes nothing')
}
