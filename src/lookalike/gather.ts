// Visitors as features: the one place where the engine makes them of events, for a training's everybody, for visitors who came after it, and for the explanation
// of one.

import { ownPermissionSql, permittedSql } from '../consent/standing.ts'
import type { Binder } from '../rules/binder.ts'
import { LEVEL_SHIFT } from './dictionary.ts'
import { CATEGORY_TIERS, EVENT_FAMILIES, type Family, LEVELS, STEPS, tierPlace, VISITOR_FAMILIES } from './families.ts'

export type Sight = {
  readonly atMs: number
  /** Events at or before this, less retention, are due and invisible, whatever `atMs` is. */
  readonly nowMs: number
  readonly retentionMs: number
  /** Nobody has refused what the model needs: each event's own permissions stand. */
  readonly isUncontested: boolean
}

/** Values that one visitor's events bring, at most: beyond this it is a robot's. */
const VALUES_A_VISITOR = 8_192

/** Condition on the events that a model may see, as consent stands. `whom`: SQL ` AND ...` on the visitor. */
export function modelledSql({ atMs, nowMs, retentionMs, isUncontested }: Sight, whom: string, binder: Binder): string {
  const from = binder.moment(Math.max(atMs, nowMs) - retentionMs)
  const permitted = (permission: 'profile' | 'model') =>
    isUncontested ? ownPermissionSql(permission) : permittedSql(permission, from, whom)
  return `ts > ${from} AND ts <= ${binder.moment(atMs)}${whom} AND ${permitted('profile')} AND ${permitted('model')}`
}

/** Looked up in the table of the run; 0 for what is no feature. The arrays are read once a statement. */
function numberSql(value: string, place: string, run: string): string {
  const told = (column: string) =>
    `(SELECT groupArray(${column}) FROM (SELECT value, id FROM madeleine.feature_lookups WHERE run = ${run} AND place = '${place}' ORDER BY id, value))`
  // An empty dictionary is no argument of transform.
  return `transform(${value}, arrayPushBack(${told('value')}, ''), arrayPushBack(${told('id')}, toUInt32(0)), toUInt32(0))`
}

function brought({ kind, values, isList }: Family, run: string): string[] {
  if (kind === 'category')
    return [
      `arrayDistinct(arrayConcat(${Array.from({ length: CATEGORY_TIERS }, (_, tier) => `arrayMap(one -> ${numberSql('toString(one)', tierPlace(tier), run)}, ${values})`).join(', ')}))`,
    ]
  return isList ? [`arrayMap(one -> ${numberSql('toString(one)', kind, run)}, ${values})`] : [`[${numberSql(values, kind, run)}]`]
}

/**
 * Rows `(visitor UUID, events UInt64, features Array(UInt32))` of the visitors that have an event the model may see; the numbers are those of the run's dictionary, sorted.
 * `where`: SQL of `modelledSql`.
 */
export function printGather(run: bigint, where: string, { atMs }: Sight, binder: Binder): string {
  const runSql = binder.bind('UInt64', String(run))
  const of = (isCounted: boolean) =>
    EVENT_FAMILIES.filter((family) => family.isCounted === isCounted).flatMap((family) => brought(family, runSql))
  const steps = VISITOR_FAMILIES.map(
    ({ kind, sql }) =>
      `arrayMap(step -> ${numberSql('toString(step)', kind, runSql)}, arrayFilter(step -> step <= ${sql}, [${STEPS.join(', ')}]))`,
  )
  const levels = `[${LEVELS.join(', ')}]`
  // Numbers of one level, so that what uses another's name is not written out in it.
  return `SELECT visitor, events,
    arraySort(arrayDistinct(arrayFilter(number -> number > 0, arrayConcat(once,
      arrayMap((number, times) -> toUInt32(number + bitShiftLeft(toUInt32(indexOf(${levels}, times) - 1), ${LEVEL_SHIFT})), kept, kept_times),
      ${steps.join(',\n      ')})))) AS features
  FROM (
    SELECT *, arrayFilter((number, times) -> has(${levels}, times), counted, times) AS kept,
      arrayFilter(times -> has(${levels}, times), times) AS kept_times
    FROM (
      SELECT *, arrayEnumerateUniq(counted) AS times FROM (
        SELECT visitor, count() AS events, uniqExact(intDiv(ms, 86400000)) AS days, uniqExact(page) AS pages,
          intDiv(${binder.bind('Int64', atMs)} - max(ms), 86400000) AS idle,
          groupUniqArrayArray(own) AS once,
          groupArrayArray(${VALUES_A_VISITOR})(many) AS counted
        FROM (
          SELECT visitor, toUnixTimestamp64Milli(ts) AS ms, cityHash64(host, path) AS page,
            arrayConcat(${of(false).join(',\n              ')}) AS own,
            arrayFilter(number -> number > 0, arrayConcat(${of(true).join(',\n              ')})) AS many
          FROM madeleine.events WHERE ${where}
        ) GROUP BY visitor
      )
    )
  )`
}
