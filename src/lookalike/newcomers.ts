// Visitors who came after a training, scored by its model: whoever scores as high as its lowest member becomes one, until the next training looks at everybody again.

import type { AudienceId } from '../core/ids.ts'
import type { Store } from '../engine/store.ts'
import { readGenerations } from '../membership/log.ts'
import type { PassLimits } from '../membership/pass.ts'
import { Binder } from '../rules/binder.ts'
import { numbersOf } from './dictionary.ts'
import { readSight } from './everybody.ts'
import type { Feature } from './families.ts'
import { modelledSql, printGather } from './gather.ts'
import { printScores } from './score.ts'
import { dictionaryOf, type NamedModel, readModel, runOf, type Training } from './trainings.ts'

export type NewcomerOptions = {
  readonly retentionMs: number
  readonly nowMs: number
  /** Those of whom something came in since are looked at; by the engine's clock. */
  readonly sinceMs: number
  /** When the membership shall look at those who were added; undefined: not at all. */
  readonly dueMs: number | undefined
  /** The list that they are written to, where it is not the lookalike's own. */
  readonly listOf?: (id: AudienceId) => string
  readonly limits: PassLimits
}

/** A model with the numbers under which its features are looked up. */
export type Applicable = NamedModel & { readonly numbers: readonly number[] }

export function applicable(training: Training, { model, features }: NamedModel): Applicable {
  const numberOf = numbersOf(dictionaryOf(training, features))
  return { model, features, numbers: features.map((feature: Feature) => numberOf(feature) ?? 0) }
}

export type Applied = ReadonlyMap<AudienceId, { readonly training: Training; readonly applied: Applicable }>

/** The models whose members count now. `known`: those that were read before, which need not be read again. */
export async function readApplied(store: Store, trainings: Iterable<Training>, known: Applied): Promise<Applied> {
  const generations = await readGenerations(store)
  const applied = new Map<AudienceId, { training: Training; applied: Applicable }>()
  for (const training of trainings) {
    const { lookalike, outcome, generation } = training
    if (outcome !== 'trained' || generations.get(lookalike) !== generation) continue
    const before = known.get(lookalike)
    const model = before?.training.generation === generation ? undefined : await readModel(store, training)
    if (model) applied.set(lookalike, { training, applied: applicable(training, model) })
    else if (before?.training.generation === generation) applied.set(lookalike, before)
  }
  return applied
}

/** Answers how many were added to all of them together. */
export async function addNewcomers(store: Store, models: Applied, options: NewcomerOptions): Promise<number> {
  if (models.size === 0) return 0
  const { sinceMs, nowMs } = options
  const [row] = await store.rows<{ nowMs: number; some: number }>({
    owner: 'lookalike.arrived',
    sql: `SELECT count() AS some FROM (SELECT 1 FROM madeleine.events WHERE received > fromUnixTimestamp64Milli({since:Int64}, 'UTC') LIMIT 1)`,
    values: { since: sinceMs },
  })
  if ((row?.some ?? 0) === 0) return 0
  const sight = await readSight(store, { atMs: nowMs, retentionMs: options.retentionMs })
  let added = 0
  for (const { training, applied } of models.values()) added += await addTo(store, training, applied, sight, options)
  return added
}

async function addTo(
  store: Store,
  training: Training,
  applied: Applicable,
  sight: Awaited<ReturnType<typeof readSight>>,
  { sinceMs, dueMs, nowMs, retentionMs, limits, listOf }: NewcomerOptions,
): Promise<number> {
  const { lookalike, generation, atMs, least } = training
  const binder = new Binder()
  // Whoever had an event before the training was looked at by it.
  const whom = ` AND visitor IN (
    SELECT visitor FROM madeleine.events WHERE visitor IN (SELECT visitor FROM madeleine.events WHERE received > ${binder.moment(sinceMs)})
    GROUP BY visitor HAVING min(received) > ${binder.moment(atMs)})`
  const gathered = printGather(runOf(training), modelledSql(sight, whom, binder), sight, binder)
  const list = binder.bind('String', lookalike)
  const number = binder.bind('UInt64', String(generation))
  const there = `SELECT visitor FROM madeleine.list_members WHERE list = ${list} AND generation = ${number}`
  await store.run({
    owner: 'lookalike.newcomers',
    sql: `INSERT INTO madeleine.list_members (list, generation, visitor, at, expires, score)
          SELECT ${binder.bind('String', listOf?.(lookalike) ?? lookalike)}, ${number}, visitor, ${binder.moment(nowMs)}, ${binder.moment(atMs + retentionMs)}, score FROM (${printScores(applied, gathered)})
          WHERE score >= ${binder.bind('Float64', least)} AND visitor NOT IN (${there})`,
    values: binder.values,
    settings: {
      log_queries: 0,
      max_memory_usage: limits.memoryBytes,
      max_ast_elements: 10_000_000,
      max_expanded_ast_elements: 10_000_000,
    },
  })
  // Also those of a look that was cut off before this.
  const values = { list: listOf?.(lookalike) ?? lookalike, generation, since: Math.max(atMs, sinceMs) }
  const mine = `madeleine.list_members WHERE list = {list:String} AND generation = {generation:UInt64} AND at > fromUnixTimestamp64Milli({since:Int64}, 'UTC')`
  const [row] = await store.rows<{ added: number }>({
    owner: 'lookalike.newcomers',
    sql: `SELECT count() AS added FROM ${mine}`,
    values,
  })
  const added = row?.added ?? 0
  if (added > 0 && dueMs !== undefined)
    await store.run({
      owner: 'lookalike.newcomers',
      sql: `INSERT INTO madeleine.turns (due, visitor) SELECT fromUnixTimestamp64Milli({due:Int64}, 'UTC'), visitor FROM ${mine}`,
      values: { ...values, due: dueMs },
    })
  return added
}
