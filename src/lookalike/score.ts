// A model as SQL: what the engine makes of everybody's features. The same sums as `marginsOf`, whatever the order of the features.

import type { Model } from './model/model.ts'

/** Numbers that read back as they are. */
const list = (numbers: Iterable<number>): string =>
  `[${[...numbers].map((n) => (Number.isInteger(n) ? `${n}.` : String(n))).join(',')}]`

/** `numbers`: of each of the model's columns, the feature's. */
export type Printable = { readonly model: Model; readonly numbers: readonly number[] }

/** Of each feature of `features` its value in `by`; 0 for others. */
const looked = (numbers: readonly number[], values: string, otherwise: string): string =>
  `arraySum(number -> transform(number, [${numbers.join(',')}], ${values}, ${otherwise}), features)`

/** Rows `(visitor, score)` of rows `(visitor, features)`. */
export function printScores({ model, numbers }: Printable, from: string): string {
  if (numbers.length === 0) throw new Error('a model without features scores nobody')
  const { weights, normalized, trees, bias, slope, offset } = model
  const linear = looked(numbers, list(weights), '0.')
  const isNear = normalized.weights.some((weight) => weight !== 0)
  const near = isNear ? looked(numbers, list(normalized.weights), '0.') : '0.'
  const norm = isNear ? `sqrt(${looked(numbers, list(normalized.squares), '0.')})` : '1.'
  const asked = [...new Set(trees.flatMap(({ columns }) => columns))].sort((a, b) => a - b)
  const bitOf = (column: number): bigint => 1n << BigInt(asked.indexOf(column))
  const mask =
    asked.length === 0
      ? 'toUInt64(0)'
      : looked(
          asked.map((column) => numbers[column] ?? 0),
          `[${asked.map((column) => `toUInt64(${bitOf(column)})`).join(',')}]`,
          'toUInt64(0)',
        )
  const leaves = trees.map(({ columns, values }) => {
    const keys = values.map((_, leaf) => columns.reduce((bits, column, i) => ((leaf >> i) & 1 ? bits | bitOf(column) : bits), 0n))
    const all = columns.reduce((bits, column) => bits | bitOf(column), 0n)
    return `transform(bitAnd(mask, ${all}), [${keys.map((key) => `toUInt64(${key})`).join(',')}], ${list(values)}, 0.)`
  })
  return `SELECT visitor, 1. / (1. + exp(-(${slope} * margin + (${offset})))) AS score FROM (
    SELECT visitor, ${bias} + linear + near / if(norm > 0, norm, 1.)${leaves.map((leaf) => ` + ${leaf}`).join('')} AS margin FROM (
      SELECT visitor, ${linear} AS linear, ${near} AS near, ${norm} AS norm, ${mask} AS mask FROM (${from})
    )
  )`
}
