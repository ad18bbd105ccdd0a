// One seed's model: some of it and some of everybody else, drawn by their ids alone, with the features that may be seen.

import type { AudienceId } from '../core/ids.ts'
import type { Store } from '../engine/store.ts'
import type { LookalikeSettings } from '../settings/lookalikes.ts'
import { featureOf } from './dictionary.ts'
import type { Everybody } from './everybody.ts'
import { type Feature, isOf, nameOf } from './families.ts'
import { findRuleLeaks } from './leaks.ts'
import type { Evidence } from './model/evidence.ts'
import { importances } from './model/explain.ts'
import { fitModel } from './model/fit.ts'
import type { Model } from './model/model.ts'
import { rowsOf } from './model/rows.ts'
import type { Sample } from './model/sample.ts'
import { type Leak, rounded } from './trainings.ts'

/** What a model is made of: more rows make it no better that anybody would notice, and slower. */
const SEEDS_MAX = 15_000
const OTHERS_MAX = 30_000
/** Fewer visitors of the sample say nothing about a feature. */
const VISITORS_MIN = 3
const FEATURES_MAX = 20_000
/** So many of the seed have a feature and so few of the others that it is the seed, said otherwise. */
const TELLS_SEED = 0.9
const TELLS_OTHERS = 0.005

/** Fewer have no signal that could be told from chance. */
export const SEED_MIN = 30

/** Numbers, from 1, among the audiences of the pass. */
export type Places = { readonly seed: number; readonly among: number | undefined }
/** Conditions on rows of `visitor_features`. */
export const seedSql = ({ seed }: Places): string => `has(held, ${seed})`
export const inPool = ({ among }: Places): string => (among === undefined ? 'true' : `has(held, ${among})`)

/** `seedInPool`: of the seed, those who are in the pool. */
export type Population = { readonly seed: number; readonly seedInPool: number; readonly pool: number }

/** The seed, whose members may be outside the pool, and the pool outside the seed. */
export async function countPopulation(store: Store, run: bigint, places: Places): Promise<Population> {
  const [row] = await store.rows<Population>({
    owner: 'lookalike.population',
    sql: `SELECT countIf(${seedSql(places)}) AS seed, countIf(${seedSql(places)} AND ${inPool(places)}) AS seedInPool, countIf(${inPool(places)} AND NOT ${seedSql(places)}) AS pool
          FROM madeleine.visitor_features WHERE run = ${run}`,
  })
  return row ?? { seed: 0, seedInPool: 0, pool: 0 }
}

type Row = { readonly events: number; readonly tie: number; readonly features: readonly number[] }

/** Some more than are wanted are drawn by their hash, so that few must be put in order. */
const DRAWN_MORE = 1.2
const HASHES = 2 ** 32

/** Lookalikes of one seed learn from the same visitors: a smaller reach is a part of a larger one. `of`: how many fulfil the condition. */
async function drawRows(
  store: Store,
  run: bigint,
  seed: AudienceId,
  { condition, of, most }: { readonly condition: string; readonly of: number; readonly most: number },
): Promise<Row[]> {
  const below = of <= most * DRAWN_MORE ? HASHES : Math.ceil((HASHES * most * DRAWN_MORE) / of)
  return store.rows<Row>({
    owner: 'lookalike.sample',
    sql: `SELECT events, toUInt32(bitAnd(cityHash64({seed:String}, visitor), 0xFFFFFFFF)) AS tie, features FROM madeleine.visitor_features
          WHERE run = ${run} AND bitAnd(cityHash64({seed:String}, visitor), 0xFFFFFFFF) < ${below} AND ${condition} ORDER BY tie, visitor LIMIT ${most}`,
    values: { seed },
    settings: { log_queries: 0 },
  })
}

export type Learned = {
  readonly model: Model
  readonly evidence: Evidence
  /** By column: its number in the dictionary, and what it is. */
  readonly numbers: readonly number[]
  readonly features: readonly Feature[]
  /** Visitors of the seed and the pool who have it, about. */
  readonly visitors: readonly number[]
  /** By column: what having it adds to the margin, on average. */
  readonly weights: Float64Array
  readonly leaks: readonly Leak[]
  readonly sample: { readonly seed: number; readonly others: number; readonly features: number }
}

type Column = { readonly number: number; readonly feature: Feature; readonly visitors: number }

