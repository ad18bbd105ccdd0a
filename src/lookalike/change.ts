// What a training changed: who came and went against the members before, by the features that tell them apart, and what keeping to the budget of churn has cost.

import type { Store } from '../engine/store.ts'
import { type Choice, chosenSql, chosenValues, type Scored } from './choose.ts'
import { nameOf } from './families.ts'
import type { Learned } from './learn.ts'
import type { TrainingReport } from './trainings.ts'

export type Change = NonNullable<TrainingReport['change']>

const FEATURES_TOLD = 10

/** Mean odds of the chosen: how many times as often as in the pool the seed's kind is among them, by the scores. */
async function readOdds(store: Store, scored: Scored, chosen: string): Promise<number> {
  const [row] = await store.rows<{ odds: number }>({
    owner: 'lookalike.odds',
    sql: `SELECT avg(score / greatest(1e-9, 1 - score)) AS odds FROM (${chosen})`,
    values: chosenValues(scored),
    settings: { log_queries: 0 },
  })
  return row?.odds ?? 0
}

/** Undefined where there was nobody before. */
export async function readChange(store: Store, scored: Scored, choice: Choice, learned: Learned): Promise<Change | undefined> {
  if (scored.former === undefined) return undefined
  const chosen = chosenSql(scored, choice)
  const best = chosenSql({ ...scored, former: undefined }, { ...choice, entered: choice.size, stayed: 0 })
  const former = 'SELECT visitor FROM madeleine.list_members WHERE list = {list:String} AND generation = {former:UInt64}'
  const rows = await store.rows<{ number: number; came: number; went: number }>({
    owner: 'lookalike.change',
    sql: `SELECT arrayJoin(arrayPushBack(features, toUInt32(0))) AS number, countIf(is_in) AS came, countIf(NOT is_in) AS went
          FROM (SELECT features, visitor IN (SELECT visitor FROM (${chosen})) AS is_in, visitor IN (${former}) AS was_in
                FROM madeleine.visitor_features WHERE run = {run:UInt64})
          WHERE is_in != was_in GROUP BY number`,
    values: chosenValues(scored),
    settings: { log_queries: 0 },
  })
  const everyone = rows.find(({ number }) => number === 0)
  const entered = everyone?.came ?? 0
  const left = everyone?.went ?? 0
  const { weights } = learned
  const columns = new Map(learned.numbers.map((number, n) => [number, n]))
  const told = rows
    .flatMap(({ number, came, went }) => {
      const column = columns.get(number)
      const feature = column === undefined ? undefined : learned.features[column]
      if (!feature || column === undefined) return []
      const shares = { entered: came / Math.max(1, entered), left: went / Math.max(1, left) }
      return [
        {
          name: nameOf(feature),
          visitors: came + went,
          ...shares,
          matters: Math.abs((shares.entered - shares.left) * (weights[column] ?? 0)),
        },
      ]
    })
    .sort((a, b) => b.matters - a.matters || a.name.localeCompare(b.name))
    .slice(0, FEATURES_TOLD)
    .map(({ matters: _, ...feature }) => feature)
  const odds = { own: await readOdds(store, scored, chosen), best: await readOdds(store, scored, best) }
  return {
    entered,
    left,
    wanted: choice.wanted,
    budget: choice.budget,
    liftKept: odds.best > 0 ? odds.own / odds.best : 1,
    features: told,
  }
}
