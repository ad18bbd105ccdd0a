// Between trainings: visitors who came after one are scored by its model, and whoever scores as high as is asked for becomes a member; whoever takes back a consent is
// scored by nobody any more, and stops being one.

import { refusedSinceSql } from '../consent/standing.ts'
import type { AudienceId } from '../core/ids.ts'
import type { Store, Values } from '../engine/store.ts'
import type { PassLimits } from '../membership/pass.ts'
import { Binder } from '../rules/binder.ts'
import { type LookalikeSettings, trainedList } from '../settings/lookalikes.ts'
import { firstBatchAt } from '../spool/batches.ts'
import { numbersOf } from './dictionary.ts'
import { readSight } from './everybody.ts'
import type { Feature } from './families.ts'
import { modelledSql, printGather, type Sight } from './gather.ts'
import { printScores } from './score.ts'
import { dictionaryOf, type NamedModel, readCounting, readModel, runOf, type Training } from './trainings.ts'

/** A model with the numbers under which its features are looked up. */
export type Applicable = NamedModel & { readonly numbers: readonly number[] }

export function applicable(training: Training, { model, features }: NamedModel): Applicable {
  const numberOf = numbersOf(dictionaryOf(training, features))
  return { model, features, numbers: features.map((feature: Feature) => numberOf(feature) ?? 0) }
}

export type One = { readonly lookalike: LookalikeSettings; readonly training: Training; readonly applied: Applicable }
export type Applied = ReadonlyMap<AudienceId, One>

/** The models whose members count. `known`: those that were read before, which need not be read again. */
export async function readApplied(
  store: Store,
  lookalikes: ReadonlyMap<AudienceId, LookalikeSettings>,
  known: Applied,
): Promise<Applied> {
  const applied = new Map<AudienceId, One>()
  for (const [id, training] of await readCounting(store)) {
    const lookalike = lookalikes.get(id)
    if (!lookalike) continue
    const before = known.get(id)
    if (before?.training.generation === training.generation) applied.set(id, { ...before, lookalike })
    else {
      const model = await readModel(store, training)
      if (model) applied.set(id, { lookalike, training, applied: applicable(training, model) })
    }
  }
  return applied
}

export type LookOptions = {
  readonly retentionMs: number
  readonly nowMs: number
  readonly limits: PassLimits
  /** Something came in since, by the engine's clock; undefined: whatever came in since the training. */
  readonly sinceMs: number | undefined
  /** The list that newcomers are written to, where it is not the lookalike's own. */
  readonly list?: string
}

const settingsOf = ({ limits }: LookOptions) => ({
  log_queries: 0,
  max_threads: 1,
  max_memory_usage: limits.memoryBytes,
  max_ast_elements: 10_000_000,
  max_expanded_ast_elements: 10_000_000,
})

export const readLookSight = (store: Store, { nowMs, retentionMs }: LookOptions): Promise<Sight> =>
  readSight(store, { atMs: nowMs, retentionMs })

const sinceOf = ({ training }: One, { sinceMs }: LookOptions): number => Math.max(training.atMs, sinceMs ?? 0)

/** Answers how many were added. */
export async function addNewcomers(store: Store, one: One, sight: Sight, options: LookOptions): Promise<number> {
  const { lookalike, training, applied } = one
  const { nowMs, retentionMs } = options
  const { generation, atMs, least } = training
  const own = trainedList(lookalike.id)
  const into = options.list ?? own
  const binder = new Binder()
  // Whoever had an event before the training was looked at by it.
  const whom = ` AND visitor IN (
    SELECT visitor FROM madeleine.events WHERE visitor IN (SELECT visitor FROM madeleine.events WHERE received > ${binder.moment(sinceOf(one, options))})
    GROUP BY visitor HAVING min(received) > ${binder.moment(atMs)})`
  const gathered = printGather(runOf(training), modelledSql(sight, whom, binder), sight, binder)
  const number = binder.bind('UInt64', String(generation))
  const there = `SELECT visitor FROM madeleine.list_members WHERE list = ${binder.bind('String', own)} AND generation = ${number}`
  const room = await roomIn(store, one)
  if (room === 0) return 0
  await store.run({
    owner: 'lookalike.newcomers',
    sql: `INSERT INTO madeleine.list_members (list, generation, visitor, at, expires, score)
          SELECT ${binder.bind('String', into)}, ${number}, visitor, ${binder.moment(nowMs)}, ${binder.moment(atMs + retentionMs)}, score FROM (${printScores(applied, gathered)})
          WHERE score >= ${binder.bind('Float64', least)} AND visitor NOT IN (${there})
          ORDER BY score DESC, cityHash64(visitor), visitor${room === undefined ? '' : ` LIMIT ${room}`}`,
    values: binder.values,
    settings: settingsOf(options),
  })
  const [row] = await store.rows<{ added: number }>({
    owner: 'lookalike.newcomers',
    sql: `SELECT count() AS added FROM madeleine.list_members
          WHERE list = {list:String} AND generation = {generation:UInt64} AND at = fromUnixTimestamp64Milli({at:Int64}, 'UTC')`,
    values: { list: into, generation, at: nowMs },
  })
  return row?.added ?? 0
}

