// What came of trainings: the model that scores, what it was measured to be worth, and who is due to be trained again.

import { createHash } from 'node:crypto'
import { ownPermissionSql } from '../consent/standing.ts'
import { MINUTE_MS } from '../core/duration.ts'
import type { AudienceId } from '../core/ids.ts'
import type { Store } from '../engine/store.ts'
import { readGenerations, ruleText } from '../membership/log.ts'
import { listsOf } from '../rules/clauses.ts'
import { CURRENT_IMPORTS } from '../rules/imported.ts'
import type { LookalikeSettings } from '../settings/lookalikes.ts'
import type { Dictionary } from './dictionary.ts'
import type { Feature } from './families.ts'
import type { Evidence } from './model/evidence.ts'
import type { Model, ObliviousTree } from './model/model.ts'

/** A model by the names of its features, of each column one. */
export type NamedModel = { readonly model: Model; readonly features: readonly Feature[] }

export type ReportedFeature = {
  readonly name: string
  /** Of the margin, by having it. */
  readonly weight: number
  /** Visitors of the pool and the seed who have it, about. */
  readonly visitors: number
}

/** Why the model does not see a feature of the seed's own rule. */
export type Leak = {
  readonly name: string
  readonly why: 'own_rule' | 'own_pool' | 'tells_the_seed'
  /** Who have it, about. */
  readonly visitors: number
}

export type TrainingReport = {
  readonly evidence: Evidence
  readonly features: readonly ReportedFeature[]
  readonly leaks: readonly Leak[]
  readonly excluded: readonly string[]
  readonly sample: { readonly seed: number; readonly others: number; readonly features: number }
  readonly seconds: { readonly fit: number; readonly score: number }
  /** Against the members before; undefined at the first training, or after a change of the definition. */
  readonly change:
    | {
        readonly entered: number
        readonly left: number
        /** Replacements that the scores alone asked for, and those that the budget let through. */
        readonly wanted: number
        readonly budget: number
        /** Mean odds of the members over those of the best: what keeping to the budget costs. */
        readonly liftKept: number
        readonly features: readonly {
          readonly name: string
          /** Who have it, of those who came and those who went. */
          readonly visitors: number
          readonly entered: number
          readonly left: number
        }[]
      }
    | undefined
}

export type Training = {
  readonly lookalike: AudienceId
  readonly generation: number
  readonly atMs: number
  /** `failed`: it did not come to its end. */
  readonly outcome: 'trained' | 'refused' | 'failed'
  /** What the members depend on, by its words: another one is another audience, to which no budget of churn applies. */
  readonly definition: string
  /** The same, and the lists as they were imported. */
  readonly inputs: string
  readonly detail: string
  readonly seed: number
  readonly pool: number
  /** Everybody who could be looked at (`countVisitors`). */
  readonly visitors: number
  readonly size: number
  /** The lowest score of a member. */
  readonly least: number
  readonly seconds: number
}

/** The number under which the features of a training's model are looked up. */
export const runOf = ({ generation }: Pick<Training, 'generation'>): bigint => BigInt(generation) << 22n

/** Each value once, whatever the levels of its features. */
export function dictionaryOf(training: Pick<Training, 'generation'>, features: readonly Feature[]): Dictionary {
  const values = new Map(features.map(({ kind, value }) => [`${kind} ${value}`, { kind, value }]))
  return { run: runOf(training), values: [...values.values()] }
}

const COLUMNS = `lookalike, generation, toUnixTimestamp64Milli(at) AS atMs, toString(outcome) AS outcome, definition, inputs, detail, seed, pool, visitors, size, least, seconds`

/** Of each lookalike the last one, whatever came of it. */
export async function readTrainings(store: Store): Promise<Map<AudienceId, Training>> {
  const rows = await store.rows<Training>({
    owner: 'lookalike.trainings',
    sql: `SELECT ${COLUMNS} FROM madeleine.trainings ORDER BY lookalike, generation DESC LIMIT 1 BY lookalike`,
  })
  return new Map(rows.map((row) => [row.lookalike, row]))
}

/** Of each lookalike the one whose members count. */
export async function readCounting(store: Store): Promise<Map<AudienceId, Training>> {
  const rows = await store.rows<Training>({
    owner: 'lookalike.counting',
    sql: `SELECT ${COLUMNS} FROM madeleine.trainings WHERE outcome = 'trained' AND (concat('~', lookalike), generation) IN (${CURRENT_IMPORTS})`,
  })
  return new Map(rows.map((row) => [row.lookalike, row]))
}

type StoredModel = Omit<Model, 'weights' | 'normalized'> & {
  readonly weights: readonly number[]
  /** Empty where all of them are 0. */
  readonly normalized: { readonly weights: readonly number[]; readonly squares: readonly number[] }
  readonly features: readonly (readonly [kind: string, value: string, times: number])[]
}

/** Float32 holds more digits than the model knows, and half the text. */
const short = (numbers: Iterable<number>): number[] => [...numbers].map((n) => Number(Math.fround(n).toPrecision(8)))

/** As it will be read: what is written and what scores are one model. */
export function rounded(model: Model): Model {
  const trees = model.trees.map((tree): ObliviousTree => ({ ...tree, values: short(tree.values) }))
  const [bias = 0, slope = 1, offset = 0] = short([model.bias, model.slope, model.offset])
  const normalized = {
    weights: Float64Array.from(short(model.normalized.weights)),
    squares: Float64Array.from(short(model.normalized.squares)),
  }
  return { ...model, bias, slope, offset, weights: Float64Array.from(short(model.weights)), normalized, trees }
}

