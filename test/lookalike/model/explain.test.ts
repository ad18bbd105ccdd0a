// Contributions are exact, and a column that changes nothing contributes nothing.

import fc from 'fast-check'
import { expect, it } from 'vitest'
import { contributions, importances } from '../../../src/lookalike/model/explain.ts'
import { fitModel } from '../../../src/lookalike/model/fit.ts'
import { type Model, marginsOf } from '../../../src/lookalike/model/model.ts'
import { rowsOf } from '../../../src/lookalike/model/rows.ts'
import { populationOf } from './population.ts'

const WIDTH = 30
const value = fc.double({ min: -3, max: 3, noNaN: true })
const byColumn = fc.array(value, { minLength: WIDTH, maxLength: WIDTH }).map((values) => Float64Array.from(values))
const column = fc.nat({ max: WIDTH - 1 })
const tree = fc.uniqueArray(column, { minLength: 1, maxLength: 6 }).chain((columns) => {
  const leaves = 2 ** columns.length
  return fc.record({
    columns: fc.constant(columns),
    values: fc.array(value, { minLength: leaves, maxLength: leaves }),
    covers: fc.array(fc.nat({ max: 50 }), { minLength: leaves, maxLength: leaves }),
  })
})
const model: fc.Arbitrary<Model> = fc.record({
  kind: fc.constant('trees' as const),
  bias: value,
  weights: byColumn,
  normalized: fc.record({
    weights: byColumn,
    squares: byColumn.map((values) => values.map((square) => (square < 0.01 ? 0 : square))),
  }),
  trees: fc.array(tree, { maxLength: 5 }),
  slope: fc.constant(1),
  offset: fc.constant(0),
})

it('adds up to the margin of any visitor under any model', () => {
  fc.assert(
    fc.property(model, fc.uniqueArray(column), (any, columns) => {
      const { base, parts } = contributions(any, columns)
      const sum = [...parts.values()].reduce((before, part) => before + part, base)
      expect(sum).toBeCloseTo(marginsOf(any, rowsOf([columns], WIDTH))[0] as number, 8)
    }),
    { numRuns: 300 },
  )
})

it('gives what is asked but changes nothing no part, and what is lacked its part', () => {
  const none = new Float64Array(2)
  const asks: Model = {
    kind: 'trees',
    bias: 0,
    weights: none,
    normalized: { weights: none, squares: none },
    trees: [{ columns: [0, 1], values: [-1, 1, -1, 1], covers: [10, 30, 20, 40] }], // only column 0 matters
    slope: 1,
    offset: 0,
  }
  const { base, parts } = contributions(asks, [1])
  expect(base).toBeCloseTo(0.4)
  expect(parts.get(1)).toBe(0)
  expect(parts.get(0)).toBeCloseTo(-1.4)
  expect([...importances(asks, rowsOf([[0], [1]], 2))]).toEqual([2, 0])
})

it('ranks the columns that were planted above all others', () => {
  const sample = populationOf({ size: 4000, width: WIDTH, share: 0.3, strength: 5, seed: 6 })
  const { model: fitted } = fitModel(sample, { seed: 1 })
  const effects = importances(fitted, sample.rows)
  const best = [...effects.keys()].sort((a, b) => (effects[b] as number) - (effects[a] as number)).slice(0, 3)
  expect(best.sort((a, b) => a - b)).toEqual([3, 13, 23])
})
