// Training: the same twice, of use with 30 members, calm where there is nothing to learn from.

import { expect, it } from 'vitest'
import { type Evidence, refusalOf } from '../../../src/lookalike/model/evidence.ts'
import { fitModel } from '../../../src/lookalike/model/fit.ts'
import { marginsOf, scoreOf } from '../../../src/lookalike/model/model.ts'
import type { Sample } from '../../../src/lookalike/model/sample.ts'
import { eitherOr, populationOf, sampleOf, truthOf } from './population.ts'

const planted = { size: 3000, width: 60, share: 0.2, strength: 6, seed: 1 }

/** Every number of evidence: what is written as JSON must be read again as it was. */
const isSound = (evidence: Evidence): boolean =>
  JSON.stringify(JSON.parse(JSON.stringify(evidence))) === JSON.stringify(evidence) &&
  !/null/.test(JSON.stringify({ ...evidence, aucWithinActivity: [] }))

it('is the same for the same sample and seed, and another for another seed', () => {
  const sample = eitherOr(2)
  const once = fitModel(sample, { seed: 1 })
  expect(once.model.kind).toBe('trees')
  expect(fitModel(sample, { seed: 1 })).toEqual(once)
  expect(fitModel(sample, { seed: 2 }).model.trees).not.toEqual(once.model.trees)
})

it('does not depend on how thinly everybody else was sampled, but for the pool', () => {
  const sample = populationOf(planted)
  const thin: Sample = { ...sample, counts: sample.counts.map((_, n) => (sample.labels[n] === 1 ? 1 : 40)) }
  const { model, evidence } = fitModel(sample, { seed: 1 })
  const thinly = fitModel(thin, { seed: 1 })
  expect(thinly.model.weights).toEqual(model.weights)
  expect(thinly.evidence.pool).toBe(40 * evidence.pool)
  expect(thinly.evidence.auc).toBeCloseTo(evidence.auc, 6)
})

it('says how far it is, up to the end', () => {
  const shares: number[] = []
  fitModel(populationOf(planted), { seed: 1, onShare: (share) => shares.push(share) })
  expect(shares.length).toBeGreaterThan(2)
  expect(shares).toEqual([...shares].sort((a, b) => a - b))
  expect(shares.at(-1)).toBe(1)
})

it('reads a margin as a probability: 0.5 where seed and others are equally many, and never falling with the margin', () => {
  const sample = populationOf(planted)
  const { model, evidence } = fitModel(sample, { seed: 1 })
  expect(model.slope).toBeGreaterThan(0)
  expect(scoreOf(model, 1)).toBeGreaterThan(scoreOf(model, 0))
  expect(evidence.calibration.length).toBeGreaterThan(5)
  for (const { score, observed } of evidence.calibration) expect(Math.abs(score - observed)).toBeLessThan(0.12)
  expect(evidence.calibration.map(({ score }) => score)).toEqual(
    evidence.calibration.map(({ score }) => score).sort((a, b) => a - b),
  )
})

it('finds others like 30 members among thousands', () => {
  const population = populationOf({ ...planted, share: 0.02, size: 3100, strength: 10, seed: 3 })
  const { model, evidence } = fitModel(population, { seed: 1 })
  expect(evidence.seed).toBeGreaterThanOrEqual(20)
  expect(evidence.seed).toBeLessThanOrEqual(40)
  expect(refusalOf(evidence)).toBeUndefined()
  const fresh = populationOf({ ...planted, share: 0.02, size: 20_000, strength: 10, seed: 4 })
  expect(truthOf(fresh, marginsOf(model, fresh.rows), 0.05).auc).toBeGreaterThan(0.75)
})

const lists = [...Array(200).keys()].map((n) => [n % 3, 3 + (n % 2)])
const some = (is: (n: number) => boolean) => Uint8Array.from(lists, (_, n) => (is(n) ? 1 : 0))
const degenerate: readonly [string, Sample][] = [
  ['no visitor', sampleOf([], 0, new Uint8Array(0))],
  [
    'no column',
    sampleOf(
      lists.map(() => []),
      0,
      some((n) => n % 4 === 0),
    ),
  ],
  [
    'columns that nobody has',
    sampleOf(
      lists.map(() => []),
      7,
      some((n) => n % 4 === 0),
    ),
  ],
  [
    'a column that everybody has',
    sampleOf(
      lists.map(() => [0]),
      1,
      some((n) => n % 4 === 0),
    ),
  ],
  [
    'visitors who are all alike',
    sampleOf(
      lists.map(() => [0, 2, 4]),
      5,
      some((n) => n % 4 === 0),
    ),
  ],
  [
    'nobody outside the seed',
    sampleOf(
      lists,
      5,
      some(() => true),
    ),
  ],
  [
    'nobody in the seed',
    sampleOf(
      lists,
      5,
      some(() => false),
    ),
  ],
  [
    'one in the seed',
    sampleOf(
      lists,
      5,
      some((n) => n === 0),
    ),
  ],
  [
    'one outside the seed',
    sampleOf(
      lists,
      5,
      some((n) => n > 0),
    ),
  ],
  [
    'two in the seed',
    sampleOf(
      lists,
      5,
      some((n) => n < 2),
    ),
  ],
]
it.each(degenerate)('refuses %s in a sentence, without a number that is none', (_, sample) => {
  const { model, evidence } = fitModel(sample, { seed: 1 })
  expect(refusalOf(evidence)).toMatch(/^(nothing can be measured|the seed's \d+ visitors cannot be told)/)
  expect(isSound(evidence)).toBe(true)
  for (const margin of marginsOf(model, sample.rows)) expect(Number.isFinite(scoreOf(model, margin))).toBe(true)
})

it('takes one column that says enough', () => {
  const one = lists.map((_, n) => (n % 4 === 0 ? [0] : []))
  const { evidence } = fitModel(
    sampleOf(
      one,
      1,
      some((n) => n % 4 === 0),
    ),
    { seed: 1 },
  )
  expect(refusalOf(evidence)).toBeUndefined()
  expect(evidence.auc).toBe(1)
  expect(isSound(evidence)).toBe(true)
})
