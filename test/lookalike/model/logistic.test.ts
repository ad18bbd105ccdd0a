// The regression finds the least of its loss: held to derivatives taken by hand and to cases with a known answer.

import { expect, it } from 'vitest'
import { lengthsOf, linearMargins, sigmoid } from '../../../src/lookalike/model/linear.ts'
import { fitLogistic, logisticLoss } from '../../../src/lookalike/model/logistic.ts'
import { minimum } from '../../../src/lookalike/model/minimum.ts'
import { makeRandom } from '../../../src/lookalike/model/random.ts'
import { rowsOf } from '../../../src/lookalike/model/rows.ts'
import { populationOf } from './population.ts'

it('finds the least of a bent quadratic', () => {
  const target = [3, -2, 0.5]
  const bends = [1000, 1, 30]
  const found = minimum(
    (at, gradient) => {
      let sum = 0
      for (const [i, bend] of bends.entries()) {
        const away = (at[i] as number) - (target[i] as number)
        gradient[i] = bend * away
        sum += (bend * away * away) / 2
      }
      return sum
    },
    new Float64Array(3),
    { curvature: new Float64Array(3).fill(10), stepsMax: 100, tolerance: 1e-14 },
  )
  for (const [i, value] of target.entries()) expect(found[i]).toBeCloseTo(value, 5)
})

it('gives the gradient that differences give', () => {
  const { rows, labels, counts } = populationOf({ size: 80, width: 12, share: 0.4, strength: 4, seed: 1 })
  const loss = logisticLoss(rows, lengthsOf(rows), labels, { penalty: 0.7, penaltyNormalized: 0.2, counts })
  const random = makeRandom(2)
  const at = Float64Array.from({ length: 2 * rows.width + 1 }, () => random() - 0.5)
  const gradient = new Float64Array(at.length)
  loss(at, gradient)
  const nowhere = new Float64Array(at.length)
  for (let i = 0; i < at.length; i++) {
    const moved = (by: number) =>
      loss(
        at.map((value, k) => (k === i ? value + by : value)),
        nowhere,
      )
    expect((moved(1e-5) - moved(-1e-5)) / 2e-5).toBeCloseTo(gradient[i] as number, 4)
  }
})

it('without columns says the share of the seed', () => {
  const rows = rowsOf([[], [], [], [], [], [], [], [], [], []], 0)
  const labels = Uint8Array.from([1, 1, 0, 0, 0, 0, 0, 0, 0, 0])
  const linear = fitLogistic(rows, lengthsOf(rows), labels, {
    penalty: 1,
    penaltyNormalized: 1,
    counts: new Float32Array(10).fill(1),
  })
  for (const z of linearMargins(rows, lengthsOf(rows), linear)) expect(sigmoid(z)).toBeCloseTo(0.2, 2)
})

it('with hardly a penalty says of each kind of visitor the share seen, and rows held out do not count', () => {
  // Of those with the column 3 of 4 are of the seed, of those without 1 of 4; the held out are all the other way round.
  const rows = rowsOf(
    [...Array(40).keys()].map((n) => (n % 2 === 0 ? [0] : [])),
    1,
  )
  const labels = Uint8Array.from([...Array(40).keys()], (n) =>
    n >= 32 ? n % 2 : n % 2 === 0 ? (n % 8 === 0 ? 0 : 1) : n % 8 === 1 ? 1 : 0,
  )
  const counts = Float32Array.from(labels, (_, n) => (n >= 32 ? 0 : 1))
  const lengths = lengthsOf(rows)
  const [having, lacking] = linearMargins(
    rows,
    lengths,
    fitLogistic(rows, lengths, labels, { penalty: 1e-4, penaltyNormalized: 1e-4, counts }),
  )
  expect(sigmoid(having as number)).toBeCloseTo(0.75, 2)
  expect(sigmoid(lacking as number)).toBeCloseTo(0.25, 2)
})