/** Of a number that is asked for, what is left. Undefined: as many as come. */
async function roomIn(store: Store, { lookalike, training }: One): Promise<number | undefined> {
  if (lookalike.reach.kind !== 'size') return undefined
  const [row] = await store.rows<{ members: number }>({
    owner: 'lookalike.room',
    sql: 'SELECT uniqExact(visitor) AS members FROM madeleine.list_members WHERE list = {list:String} AND generation = {generation:UInt64}',
    values: { list: trainedList(lookalike.id), generation: training.generation },
  })
  return Math.max(0, lookalike.reach.size - (row?.members ?? 0))
}

/** Members who have refused models or profiles since the training, at any source: what they were scored by may no longer be used. */
export function refusersSql({ lookalike, training: { atMs, generation } }: One): {
  readonly sql: string
  readonly values: Values
} {
  const since = "fromUnixTimestamp64Milli({since:Int64}, 'UTC')"
  const refused = (['model', 'profile'] as const).map((permission) => refusedSinceSql(permission, since, '{sinceBatch:UInt64}'))
  return {
    sql: `SELECT visitor FROM madeleine.list_members
          WHERE list = {list:String} AND generation = {generation:UInt64} AND visitor IN (${refused.join(' UNION ALL ')})`,
    values: { list: trainedList(lookalike.id), generation, since: atMs, sinceBatch: String(firstBatchAt(atMs)) },
  }
}

export async function countRefusers(store: Store, one: One): Promise<number> {
  const { sql, values } = refusersSql(one)
  const [row] = await store.rows<{ n: number }>({
    owner: 'lookalike.refusers',
    sql: `SELECT count() AS n FROM (${sql})`,
    values,
    settings: { log_queries: 0 },
  })
  return row?.n ?? 0
}

/** Answers how many stopped being members. `dueMs`: when the membership shall look at them. */
export async function dropRefusers(store: Store, one: One, dueMs: number): Promise<number> {
  const refusers = await countRefusers(store, one)
  if (refusers === 0) return 0
  const { sql, values } = refusersSql(one)
  await store.run({
    owner: 'lookalike.refusers',
    sql: `INSERT INTO madeleine.turns (due, visitor) SELECT fromUnixTimestamp64Milli({due:Int64}, 'UTC'), visitor FROM (${sql})`,
    values: { ...values, due: dueMs },
  })
  await store.run({
    owner: 'lookalike.refusers',
    sql: `DELETE FROM madeleine.list_members WHERE list = {list:String} AND generation = {generation:UInt64} AND visitor IN (${sql})`,
    values,
  })
  return refusers
}

/** Those who were added since the last look, also by one that was cut off before it told the membership. */
export async function tellMembership(store: Store, one: One, options: LookOptions, dueMs: number): Promise<void> {
  await store.run({
    owner: 'lookalike.turns',
    sql: `INSERT INTO madeleine.turns (due, visitor) SELECT fromUnixTimestamp64Milli({due:Int64}, 'UTC'), visitor FROM madeleine.list_members
          WHERE list = {list:String} AND generation = {generation:UInt64} AND at > fromUnixTimestamp64Milli({since:Int64}, 'UTC')`,
    values: {
      list: trainedList(one.lookalike.id),
      generation: one.training.generation,
      since: sinceOf(one, options),
      due: dueMs,
    },
  })
}