/** Which features the model sees, and what is named of those it does not. */
async function chooseColumns(
  store: Store,
  { seed, among, exclude }: LookalikeSettings,
  everybody: Everybody,
  places: Places,
  isPooled: boolean,
  { seeds, others }: { readonly seeds: readonly Row[]; readonly others: readonly Row[] },
  eachStandsFor: { readonly seed: number; readonly other: number },
): Promise<{ columns: Column[]; leaks: Leak[] }> {
  const isRule = seed.kind === 'segment'
  const isOwn = isRule ? await findRuleLeaks(store, seed.rule, everybody, places.seed) : () => false
  // Where the seed is drawn from outside the pool too, what the pool asks for tells who is of it.
  const isOfPool = among && !isPooled ? await findRuleLeaks(store, among.rule, everybody, places.seed) : () => false
  const counts = new Map<number, [seeds: number, others: number]>()
  for (const [label, rows] of [seeds, others].entries())
    for (const { features } of rows)
      for (const number of features) {
        const count = counts.get(number) ?? [0, 0]
        counts.set(number, count)
        ;(count[label] as number)++
      }
  const columns: Column[] = []
  const leaks = new Map<string, Leak>()
  for (const [number, [ofSeeds, ofOthers]] of counts) {
    const feature = featureOf(everybody.dictionary, number)
    const has = ofSeeds + ofOthers
    if (!feature || has < VISITORS_MIN || has === seeds.length + others.length) continue
    if (exclude.some((name) => isOf(name, feature))) continue
    // Named once, however often it is seen.
    const visitors = Math.round(ofSeeds * eachStandsFor.seed + ofOthers * eachStandsFor.other)
    const leak = (why: Leak['why']) => {
      const name = nameOf({ ...feature, times: 1 })
      leaks.set(name, { name, why, visitors: Math.max(visitors, leaks.get(name)?.visitors ?? 0) })
    }
    if (isOwn(number)) leak('own_rule')
    else if (isOfPool(number)) leak('own_pool')
    // A list may hold those whom a feature tells: then that is what there is to learn.
    else if (isRule && ofSeeds > TELLS_SEED * seeds.length && ofOthers < TELLS_OTHERS * others.length) leak('tells_the_seed')
    else columns.push({ number, feature, visitors })
  }
  columns.sort((a, b) => b.visitors - a.visitors || a.number - b.number)
  return {
    columns: columns.slice(0, FEATURES_MAX).sort((a, b) => a.number - b.number),
    leaks: [...leaks.values()],
  }
}

/** Deterministic: the same visitors, the same model. */
export async function learn(
  store: Store,
  lookalike: LookalikeSettings,
  everybody: Everybody,
  places: Places,
  { seed, seedInPool, pool }: Population,
  onShare: (share: number) => void,
): Promise<Learned> {
  const { run } = everybody.dictionary
  const isPooled = seedInPool >= SEED_MIN
  const ofSeed = isPooled ? `${seedSql(places)} AND ${inPool(places)}` : seedSql(places)
  const seeds = await drawRows(store, run, lookalike.seed.id, {
    condition: ofSeed,
    of: isPooled ? seedInPool : seed,
    most: SEEDS_MAX,
  })
  const others = await drawRows(store, run, lookalike.seed.id, {
    condition: `${inPool(places)} AND NOT ${seedSql(places)}`,
    of: pool,
    most: OTHERS_MAX,
  })
  const each = { seed: (isPooled ? seedInPool : seed) / Math.max(1, seeds.length), other: pool / Math.max(1, others.length) }
  const { columns, leaks } = await chooseColumns(store, lookalike, everybody, places, isPooled, { seeds, others }, each)
  const columnOf = new Map(columns.map(({ number }, n) => [number, n]))
  // In an order that says nothing of the label.
  const rows = [...seeds.map((row) => ({ ...row, label: 1 })), ...others.map((row) => ({ ...row, label: 0 }))].sort(
    (a, b) => a.tie - b.tie,
  )
  const sample: Sample = {
    rows: rowsOf(
      rows.map(({ features }) => features.flatMap((number) => columnOf.get(number) ?? [])),
      columns.length,
    ),
    labels: Uint8Array.from(rows, ({ label }) => label),
    counts: Float32Array.from(rows, ({ label }) => (label === 1 ? each.seed : each.other)),
    activity: Uint32Array.from(rows, ({ events }) => events),
    ties: Uint32Array.from(rows, ({ tie }) => tie),
  }
  const fitted = fitModel(sample, { seed: 1, onShare })
  const model = rounded(fitted.model)
  return {
    model,
    weights: importances(model, sample.rows),
    evidence: fitted.evidence,
    numbers: columns.map(({ number }) => number),
    features: columns.map(({ feature }) => feature),
    visitors: columns.map(({ visitors }) => visitors),
    leaks,
    sample: { seed: seeds.length, others: others.length, features: columns.length },
  }
}
