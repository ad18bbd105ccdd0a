// Evidence says what is so: chance is refused, a planted signal is found, and intervals hold the truth as often as they say.

import { expect, it } from 'vitest'
import { refusalOf } from '../../../src/lookalike/model/evidence.ts'
import { fitModel } from '../../../src/lookalike/model/fit.ts'
import { wilson } from '../../../src/lookalike/model/intervals.ts'
import { marginsOf } from '../../../src/lookalike/model/model.ts'
import { makeRandom } from '../../../src/lookalike/model/random.ts'
import { foldsOf } from '../../../src/lookalike/model/sample.ts'
import { standingsOf } from '../../../src/lookalike/model/standing.ts'
import { populationOf, sampleOf, shuffled, truthOf } from './population.ts'

const planted = { size: 2000, width: 60, share: 0.2, strength: 3 }

it('refuses 30 shuffled seeds, and takes the seed that was shuffled', () => {
  const real = populationOf({ ...planted, seed: 1 })
  expect(refusalOf(fitModel(real, { seed: 1 }).evidence)).toBeUndefined()
  for (let seed = 0; seed < 30; seed++) {
    const { evidence } = fitModel(shuffled(real, seed), { seed })
    expect(refusalOf(evidence)).toMatch(/AUC 0\.\d{3} \(.*lift at 10 % \d/)
  }
})

it('refuses small seeds that were shuffled among wide rows, where anything can be learnt by heart', () => {
  const wide = { size: 1200, width: 600, share: 0.06, seed: 2 }
  expect(refusalOf(fitModel(populationOf({ ...wide, strength: 8 }), { seed: 1 }).evidence)).toBeUndefined()
  for (let seed = 0; seed < 15; seed++)
    expect(refusalOf(fitModel(shuffled(populationOf({ ...wide, strength: 8 }), seed), { seed }).evidence)).toBeDefined()
})

it('knows how far chance strays where visitors differ in how much they do, which the errors of one ranking do not', () => {
  // A tenth of the visitors does ten times as much: a seed drawn by chance has more of them or fewer, and all folds agree on it.
  const random = makeRandom(7)
  const lists = Array.from({ length: 1500 }, () => {
    const likelihood = random() < 0.1 ? 0.5 : 0.05
    return [...Array(60).keys()].filter(() => random() < likelihood)
  })
  const strays = { own: 0, chance: 0 }
  const repetitions = 40
  for (let seed = 0; seed < repetitions; seed++) {
    const labels = shuffled(
      sampleOf(
        lists,
        60,
        Uint8Array.from(lists, (_, n) => (n < 60 ? 1 : 0)),
      ),
      seed,
    )
    const { auc, aucError, chanceError } = fitModel(labels, { seed: 1 }).evidence
    strays.own += ((auc - 0.5) / aucError) ** 2 / repetitions
    strays.chance += ((auc - 0.5) / chanceError) ** 2 / repetitions
  }
  expect(Math.sqrt(strays.chance)).toBeLessThan(1.35)
  expect(strays.chance).toBeLessThan(strays.own)
})

it('measures what the model is worth on visitors that it has never seen: the interval holds it', () => {
  const repetitions = 40
  const held = { auc: 0, p5: 0, p10: 0 }
  for (let seed = 0; seed < repetitions; seed++) {
    const { model, evidence } = fitModel(populationOf({ ...planted, seed: 100 + seed }), { seed })
    const fresh = populationOf({ ...planted, size: 6000, seed: 900 + seed })
    const scores = marginsOf(model, fresh.rows)
    const holds = ([low, high]: readonly [number, number], truth: number) => (low <= truth && truth <= high ? 1 : 0)
    held.auc += holds(evidence.interval.auc, truthOf(fresh, scores, 0.05).auc)
    held.p5 += holds(evidence.interval.lift.p5, truthOf(fresh, scores, 0.05).recall / 0.05)
    held.p10 += holds(evidence.interval.lift.p10, truthOf(fresh, scores, 0.1).recall / 0.1)
    expect(evidence.interval.lift.p10[1] - evidence.interval.lift.p10[0]).toBeLessThan(2.5) // and says something
  }
  for (const count of Object.values(held)) expect(count / repetitions).toBeGreaterThanOrEqual(0.85)
})

it('compares with those who do most, and within fifths of how much is done', () => {
  // The trait shows only in how much somebody does.
  const sample = populationOf({ size: 3000, width: 80, share: 0.1, strength: 1, seed: 3 })
  const active = Uint8Array.from(sample.activity, (events, n) => (events >= 5 && n % 2 === 0 ? 1 : 0))
  const { evidence } = fitModel({ ...sample, labels: active }, { seed: 1 })
  expect(evidence.auc).toBeGreaterThan(0.75)
  expect(evidence.baselines.most_active.auc).toBeGreaterThanOrEqual(evidence.auc - 0.01)
  const within = evidence.aucWithinActivity.filter((auc) => auc !== null)
  expect(within.length).toBeGreaterThan(0)
  expect(Math.max(...within)).toBeLessThan(evidence.auc)
  // And where it shows in what he does, that is found within the fifths too.
  const told = fitModel(populationOf({ ...planted, strength: 8, seed: 4 }), { seed: 1 }).evidence
  expect(told.auc).toBeGreaterThan(told.baselines.most_active.auc + 0.1)
  const inside = told.aucWithinActivity.filter((auc) => auc !== null)
  expect(inside.reduce((sum, auc) => sum + auc / inside.length, 0)).toBeGreaterThan(0.65)
})

it('draws the curve up to everybody', () => {
  const { reach, recall, lift } = fitModel(populationOf({ ...planted, seed: 5 }), { seed: 1 }).evidence
  expect(reach.at(-1)).toEqual({ share: 1, recall: 1, lift: 1 })
  expect(reach.map((point) => point.recall)).toEqual(reach.map((point) => point.recall).sort((a, b) => a - b))
  expect(reach.find(({ share }) => share === 0.05)).toEqual({ share: 0.05, recall: recall.p5, lift: lift.p5 })
})

it('places a row among the unlabelled of its fold, by how many of the pool each stands for', () => {
  const labels = Uint8Array.from([1, 0, 0, 1, 0, 0])
  const sample = {
    ...sampleOf([[], [], [], [], [], []], 0, labels),
    counts: Float32Array.from([1, 10, 30, 1, 20, 20]),
    ties: Uint32Array.from([5, 4, 3, 2, 1, 0]),
  }
  const folds = Uint8Array.from([0, 0, 0, 1, 1, 1])
  const { halves, places } = standingsOf(sample, Float64Array.from([2, 3, 1, 7, 7, 7]), folds)
  expect(halves[0]).toBeCloseTo(0.25) // 10 of 40 before it
  expect(halves[3]).toBeCloseTo(0.5) // all alike
  expect(places[0]).toBeCloseTo((10 + 10) / (40 + 20)) // half an average row more
  expect(places[3]).toBeCloseTo((40 + 10) / (40 + 20)) // its tie is last
})

it('deals the seed and the others to all folds alike', () => {
  const sample = populationOf({ ...planted, seed: 6 })
  const folds = foldsOf(sample, 5)
  for (const label of [0, 1]) {
    const sizes = [0, 1, 2, 3, 4].map((fold) => folds.filter((own, n) => own === fold && sample.labels[n] === label).length)
    expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1)
  }
})

it("gives Wilson's interval", () => {
  const [low, high] = wilson(0.2, 50)
  expect(low).toBeCloseTo(0.1124, 3)
  expect(high).toBeCloseTo(0.3304, 3)
  expect(wilson(0, 30)[0]).toBe(0)
  expect(wilson(0, 30)[1]).toBeCloseTo(0.1135, 3)
})
