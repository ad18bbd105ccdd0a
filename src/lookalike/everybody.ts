// Everybody's features, in a table of the run's own: made once for all lookalikes that are trained together.

import type { Store } from '../engine/store.ts'
import type { Found } from '../membership/backfill.ts'
import { readUncontested } from '../membership/contest.ts'
import type { PassLimits } from '../membership/pass.ts'
import { sliceVisitors } from '../membership/slices.ts'
import { Binder } from '../rules/binder.ts'
import { EVERYBODY, inRange, type Range } from '../rules/print.ts'
import type { Taxonomy } from '../taxonomy/tree.ts'
import { completed, type Dictionary, readValues, writeDictionary } from './dictionary.ts'
import { modelledSql, printGather, type Sight } from './gather.ts'

/** Visitors whose values make the dictionary, and of each seed so many more: what is common in a small seed may be rare among all. */
const SAMPLE_VISITORS = 40_000
const SAMPLE_OF_A_SEED = 2_000
/** Fewer of a sample have no say. */
const VALUE_VISITORS_MIN = 3
/** Measured: 1.6 GiB for two statements of a million events each. */
const EVENTS_A_SLICE = 750_000
const WORKERS = 2

export type Everybody = { readonly dictionary: Dictionary; readonly sight: Sight; readonly visitors: number }

type SightMoment = { readonly atMs: number; readonly retentionMs: number; readonly nowMs?: number }

export async function readSight(store: Store, { nowMs, ...moment }: SightMoment): Promise<Sight> {
  const whole = { ...moment, nowMs: nowMs ?? moment.atMs }
  const uncontested = [await readUncontested(store, whole, 'profile'), await readUncontested(store, whole, 'model')]
  return { ...whole, isUncontested: uncontested.every(Boolean) }
}

/** SQL of the visitors whose values make the dictionary: neighbours in the table's order together, so that little else is read. `seeds`: places among the pass's audiences. */
function sampledSql(pass: bigint, visitors: number, seeds: readonly number[]): string {
  const cluster = 64
  const one = Math.max(1, Math.floor(visitors / SAMPLE_VISITORS))
  const found = `SELECT visitor FROM (SELECT visitor, row_number() OVER (ORDER BY visitor) AS n FROM (SELECT DISTINCT visitor FROM madeleine.evaluated WHERE pass = ${pass})) WHERE intDiv(n, ${cluster}) % ${one} = 0`
  if (one === 1 || seeds.length === 0) return found
  const ofSeeds = `SELECT visitor FROM (SELECT visitor, arrayJoin(arrayIntersect(held, [${seeds.join(', ')}])) AS seed FROM madeleine.evaluated WHERE pass = ${pass}) GROUP BY seed, visitor ORDER BY seed, cityHash64(visitor) LIMIT ${SAMPLE_OF_A_SEED} BY seed`
  return `${found} UNION ALL ${ofSeeds}`
}

export type EverybodyOptions = {
  /** Their numbers, from 1, among the audiences that the pass was made of. */
  readonly seeds: readonly number[]
  readonly taxonomy: Taxonomy
  readonly limits: PassLimits
  readonly onShare: (share: number) => void
}

/** Writes `feature_lookups` and `visitor_features` under the number of the run, which whoever calls drops. */
export async function gatherEverybody(
  store: Store,
  run: bigint,
  { pass, moment }: Found,
  { seeds, taxonomy, limits, onShare }: EverybodyOptions,
): Promise<Everybody> {
  const sight = await readSight(store, moment)
  const [known] = await store.rows<{ visitors: number }>({
    owner: 'lookalike.known',
    sql: 'SELECT uniqExact(visitor) AS visitors FROM madeleine.evaluated WHERE pass = {pass:UInt64}',
    values: { pass },
  })
  const binder = new Binder()
  const sampled = ` AND visitor IN (${sampledSql(pass, known?.visitors ?? 0, seeds)})`
  const where = modelledSql(sight, sampled, binder)
  const values = completed(await readValues(store, { sql: where, values: binder.values }, VALUE_VISITORS_MIN), taxonomy)
  const dictionary: Dictionary = { run, values }
  await writeDictionary(store, dictionary, taxonomy)
  onShare(0.1)
  const slices = await sliceVisitors(store, { eventsASlice: EVENTS_A_SLICE, within: EVERYBODY })
  const queue = [...slices]
  const work = async (): Promise<void> => {
    for (let range = queue.shift(); range; range = queue.shift()) {
      await gatherSlice(store, dictionary, sight, pass, range, limits)
      onShare(0.1 + 0.9 * (1 - queue.length / slices.length))
    }
  }
  const ended = await Promise.allSettled(Array.from({ length: WORKERS }, work))
  for (const end of ended) if (end.status === 'rejected') throw end.reason
  return { dictionary, sight, visitors: known?.visitors ?? 0 }
}

async function gatherSlice(
  store: Store,
  { run }: Dictionary,
  sight: Sight,
  pass: bigint,
  range: Range,
  { memoryBytes }: PassLimits,
): Promise<void> {
  const binder = new Binder()
  const whom = inRange(range)(binder)
  const gathered = printGather(run, modelledSql(sight, whom, binder), sight, binder)
  await store.run({
    owner: 'lookalike.gather',
    sql: `INSERT INTO madeleine.visitor_features (run, visitor, held, events, features)
          SELECT ${run}, visitor, held, events, features FROM (${gathered}) AS gathered
          INNER JOIN (SELECT visitor, any(held) AS held FROM madeleine.evaluated WHERE pass = ${pass}${whom} GROUP BY visitor) AS known USING (visitor)`,
    values: binder.values,
    settings: { log_queries: 0, max_threads: 1, max_memory_usage: Math.floor(memoryBytes / WORKERS) },
  })
}
