// What one destination must be told about one audience: who to add, who to remove, against what earlier deliveries left there.
// A delivery is prepared in ClickHouse under its number, sent from there, and counts once it is in `delivery_log`. Killed in between, the next one says
// the same again: a repeated add or remove changes nothing at the partner.

import { notForReceiverSql, permittedSql, refusedSinceSql } from '../consent/standing.ts'
import type { AudienceId } from '../core/ids.ts'
import type { Store, Values } from '../engine/store.ts'
import { CURRENT_MEMBERS } from '../membership/current.ts'
import { firstBatchAt } from '../spool/batches.ts'

export type DeliveryKind = 'delta' | 'full'

export type DeliveryTarget = {
  readonly destination: string
  readonly audience: AudienceId
  /** The last one, and its moment. */
  readonly tick: number
  readonly asOfMs: number
  /** The receiving partner in the IAB's vendor list, where it has said who it is. */
  readonly vendorId: number | undefined
}
export type DeliveryMoment = { readonly nowMs: number; readonly retentionMs: number }

export type Changes = {
  /** Members that may be sent: their permissions allow activation. */
  readonly eligible: number
  readonly add: number
  readonly remove: number
  /** Held by the partner before this delivery. */
  readonly held: number
}

/** What was shipped while the tick was already running, or by a collector whose clock is a little behind. */
const SHIPPING_MS = 120_000

const FROM = `fromUnixTimestamp64Milli({from:Int64}, 'UTC')`

/**
 * Members that must not be sent: something that rules may see of them does not permit activation, they took a permission back since the tick, or
 * they named the partners that may receive, and this one is not among them.
 */
const notSent = (hasVendor: boolean): string => `
        SELECT visitor FROM madeleine.events WHERE ts > ${FROM} AND ${permittedSql('profile', FROM)} AND NOT (${permittedSql('activate', FROM)})
        UNION ALL ${refusedSinceSql('activate', `fromUnixTimestamp64Milli({asOf:Int64}, 'UTC')`, '{sinceBatch:UInt64}')}
        ${hasVendor ? `UNION ALL ${notForReceiverSql('{vendor:UInt16}', FROM)}` : ''}`

/**
 * Rows `(visitor, expires, is_wanted, is_held)` of everyone who is wanted or held: wanted as a member who may be sent, held if the last finished delivery
 * that names the visitor was an add.
 */
const sides = (hasVendor: boolean): string => `
  SELECT visitor, max(ends) AS expires, max(as_member) AS is_wanted, max(at_partner) AS is_held FROM (
    SELECT visitor, ends, 1 AS as_member, 0 AS at_partner FROM (${CURRENT_MEMBERS})
    WHERE visitor NOT IN (${notSent(hasVendor)})
    UNION ALL
    SELECT visitor, max(deliveries.expires) AS ends, 0 AS as_member, 1 AS at_partner FROM madeleine.deliveries
    WHERE destination = {destination:String} AND audience = {audience:String}
      AND deliveries.expires > fromUnixTimestamp64Milli({now:Int64}, 'UTC') - INTERVAL 7 DAY AND delivery IN (
      SELECT delivery FROM madeleine.delivery_log WHERE destination = {destination:String} AND audience = {audience:String}
    )
    GROUP BY visitor HAVING argMax(action, delivery) = 'add'
  ) GROUP BY visitor`

const valuesOf = (
  { destination, audience, tick, asOfMs, vendorId }: DeliveryTarget,
  { nowMs, retentionMs }: DeliveryMoment,
): Values => ({
  destination,
  audience,
  tick,
  asOf: asOfMs,
  sinceBatch: firstBatchAt(asOfMs - SHIPPING_MS),
  ...(vendorId === undefined ? {} : { vendor: vendorId }),
  now: nowMs,
  from: nowMs - retentionMs,
})

export async function readChanges(store: Store, target: DeliveryTarget, moment: DeliveryMoment): Promise<Changes> {
  const [row] = await store.rows<Changes>({
    owner: 'activate.changes',
    sql: `SELECT countIf(is_wanted) AS eligible, countIf(is_wanted AND NOT is_held) AS add, countIf(is_held AND NOT is_wanted) AS remove, countIf(is_held) AS held FROM (${sides(target.vendorId !== undefined)})`,
    values: valuesOf(target, moment),
  })
  return row ?? { eligible: 0, add: 0, remove: 0, held: 0 }
}