export function textOf({ model, features }: NamedModel): string {
  const isNear = model.normalized.weights.some((weight) => weight !== 0)
  const stored: StoredModel = {
    ...model,
    weights: [...model.weights],
    normalized: isNear
      ? { weights: [...model.normalized.weights], squares: [...model.normalized.squares] }
      : { weights: [], squares: [] },
    features: features.map(({ kind, value, times }) => [kind, value, times]),
  }
  return JSON.stringify(stored)
}

function modelOf(text: string): NamedModel {
  const { weights, normalized, features, ...model } = JSON.parse(text) as StoredModel
  const all = (numbers: readonly number[]) =>
    numbers.length === 0 ? new Float64Array(weights.length) : Float64Array.from(numbers)
  return {
    model: {
      ...model,
      weights: Float64Array.from(weights),
      normalized: { weights: all(normalized.weights), squares: all(normalized.squares) },
    },
    features: features.map(([kind, value, times]) => ({ kind, value, times })),
  }
}

export async function readModel(store: Store, { lookalike, generation }: Training): Promise<NamedModel | undefined> {
  const [row] = await store.rows<{ model: string }>({
    owner: 'lookalike.model',
    sql: `SELECT model FROM madeleine.trainings WHERE lookalike = {lookalike:String} AND generation = {generation:UInt64} LIMIT 1`,
    values: { lookalike, generation },
  })
  return row && row.model !== '' ? modelOf(row.model) : undefined
}

export async function readTrainingReport(store: Store, { lookalike, generation }: Training): Promise<TrainingReport | undefined> {
  const [row] = await store.rows<{ report: string }>({
    owner: 'lookalike.report',
    sql: `SELECT report FROM madeleine.trainings WHERE lookalike = {lookalike:String} AND generation = {generation:UInt64} LIMIT 1`,
    values: { lookalike, generation },
  })
  return row && row.report !== '' ? (JSON.parse(row.report) as TrainingReport) : undefined
}

export async function writeTraining(
  store: Store,
  { atMs, ...training }: Training,
  model: NamedModel | undefined,
  report: TrainingReport | undefined,
): Promise<void> {
  const row = {
    ...training,
    at: atMs,
    model: model ? textOf(model) : '',
    report: report ? JSON.stringify(report) : '',
  }
  await store.insertLines({
    owner: 'lookalike.training',
    into: 'madeleine.trainings (lookalike, generation, at, outcome, definition, inputs, detail, seed, pool, visitors, size, least, seconds, model, report)',
    lines: Buffer.from(`${JSON.stringify(row)}\n`),
  })
}

const hashOf = (value: unknown): string => createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 32)

type Defined = { readonly definition: string; readonly inputs: string }

function definitionOf(
  { seed, among, reach, exclude }: LookalikeSettings,
  generations: ReadonlyMap<AudienceId, number>,
  retentionMs: number,
): Defined {
  const rules = [seed.rule, ...(among ? [among.rule] : [])]
  const definition = hashOf([rules.map(ruleText), reach, exclude.toSorted(), retentionMs])
  const lists = rules.flatMap(listsOf).map((list) => `${list}@${generations.get(list) ?? 0}`)
  return { definition, inputs: hashOf([definition, lists]) }
}

export type Due = Defined & {
  readonly lookalike: LookalikeSettings
  readonly last: Training | undefined
  /** The generation whose members count, where they are of the same definition. */
  readonly former: number | undefined
}

/** Visitors with an event that permits models by itself: of millions half a per cent more or less. */
export async function countVisitors(store: Store, fromMs: number): Promise<number> {
  const [row] = await store.rows<{ visitors: number }>({
    owner: 'lookalike.visitors',
    sql: `SELECT uniqCombined64(visitor) AS visitors FROM madeleine.events
          WHERE ts > fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND ${ownPermissionSql('model')}`,
    values: { from: fromMs },
  })
  return row?.visitors ?? 0
}

/** Everybody is looked at again where there are so many more of them, or fewer: by whoever asks for a build, and by a server that does it by itself. */
const GROWN = { asked: 0.02, alone: 0.2 } as const

/** A seed that was refused may have grown, and what failed may be possible now. */
const AGAIN_MS = 30 * MINUTE_MS

/**
 * Those that no training has been made of as they are defined now, or a while ago, or of many fewer visitors. One whose seed is not imported yet waits for it. `retry`: also those of which nothing came,
 * however lately.
 */
export async function readDue(
  store: Store,
  lookalikes: Iterable<LookalikeSettings>,
  { nowMs, retentionMs, retry = false }: { readonly nowMs: number; readonly retentionMs: number; readonly retry?: boolean },
): Promise<Due[]> {
  const [trainings, generations] = [await readTrainings(store), await readGenerations(store)]
  const counting = await readCounting(store)
  const visitors = counting.size === 0 ? 0 : await countVisitors(store, nowMs - retentionMs)
  const grown = retry ? GROWN.asked : GROWN.alone
  const isGrown = (before: number): boolean => Math.abs(visitors - before) > grown * before
  return [...lookalikes].flatMap((lookalike) => {
    const { seed, among, id, retrainMs } = lookalike
    const lists = [seed.rule, ...(among ? [among.rule] : [])].flatMap(listsOf)
    if (lists.some((list) => !generations.has(list))) return []
    const last = trainings.get(id)
    const defined = definitionOf(lookalike, generations, retentionMs)
    const own = counting.get(id)
    const former = own?.definition === defined.definition ? own.generation : undefined
    const due = { lookalike, ...defined, last, former }
    if (last === undefined || last.inputs !== defined.inputs) return [due]
    const ageMs = nowMs - last.atMs
    const isFresh =
      last.outcome === 'trained'
        ? own?.generation === last.generation && ageMs < retrainMs && !isGrown(last.visitors)
        : !retry && ageMs < Math.min(retrainMs, AGAIN_MS)
    return isFresh ? [] : [due]
  })
}
