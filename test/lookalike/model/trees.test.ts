// Trees find what columns say only together.

import { expect, it } from 'vitest'
import { fitModel } from '../../../src/lookalike/model/fit.ts'
import { marginsOf } from '../../../src/lookalike/model/model.ts'
import { addTrees, fitTrees, groupsOf } from '../../../src/lookalike/model/trees.ts'
import { eitherOr, populationOf, sampleOf } from './population.ts'

it('finds one of two but not both, which the regression misses', () => {
  const { evidence, model } = fitModel(eitherOr(1), { seed: 1 })
  const auc = new Map(evidence.candidates.map((candidate) => [candidate.kind, candidate.auc]))
  expect(auc.get('regression')).toBeLessThan(0.6)
  expect(auc.get('trees')).toBeGreaterThan(0.7)
  expect(evidence.chosen).toBe('trees')
  expect(model.kind).toBe('trees')
})

it('asks no more columns than one number holds, at most six a tree, and covers everybody', () => {
  const { rows, labels, counts, ...rest } = populationOf({ size: 2000, width: 200, share: 0.3, strength: 6, seed: 4 })
  const { model } = fitModel({ rows, labels, counts: counts.map(() => 2.5), ...rest }, { seed: 1 })
  expect(model.kind).toBe('trees')
  expect(new Set(model.trees.flatMap(({ columns }) => columns)).size).toBeLessThanOrEqual(64)
  for (const { columns, values, covers } of model.trees) {
    expect(columns.length).toBeGreaterThanOrEqual(1)
    expect(columns.length).toBeLessThanOrEqual(6)
    expect(new Set(columns).size).toBe(columns.length)
    expect(values).toHaveLength(2 ** columns.length)
    expect(covers.reduce((sum, cover) => sum + cover, 0)).toBeCloseTo(2.5 * 2000, 3)
  }
})

it('says of rows the same while it is trained, by groups and one by one', () => {
  const { rows, labels, counts } = populationOf({ size: 500, width: 40, share: 0.4, strength: 5, seed: 2 })
  const groups = groupsOf(rows, [...Array(40).keys()])
  const trained = new Float64Array(500)
  const trees = fitTrees(groups, labels, trained, {
    rounds: 20,
    depth: 4,
    rate: 0.3,
    share: 0.8,
    seed: 3,
    penalty: 1,
    counts,
    covers: counts,
  })
  expect(trees.length).toBe(20)
  const grouped = new Float64Array(500)
  addTrees(groups, trees, grouped)
  const none = { weights: new Float64Array(40), squares: new Float64Array(40) }
  const single = marginsOf({ kind: 'trees', bias: 0, weights: none.weights, normalized: none, trees, slope: 1, offset: 0 }, rows)
  for (let n = 0; n < 500; n++) {
    expect(grouped[n]).toBeCloseTo(trained[n] as number, 9)
    expect(single[n]).toBeCloseTo(trained[n] as number, 9)
  }
})

it('gives each leaf the value that its rows ask for', () => {
  // One column; 3 of 10 that have it and 1 of 10 that lack it are of the seed. From 0: g = 0.5 - label, h = 0.25.
  const rows = sampleOf(
    [...Array(20).keys()].map((n) => (n < 10 ? [0] : [])),
    1,
    new Uint8Array(20),
  ).rows
  const labels = Uint8Array.from([...Array(20).keys()], (n) => (n < 3 || n === 10 ? 1 : 0))
  const counts = new Float32Array(20).fill(1)
  const [tree] = fitTrees(groupsOf(rows, [0]), labels, new Float64Array(20), {
    rounds: 1,
    depth: 6,
    rate: 1,
    share: 1,
    seed: 1,
    penalty: 0.1,
    counts,
    covers: counts,
  })
  expect(tree?.columns).toEqual([0])
  expect(tree?.values[0]).toBeCloseTo(-(5 - 1) / (2.5 + 0.1), 9)
  expect(tree?.values[1]).toBeCloseTo(-(5 - 3) / (2.5 + 0.1), 9)
})
