// What a pass found against what was written before: what differs is counted, or becomes transitions.

import { refusalsSql } from '../consent/standing.ts'
import type { AudienceId } from '../core/ids.ts'
import type { Store, Values } from '../engine/store.ts'
import { Binder } from '../rules/binder.ts'
import { EVERYBODY, inRange, type Range } from '../rules/print.ts'
import { ARRIVED, type Arrivals } from './arrivals.ts'
import type { Found } from './backfill.ts'
import type { Audience } from './pass.ts'
import { LEFT_OUTLIVES_MS, renewedBeforeMs } from './touched.ts'

/** Pairs of visitor and audience that are compared at once. */
const PAIRS_A_SLICE = 4_000_000

/** Ranges of visitors with about so many pairs each, which together hold everybody. */
async function slices(store: Store, { pass }: Found): Promise<Range[]> {
  const [row] = await store.rows<{ pairs: number; sample: string[] }>({
    owner: 'membership.slices',
    sql: `SELECT sum(length(held)) AS pairs, arrayMap(id -> toString(id), arraySort(groupArraySample(10000, 1)(visitor))) AS sample
          FROM madeleine.evaluated WHERE pass = {number:UInt64}`,
    values: { number: pass },
  })
  const { pairs = 0, sample = [] } = row ?? {}
  const count = Math.max(1, Math.ceil(pairs / PAIRS_A_SLICE))
  const ends = Array.from({ length: count - 1 }, (_, n) => sample[Math.floor(((n + 1) * sample.length) / count)])
  const cuts = [undefined, ...new Set(ends.filter((end) => end !== undefined && end !== sample[0])), undefined]
  return cuts.slice(1).map((to, n) => ({ from: cuts[n], to }))
}

/** What is compared with the pass: everything that is written, or what was up to a tick; of everybody, or all but those of whom blocks are. */
export type Compared = { readonly upToTick?: number; readonly except?: Pick<Arrivals, 'sinceMs' | 'fresh'> }

/** Rows `(name, visitor, is_in, was_in, ends, old_ends, old_latest)` of everybody who is or was in one of the audiences. */
function comparedSql({ pass, audiences }: Found, range: Range, { upToTick, except }: Compared): { sql: string; values: Values } {
  const binder = new Binder()
  const names = binder.bind(
    'Array(String)',
    audiences.map(({ id }) => id),
  )
  const others = except && except.fresh.length > 0 ? ` AND visitor NOT IN (${ARRIVED})` : ''
  const among = `${inRange(range)(binder)}${others}`
  const upTo = upToTick === undefined ? '' : ` AND tick <= ${binder.bind('UInt64', String(upToTick))}`
  const sql = `SELECT name, visitor, max(now_in) AS is_in, max(before_in) AS was_in, max(end_now) AS ends, max(end_before) AS old_ends, max(end_latest) AS old_latest
    FROM (
      SELECT ${names}[arrayJoin(held)] AS name, visitor, 1 AS now_in, 0 AS before_in, expires AS end_now,
        toDateTime64(0, 3, 'UTC') AS end_before, toDateTime64(0, 3, 'UTC') AS end_latest
      FROM madeleine.evaluated WHERE pass = ${binder.bind('UInt64', String(pass))}${among}
      UNION ALL
      SELECT audience AS name, visitor, 0 AS now_in, argMax(kind, tick) != 'left' AS before_in, toDateTime64(0, 3, 'UTC') AS end_now,
        argMax(expires, tick) AS end_before, maxIf(expires, kind != 'left') AS end_latest
      FROM madeleine.transitions WHERE audience IN ${names}${upTo}${among} GROUP BY audience, visitor
    ) GROUP BY name, visitor`
  return {
    sql,
    values: others === '' ? binder.values : { ...binder.values, since: except?.sinceMs ?? 0, some: except?.fresh ?? [] },
  }
}

export type Difference = { readonly entered: number; readonly left: number }

/** Of each audience, what the pass says against what is written. Nothing is changed. */
export async function readDifferences(store: Store, found: Found, compared: Compared): Promise<Map<AudienceId, Difference>> {
  const total = new Map<AudienceId, Difference>()
  for (const range of await slices(store, found)) {
    const { sql, values } = comparedSql(found, range, compared)
    const rows = await store.rows<Difference & { name: AudienceId }>({
      owner: 'membership.differences',
      sql: `SELECT name, countIf(is_in AND NOT was_in) AS entered, countIf(was_in AND NOT is_in) AS left FROM (${sql}) GROUP BY name`,
      values,
      settings: { log_queries: 0 },
    })
    for (const { name, entered, left } of rows) {
      const sum = total.get(name) ?? { entered: 0, left: 0 }
      total.set(name, { entered: sum.entered + entered, left: sum.left + left })
    }
  }
  return total
}

/** Some of those of whom the pass says something else than what is written. */
export async function readDiffering(store: Store, found: Found, compared: Compared, id: AudienceId): Promise<string[]> {
  const { sql, values } = comparedSql(found, EVERYBODY, compared)
  const rows = await store.rows<{ id: string }>({
    owner: 'membership.differing',
    sql: `SELECT toString(visitor) AS id FROM (${sql}) WHERE name = {name:String} AND is_in != was_in LIMIT 5`,
    values: { ...values, name: id },
    settings: { log_queries: 0 },
  })
  return rows.map((row) => row.id)
}

