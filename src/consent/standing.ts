// What a visitor's permissions are now. The newest signal of a visitor at a source governs all of the visitor's events there, and a signal under
// `*` (the opt-out page) governs everything. Events without a signal of their own (imports under a source's defaults, hits that an operator lets in)
// are governed too, but say nothing about others. Of signals of one millisecond the strictest counts.
// The same in memory (`standingOf`) and in SQL (`permittedSql`); test/property holds them together.

import type { VisitorId } from '../core/ids.ts'
import {
  bitOf,
  isSignalled,
  LIMITED_BIT,
  type Permission,
  type PermissionSet,
  permits,
  SIGNALLED_BIT,
} from '../core/permissions.ts'
import type { Event } from '../event/event.ts'

/** The source that stands for all of them. No source can be called so. */
export const EVERYWHERE = '*'

export type ConsentSignal = {
  readonly tsMs: number
  readonly visitor: VisitorId
  readonly source: string
  readonly permissions: PermissionSet
  readonly receivers: readonly number[]
}

type Signal = { readonly tsMs: number; readonly source: string; readonly permissions: PermissionSet }

function newest(signals: readonly Signal[], source: string, permission: Permission): boolean | undefined {
  const here = signals.filter((signal) => signal.source === source)
  if (here.length === 0) return undefined
  // Not by spreading: a robot's hundred thousand signals are too many arguments.
  const last = here.reduce((latest, { tsMs }) => Math.max(latest, tsMs), Number.NEGATIVE_INFINITY)
  return here.filter(({ tsMs }) => tsMs === last).every(({ permissions }) => permits(permissions, permission))
}

/**
 * The events of one visitor that permit something as things stand. `events`: all of the visitor's events inside retention, whatever moment is asked
 * about, because consent that was withdrawn later is withdrawn. `said`: what the visitor said besides.
 */
export function standingOf(events: readonly Event[], permission: Permission, said: readonly ConsentSignal[] = []): Event[] {
  const signals: Signal[] = [
    ...said,
    ...events
      .filter(({ permissions }) => isSignalled(permissions))
      .map(({ ts, source, permissions }) => ({ tsMs: ts, source, permissions })),
  ]
  if (newest(signals, EVERYWHERE, permission) === false) return []
  const bySource = new Map<string, boolean | undefined>()
  return events.filter(({ source, permissions }) => {
    if (!bySource.has(source)) bySource.set(source, newest(signals, source, permission))
    const says = bySource.get(source)
    if (says === false) return false
    return isSignalled(permissions) || permits(permissions, permission)
  })
}

/**
 * Visitors and sources at which some signal refuses, with what the newest one says: `(visitor, source, allows)`. Everywhere else all signals agree, and a
 * row's own permissions are the visitor's: the table is small, and most of it is never read. `from`: SQL of the moment at which retention begins.
 */
function contestedSql(permission: Permission, from: string, among: string): string {
  const bit = `bitTest(permissions, ${bitOf(permission)})`
  return `SELECT visitor, source, argMax(says, (at, 1 - says)) AS allows FROM (
    SELECT visitor, source, ts AS at, ${bit} AS says FROM madeleine.events
    WHERE ts > ${from}${among} AND bitTest(permissions, ${SIGNALLED_BIT}) AND (visitor, source) IN (
      SELECT visitor, source FROM madeleine.events WHERE ts > ${from}${among} AND bitTest(permissions, ${SIGNALLED_BIT}) AND NOT ${bit}
      UNION ALL SELECT visitor, source FROM madeleine.consent_signals WHERE ts > ${from}${among}
    )
    UNION ALL SELECT visitor, source, ts AS at, ${bit} AS says FROM madeleine.consent_signals WHERE ts > ${from}${among}
  ) GROUP BY visitor, source`
}

/** Whether anybody has refused anything, as one row `n`, 0 for no: then each row's own permissions are what stands, and the rest need not be asked. */
export const contestSql = (permission: Permission, from: string): string =>
  `SELECT count() AS n FROM (
    SELECT 1 FROM madeleine.events WHERE ts > ${from} AND bitTest(permissions, ${SIGNALLED_BIT}) AND NOT bitTest(permissions, ${bitOf(permission)}) LIMIT 1
    UNION ALL SELECT 1 FROM madeleine.consent_signals WHERE ts > ${from} LIMIT 1
  )`

/** Rows `(visitor, ts)` of what refuses: once it has left retention, what it hid may be seen again. */
export const refusalsSql = (permission: Permission, from: string): string =>
  `SELECT visitor, ts FROM madeleine.events WHERE ts > ${from} AND bitTest(permissions, ${SIGNALLED_BIT}) AND NOT bitTest(permissions, ${bitOf(permission)})
   UNION ALL SELECT visitor, ts FROM madeleine.consent_signals WHERE ts > ${from} AND NOT bitTest(permissions, ${bitOf(permission)})`

export const ownPermissionSql = (permission: Permission): string => `bitTest(permissions, ${bitOf(permission)})`

/**
 * A condition on rows of `madeleine.events`: they permit it as things stand. Holds no value from outside but the SQL of `from`, and of `among`, a condition
 * ` AND ...` on the visitor that the rows satisfy anyway.
 */
export function permittedSql(permission: Permission, from: string, among = ''): string {
  const contested = contestedSql(permission, from, among)
  return `(bitTest(permissions, ${bitOf(permission)})
      OR bitTest(permissions, ${SIGNALLED_BIT}) AND (visitor, source) IN (SELECT visitor, source FROM (${contested}) WHERE allows))
    AND (visitor, source) NOT IN (SELECT visitor, source FROM (${contested}) WHERE NOT allows)
    AND visitor NOT IN (SELECT visitor FROM (${contested}) WHERE source = '${EVERYWHERE}' AND NOT allows)`
}

/**
 * Visitors who have taken a permission back since a moment, by their own time or by that of arrival, at any source: what was decided before may count
 * what no longer may be counted. `sinceBatch`: SQL of the first batch that may have come after it.
 */
export function refusedSinceSql(permission: Permission, since: string, sinceBatch: string): string {
  const refuses = `(ts > ${since} OR batch >= ${sinceBatch}) AND NOT bitTest(permissions, ${bitOf(permission)})`
  return `SELECT visitor FROM madeleine.events WHERE ${refuses} AND bitTest(permissions, ${SIGNALLED_BIT})
    UNION ALL SELECT visitor FROM madeleine.consent_signals WHERE ${refuses}`
}

/** Visitors of whom some source that rules may see names the partners that may receive, and not this one. `vendor`: SQL of its id. */
export function notForReceiverSql(vendor: string, from: string): string {
  return `SELECT visitor FROM (
    SELECT visitor, source, argMax((bitTest(permissions, ${LIMITED_BIT}), has(receivers, ${vendor})), ts) AS newest FROM madeleine.events
    WHERE ts > ${from} AND bitTest(permissions, ${SIGNALLED_BIT}) AND ${permittedSql('profile', from)} GROUP BY visitor, source
  ) WHERE newest.1 AND NOT newest.2`
}