/** `adds: false` prepares the removals only. A full delivery adds everyone who is wanted, held or not. */
export async function prepareDelivery(
  store: Store,
  delivery: number,
  target: DeliveryTarget,
  moment: DeliveryMoment,
  what: { readonly kind: DeliveryKind; readonly adds: boolean },
): Promise<void> {
  const add = !what.adds ? '0' : what.kind === 'full' ? 'is_wanted' : 'is_wanted AND NOT is_held'
  await store.run({
    owner: 'activate.prepare',
    sql: `INSERT INTO madeleine.deliveries (delivery, destination, audience, visitor, action, expires)
          SELECT {delivery:UInt64}, {destination:String}, {audience:String}, visitor, if(is_wanted, 'add', 'remove'), expires
          FROM (${sides(target.vendorId !== undefined)}) WHERE (${add}) OR (is_held AND NOT is_wanted)`,
    values: { ...valuesOf(target, moment), delivery },
  })
}

/** The highest number any delivery was given, finished or not; 0 where there is none. */
export async function readLastDelivery(store: Store): Promise<number> {
  const [row] = await store.rows<{ last: number }>({
    owner: 'activate.last',
    sql: 'SELECT max(number) AS last FROM (SELECT max(delivery) AS number FROM madeleine.deliveries UNION ALL SELECT max(delivery) FROM madeleine.delivery_log)',
  })
  return row?.last ?? 0
}

/** What a prepared delivery says, counted from its rows. */
export async function readWritten(
  store: Store,
  delivery: number,
  { destination, audience }: DeliveryTarget,
): Promise<{ added: number; removed: number }> {
  const [row] = await store.rows<{ added: number; removed: number }>({
    owner: 'activate.written',
    sql: `SELECT countIf(action = 'add') AS added, countIf(action = 'remove') AS removed FROM madeleine.deliveries
          WHERE destination = {destination:String} AND audience = {audience:String} AND delivery = {delivery:UInt64}`,
    values: { destination, audience, delivery },
  })
  return row ?? { added: 0, removed: 0 }
}

export type DeliveryRow = { readonly visitor: string; readonly action: 'add' | 'remove' }

/** The prepared rows in pages, by visitor. */
export async function* readDelivery(
  store: Store,
  delivery: number,
  { destination, audience }: DeliveryTarget,
  pageRows: number,
): AsyncGenerator<DeliveryRow[]> {
  let after: string | undefined
  for (;;) {
    const rows = await store.rows<DeliveryRow>({
      owner: 'activate.read',
      sql: `SELECT toString(visitor) AS visitor, action FROM madeleine.deliveries
            WHERE destination = {destination:String} AND audience = {audience:String} AND delivery = {delivery:UInt64}
              ${after === undefined ? '' : 'AND deliveries.visitor > {after:UUID}'}
            ORDER BY deliveries.visitor LIMIT {limit:UInt32}`,
      values: { destination, audience, delivery, limit: pageRows, ...(after === undefined ? {} : { after }) },
      settings: { log_queries: 0 }, // `after` is a visitor, and a server's query_log may outlive retention
    })
    if (rows.length > 0) yield rows
    if (rows.length < pageRows) return
    after = rows.at(-1)?.visitor
  }
}

export async function commitDelivery(
  store: Store,
  delivery: number,
  { destination, audience }: DeliveryTarget,
  done: { readonly kind: DeliveryKind; readonly added: number; readonly removed: number; readonly atMs: number },
): Promise<void> {
  await store.insertLines({
    owner: 'activate.commit',
    into: 'madeleine.delivery_log (delivery, destination, audience, kind, added, removed, at)',
    lines: Buffer.from(
      `${JSON.stringify({ delivery, destination, audience, kind: done.kind, added: done.added, removed: done.removed, at: done.atMs })}\n`,
    ),
  })
}