/** `versions`: of each audience. */
type Writing = { readonly tick: number; readonly versions: ReadonlyMap<AudienceId, number> }

/** Values of a row of `transitions` up to the visitor's. */
const ROW_BEGINS = `{tick:UInt64}, fromUnixTimestamp64Milli({at:Int64}, 'UTC'), name,
              transform(toString(name), {ids:Array(String)}, arrayMap(v -> toUInt32(v), {versions:Array(String)}), toUInt32(0)), visitor`
const rowValues = ({ audiences, moment }: Found, { tick, versions }: Writing): Values => ({
  tick,
  at: moment.atMs,
  ids: audiences.map(({ id }) => id),
  versions: audiences.map(({ id }) => String(versions.get(id) ?? 0)),
})

async function isAnyWritten(store: Store, audiences: readonly Audience[]): Promise<boolean> {
  const rows = await store.rows({
    owner: 'membership.written',
    sql: 'SELECT 1 FROM madeleine.transitions WHERE audience IN {ids:Array(String)} LIMIT 1',
    values: { ids: audiences.map(({ id }) => id) },
  })
  return rows.length > 0
}

/** Where nothing was written before, everybody whom the pass found has entered. A visitor may be found twice (pass.ts). */
async function writeEverybody(store: Store, found: Found, writing: Writing, range: Range): Promise<void> {
  const binder = new Binder()
  const among = inRange(range)(binder)
  await store.run({
    owner: 'membership.differences',
    settings: { log_queries: 0, optimize_aggregation_in_order: 1 },
    sql: `INSERT INTO madeleine.transitions (tick, at, audience, version, visitor, kind, expires)
          SELECT ${ROW_BEGINS}, 'entered', ends FROM (
            SELECT {ids:Array(String)}[arrayJoin(holding)] AS name, visitor, ends FROM (
              SELECT visitor, any(held) AS holding, any(expires) AS ends FROM madeleine.evaluated WHERE pass = {pass:UInt64} AND notEmpty(held)${among} GROUP BY visitor
            )
          )`,
    values: { ...binder.values, ...rowValues(found, writing), pass: found.pass },
  })
}

async function writeTransitions(store: Store, found: Found, writing: Writing): Promise<void> {
  const { moment } = found
  const renewedMs = renewedBeforeMs(moment.retentionMs)
  const isNew = !(await isAnyWritten(store, found.audiences))
  for (const range of await slices(store, found)) {
    if (isNew) {
      await writeEverybody(store, found, writing, range)
      continue
    }
    const { sql, values } = comparedSql(found, range, {})
    const renewed = moment.atMs + renewedMs
    // First when to renew what goes on: the transitions that follow change what is compared.
    await store.run({
      owner: 'membership.renewals',
      sql: `INSERT INTO madeleine.turns (due, visitor)
            SELECT DISTINCT old_ends - toIntervalMillisecond({before:UInt64}), visitor FROM (${sql})
            WHERE is_in AND was_in AND ends > old_ends AND old_ends >= fromUnixTimestamp64Milli({renewed:Int64}, 'UTC')`,
      values: { ...values, before: renewedMs, renewed },
      settings: { log_queries: 0 },
    })
    await store.run({
      owner: 'membership.differences',
      settings: { log_queries: 0 },
      sql: `INSERT INTO madeleine.transitions (tick, at, audience, version, visitor, kind, expires)
            SELECT ${ROW_BEGINS},
              if(is_in, if(was_in, 'stays', 'entered'), 'left'), if(is_in, ends, old_latest + toIntervalMillisecond({outlives:UInt64}))
            FROM (${sql}) WHERE is_in != was_in OR is_in AND was_in AND ends > old_ends AND old_ends < fromUnixTimestamp64Milli({renewed:Int64}, 'UTC')`,
      values: { ...values, ...rowValues(found, writing), outlives: LEFT_OUTLIVES_MS, renewed },
    })
  }
}

/** Beside what the pass saw: events of the future begin to count, and what cannot be seen now may be seen once a refusal has left retention. */
async function writeTurns(store: Store, { pass, moment: { atMs, retentionMs } }: Found): Promise<void> {
  await store.run({
    owner: 'membership.turns',
    sql: `INSERT INTO madeleine.turns (due, visitor)
          SELECT turns, visitor FROM madeleine.evaluated WHERE pass = {number:UInt64}
          UNION ALL SELECT ts, visitor FROM madeleine.events WHERE ts > fromUnixTimestamp64Milli({at:Int64}, 'UTC')
          UNION ALL SELECT ts + toIntervalMillisecond({retention:UInt64}), visitor FROM (${refusalsSql('profile', "fromUnixTimestamp64Milli({from:Int64}, 'UTC')")})`,
    values: { number: pass, at: atMs, from: atMs - retentionMs, retention: retentionMs },
  })
}

/** What differs, as transitions of a tick; and when each visitor must be looked at again. */
export async function writeDifferences(store: Store, found: Found, writing: Writing): Promise<void> {
  // Where one fails the other is waited for: what the pass found is put away afterwards, and against nothing everybody would have left.
  const ended = await Promise.allSettled([writeTurns(store, found), writeTransitions(store, found, writing)])
  for (const end of ended) if (end.status === 'rejected') throw end.reason
}
