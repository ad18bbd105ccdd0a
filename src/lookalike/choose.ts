// Who is chosen of all who were scored: the best, as many as are wanted; and where some were chosen before, not more new ones than the budget of churn lets through.

import type { AudienceId } from '../core/ids.ts'
import type { Store } from '../engine/store.ts'
import { type Reach, trainedList } from '../settings/lookalikes.ts'

/** Whom a training has scored, under its run. `former`: the generation of the list as it stands. */
export type Scored = { readonly run: bigint; readonly lookalike: AudienceId; readonly former: number | undefined }

/** `wanted`: how many the scores alone would replace. */
export type Choice = {
  readonly size: number
  readonly entered: number
  readonly stayed: number
  readonly wanted: number
  readonly budget: number
}

const SCORED = 'madeleine.lookalike_scores WHERE run = {run:UInt64} AND lookalike = {lookalike:String}'
/** Equal scores in an order that says nothing of anybody, and is the same each time. */
const ORDER = 'ORDER BY score DESC, cityHash64(visitor), visitor'
const FORMER = 'SELECT visitor FROM madeleine.list_members WHERE list = {list:String} AND generation = {former:UInt64}'

/** Shares are rounded up; a hair above a whole number is that number (0.55 * 50,000,000 is 27,500,000.000000004). Of some, one at the least. */
export const shareOf = (share: number, pool: number): number =>
  Math.min(pool, Math.max(Math.min(1, pool), Math.ceil(Number((share * pool).toFixed(6)))))

export function wantedSize(reach: Exclude<Reach, { kind: 'score' }>, pool: number): number {
  return reach.kind === 'share' ? shareOf(reach.share, pool) : Math.min(reach.size, pool)
}

const values = ({ run, lookalike, former }: Scored) => ({ run, lookalike, list: trainedList(lookalike), former: former ?? 0 })

async function countPool(store: Store, scored: Scored, least: number): Promise<{ pool: number; above: number; former: number }> {
  const [row] = await store.rows<{ pool: number; above: number; former: number }>({
    owner: 'lookalike.count',
    sql: `SELECT count() AS pool, countIf(score >= {least:Float64}) AS above, countIf(visitor IN (${FORMER})) AS former FROM ${SCORED}`,
    values: { ...values(scored), least },
    settings: { log_queries: 0 },
  })
  return row ?? { pool: 0, above: 0, former: 0 }
}

/** How many of the best are there already. */
async function countStaying(store: Store, scored: Scored, size: number): Promise<number> {
  const [row] = await store.rows<{ stayed: number }>({
    owner: 'lookalike.staying',
    sql: `SELECT countIf(visitor IN (${FORMER})) AS stayed FROM (SELECT visitor FROM ${SCORED} ${ORDER} LIMIT ${size})`,
    values: values(scored),
    settings: { log_queries: 0 },
  })
  return row?.stayed ?? 0
}

export async function choose(store: Store, scored: Scored, reach: Reach, churn: number): Promise<Choice> {
  const { pool, above, former } = await countPool(store, scored, reach.kind === 'score' ? reach.least : 2)
  const size = reach.kind === 'score' ? above : wantedSize(reach, pool)
  if (scored.former === undefined) return { size, entered: size, stayed: 0, wanted: size, budget: size }
  const wanted = size - (await countStaying(store, scored, size))
  // Growing is not replacing: room that the former ones leave is for new ones.
  const budget = Math.max(1, Math.floor(churn * size), size - former)
  if (reach.kind === 'score') {
    // Nobody stays below the score that is asked for: the size floats.
    const entered = Math.min(wanted, budget)
    return { size: size - wanted + entered, entered, stayed: size - wanted, wanted, budget }
  }
  const entered = Math.min(wanted, budget)
  return { size, entered, stayed: size - entered, wanted, budget }
}

/** SQL of the chosen, `(visitor, score)`. */
export function chosenSql({ former }: Scored, { size, entered, stayed, wanted }: Choice): string {
  if (former === undefined || entered === wanted) return `SELECT visitor, score FROM ${SCORED} ${ORDER} LIMIT ${size}`
  return `SELECT visitor, score FROM (SELECT visitor, score FROM ${SCORED} AND visitor NOT IN (${FORMER}) ${ORDER} LIMIT ${entered})
    UNION ALL SELECT visitor, score FROM (SELECT visitor, score FROM ${SCORED} AND visitor IN (${FORMER}) ${ORDER} LIMIT ${stayed})`
}

export const chosenValues = values

/** The score from which somebody new would be among the best: of those who stayed by the budget alone some may be below it. Above every score where nobody is wanted. */
export async function readThreshold(store: Store, scored: Scored, reach: Reach, size: number): Promise<number> {
  if (reach.kind === 'score') return reach.least
  const [row] = await store.rows<{ least: number; found: number }>({
    owner: 'lookalike.threshold',
    sql: `SELECT min(score) AS least, count() AS found FROM (SELECT score FROM ${SCORED} ${ORDER} LIMIT ${size})`,
    values: values(scored),
    settings: { log_queries: 0 },
  })
  return row && row.found > 0 ? row.least : 1
}
