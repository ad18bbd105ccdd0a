// Scores as people see them: of an audience's members, and of one visitor with what each feature adds.

import type { AudienceId, VisitorId } from '../core/ids.ts'
import type { Store } from '../engine/store.ts'
import { Binder } from '../rules/binder.ts'
import { trainedList } from '../settings/lookalikes.ts'
import { readSight } from './everybody.ts'
import { nameOf } from './families.ts'
import { modelledSql, printGather } from './gather.ts'
import { contributions } from './model/explain.ts'
import { scoreOf } from './model/model.ts'
import { applicable } from './newcomers.ts'
import { readCounting, readModel, runOf, type Training } from './trainings.ts'

/** Of everybody on the list that counts, as they were scored. */
export async function readScores(store: Store, lookalike: AudienceId, { generation }: Training): Promise<Map<VisitorId, number>> {
  const rows = await store.rows<{ who: VisitorId; score: number }>({
    owner: 'lookalike.scores',
    sql: `SELECT toString(visitor) AS who, max(score) AS score FROM madeleine.list_members
          WHERE list = {list:String} AND generation = {generation:UInt64} GROUP BY visitor`,
    values: { list: trainedList(lookalike), generation },
    settings: { log_queries: 0 },
  })
  return new Map(rows.map(({ who, score }) => [who, score]))
}

export type ExplainedScore = {
  readonly score: number
  /** The lowest score of a member at the training. */
  readonly least: number
  readonly trainedAtMs: number
  /** The visitor's events up to then count: the training's moment, or a later one where the visitor came later. */
  readonly atMs: number
  /** The margin of nobody in particular; with all contributions it is the visitor's. */
  readonly base: number
  /** What having a feature, or lacking it, adds to the margin: the largest first. */
  readonly contributions: readonly { readonly feature: string; readonly has: boolean; readonly weight: number }[]
  /** What the score makes of the margin: 1 / (1 + exp(-(slope * margin + offset))). */
  readonly slope: number
  readonly offset: number
}

/** Undefined where no training counts, or no event of the visitor's may be seen by a model. */
export async function explainScore(
  store: Store,
  lookalike: AudienceId,
  visitor: VisitorId,
  { nowMs, retentionMs }: { readonly nowMs: number; readonly retentionMs: number },
): Promise<ExplainedScore | undefined> {
  const training = (await readCounting(store)).get(lookalike)
  const named = training && (await readModel(store, training))
  if (!training || !named) return undefined
  const { model, features, numbers } = applicable(training, named)
  const [row] = await store.rows<{ atMs: number }>({
    owner: 'lookalike.scored_at',
    sql: `SELECT toUnixTimestamp64Milli(max(at)) AS atMs FROM madeleine.list_members
          WHERE list = {list:String} AND generation = {generation:UInt64} AND visitor = {visitor:UUID}`,
    values: { list: trainedList(lookalike), generation: training.generation, visitor },
    settings: { log_queries: 0 },
  })
  for (const atMs of [row?.atMs || training.atMs, nowMs]) {
    const sight = await readSight(store, { atMs, nowMs, retentionMs })
    const binder = new Binder()
    const where = modelledSql(sight, ` AND visitor = ${binder.bind('UUID', visitor)}`, binder)
    const [gathered] = await store.rows<{ features: readonly number[] }>({
      owner: 'lookalike.explain',
      sql: `SELECT features FROM (${printGather(runOf(training), where, sight, binder)})`,
      values: binder.values,
      settings: { log_queries: 0 },
    })
    if (!gathered) continue
    const own = new Set(gathered.features)
    const columns = numbers.flatMap((number, column) => (own.has(number) ? [column] : []))
    const { base, parts } = contributions(model, columns)
    const has = new Set(columns)
    const told = [...parts].flatMap(([column, weight]) => {
      const feature = features[column]
      return feature && weight !== 0 ? [{ feature: nameOf(feature), has: has.has(column), weight }] : []
    })
    const margin = [...parts.values()].reduce((sum, part) => sum + part, base)
    return {
      score: scoreOf(model, margin),
      least: training.least,
      trainedAtMs: training.atMs,
      atMs,
      base,
      contributions: told.sort((a, b) => Math.abs(b.weight) - Math.abs(a.weight) || a.feature.localeCompare(b.feature)),
      slope: model.slope,
      offset: model.offset,
    }
  }
  return undefined
}
