// `history`: what is remembered of memberships. Of an audience its rule's versions and its size over time; of a visitor, what it entered and left.
// Only what counts (up to the last tick) and is not due: with a visitor's last event go the rows about it, so of older times less is remembered than happened.
// Sizes are kept, though, and by them the periods are completed: a period's size is always the one before, and who entered, without who left.

import { DAY_MS, HOUR_MS, RETENTION_MAX_MS } from '../core/duration.ts'
import type { AudienceId, VisitorId } from '../core/ids.ts'
import type { Store } from '../engine/store.ts'
import type { AudienceRules } from '../membership/build.ts'
import { isCurrent, readAudienceLog, type What } from '../membership/log.ts'
import { readStandings, type Standing } from '../membership/standing.ts'
import { readState } from '../membership/state.ts'
import { readLastTick } from '../membership/ticks.ts'
import { LEFT_OUTLIVES_MS } from '../membership/touched.ts'

/** A shorter span is shown by the hour. */
const HOURLY_BELOW_MS = 3 * DAY_MS

export type Version = {
  readonly version: number
  readonly atMs: number
  readonly what: What
  readonly size: number
  /** Why it failed. */
  readonly detail: string
}
/** `size`: at its end, or now. */
export type Period = { readonly fromMs: number; readonly entered: number; readonly left: number; readonly size: number }
export type AudienceHistory = {
  readonly id: AudienceId
  readonly size: number
  /** Of the last tick; undefined where there is none. */
  readonly watermarkMs: number | undefined
  /** `deleted`: the configuration has it no more. */
  readonly state: Standing | 'deleted'
  readonly versions: readonly Version[]
  /** Without a gap, from the one that `sinceMs` lies in. */
  readonly periods: readonly Period[]
  readonly unitMs: number
}

export type VisitorHistory = {
  readonly visitor: VisitorId
  readonly watermarkMs: number | undefined
  /** Of the transitions that are told, and those that the visitor is in. `known`: the configuration has it. `member`: the visitor is in it as of the last tick. */
  readonly audiences: readonly { readonly id: AudienceId; readonly known: boolean; readonly member: boolean }[]
  readonly transitions: readonly Passage[]
}
export type Passage = {
  readonly atMs: number
  readonly audience: AudienceId
  readonly what: 'entered' | 'left'
  readonly version: number
}

export type HistoryOptions = {
  readonly known: AudienceRules
  readonly retentionMs: number
  readonly nowMs: number
  readonly sinceMs?: number | undefined
}

/** Whether some tick has said something of an audience, which the configuration may have no more. */
export async function isRemembered(store: Store, id: AudienceId): Promise<boolean> {
  const last = await readLastTick(store)
  return last !== undefined && (await readAudienceLog(store, last.tick)).has(id)
}

/** A `left` is due when what it ended is. */
const IS_NOT_DUE = `toUnixTimestamp64Milli(expires) > {now:Int64} + if(transitions.kind = 'left', ${LEFT_OUTLIVES_MS}, 0)`

type Entry = Version & { readonly tick: number; readonly isNew: boolean }

/** What ticks that came to their end have said of an audience. */
function readEntries(store: Store, audience: AudienceId, tick: number): Promise<Entry[]> {
  return store.rows<Entry>({
    owner: 'insight.history',
    sql: `SELECT tick, toUnixTimestamp64Milli(at) AS atMs, toString(audience_log.what) AS what, version, size, detail, rule != '' AS isNew
          FROM madeleine.audience_log WHERE audience = {audience:String} AND tick <= {tick:UInt64} AND tick IN (
            SELECT tick FROM madeleine.ticks WHERE tick IN (SELECT tick FROM madeleine.audience_log WHERE audience = {audience:String})
          ) ORDER BY audience_log.tick`,
    values: { audience, tick },
  })
}

/** Moments outside count at the edge: a clock that went back may have said any. */
export type Span = { readonly fromMs: number; readonly toMs: number; readonly unitMs: number }
const unitOf = (ms: number, { fromMs, toMs, unitMs }: Span): number => Math.floor(Math.max(fromMs, Math.min(toMs, ms)) / unitMs)

/** `unit`: a period by its number since 1970. `isAfter`: after the size that was logged last in the period. */
export type Moved = { readonly unit: number; readonly isAfter: boolean; readonly entered: number; readonly left: number }
export type Logged = { readonly unit: number; readonly tick: number; readonly size: number }

async function readMoved(
  store: Store,
  { audience, tick, nowMs }: { readonly audience: AudienceId; readonly tick: number; readonly nowMs: number },
  span: Span,
  logged: readonly Logged[],
): Promise<Moved[]> {
  const rows = await store.rows<Omit<Moved, 'isAfter'> & { after: number }>({
    owner: 'insight.history',
    sql: `SELECT intDiv(greatest({from:Int64}, least({to:Int64}, toUnixTimestamp64Milli(at))), {unit:Int64}) AS unit,
            tick > transform(unit, arrayMap(n -> toInt64(n), {units:Array(String)}), arrayMap(n -> toUInt64(n), {ticks:Array(String)}), toUInt64(0)) AS after,
            countIf(kind = 'entered') AS entered, countIf(kind = 'left') AS left
          FROM madeleine.transitions WHERE audience = {audience:String} AND tick <= {tick:UInt64} AND kind != 'stays' AND ${IS_NOT_DUE}
          GROUP BY unit, after`,
    values: {
      audience,
      tick,
      now: nowMs,
      from: span.fromMs,
      to: span.toMs,
      unit: span.unitMs,
      units: logged.map(({ unit }) => String(unit)),
      ticks: logged.map((entry) => String(entry.tick)),
    },
  })
  return rows.map(({ after, ...row }) => ({ ...row, isAfter: Boolean(after) }))
}

const sumOf = (rows: readonly Moved[]) => {
  const entered = rows.reduce((sum, row) => sum + row.entered, 0)
  const left = rows.reduce((sum, row) => sum + row.left, 0)
  return { entered, left, net: entered - left }
}

/** `size`: now. `isWhole`: the audience begins with the span. */
export type Known = { readonly span: Span; readonly size: number; readonly isWhole: boolean }

/**
 * From the first unit of the span to its last, whose size is the size now. A size that was logged holds: where what is remembered does not lead to it, so many
 * more entered, or left, of whom nothing is remembered.
 */
export function periodsOf({ span, size: sizeNow, isWhole }: Known, logged: readonly Logged[], moved: readonly Moved[]): Period[] {
  const [first, last] = [unitOf(span.fromMs, span), unitOf(span.toMs, span)]
  const sizes = new Map(logged.map(({ unit, size }) => [unit, size]))
  const periods: Period[] = []
  for (let unit = first; unit <= last; unit++) {
    const rows = moved.filter((row) => row.unit === unit)
    const { entered, left, net } = sumOf(rows)
    const known = sizes.get(unit)
    const before = periods.at(-1)?.size ?? (isWhole ? 0 : undefined)
    const written = known === undefined ? (before ?? 0) + net : known + sumOf(rows.filter(({ isAfter }) => isAfter)).net
    const size = unit === last ? sizeNow : written
    const unseen = before === undefined ? 0 : size - before - net
    periods.push({
      fromMs: unit * span.unitMs,
      entered: entered + Math.max(0, unseen),
      left: left + Math.max(0, -unseen),
      size,
    })
  }
  return periods
}

/** Rebuilds under the same rule and counted sizes are no news. */
const isNews = ({ what, isNew }: Entry): boolean => what !== 'size' && (what !== 'built' || isNew)

export async function readAudienceHistory(
  store: Store,
  id: AudienceId,
  { known, retentionMs, nowMs, sinceMs = 0 }: HistoryOptions,
): Promise<AudienceHistory> {
  const { last, sizes } = await readState(store, 0)
  const size = sizes.get(id) ?? 0
  const state: AudienceHistory['state'] = known.has(id) ? (await readStandings(store, known, retentionMs)).of(id) : 'deleted'
  const all = last ? await readEntries(store, id, last.tick) : []
  const newest = all.at(-1)
  const nothing = { id, size, watermarkMs: last?.atMs, state, versions: [], periods: [], unitMs: DAY_MS }
  if (!last || !newest) return nothing
  const toMs = newest.what === 'deleted' ? newest.atMs : last.atMs
  const entries = all.filter(({ atMs }) => atMs > toMs - RETENTION_MAX_MS)
  const fromMs = Math.min(toMs, ...entries.map(({ atMs }) => atMs))
  const unitMs = toMs - Math.max(fromMs, sinceMs) < HOURLY_BELOW_MS ? HOUR_MS : DAY_MS
  const span = { fromMs, toMs, unitMs }
  const isWhole = entries.length === all.length && (entries[0]?.version ?? 0) <= 1 && (entries[0]?.isNew ?? false)
  // Of each unit the last.
  const logged = [...new Map(entries.map(({ atMs, tick, size: then }) => [unitOf(atMs, span), { tick, size: then }]))]
  const sizesLogged = logged.map(([unit, entry]) => ({ unit, ...entry }))
  const moved = await readMoved(store, { audience: id, tick: last.tick, nowMs }, span, sizesLogged)
  return {
    ...nothing,
    versions: entries
      .filter((entry) => isNews(entry) && entry.atMs >= sinceMs)
      .map(({ version, atMs, what, size: then, detail }) => ({ version, atMs, what, size: then, detail })),
    periods: periodsOf({ span, size, isWhole }, sizesLogged, moved).filter((period) => period.fromMs + unitMs > sinceMs),
    unitMs,
  }
}

type Row = Omit<Passage, 'what'> & { readonly what: Passage['what'] | 'stays' }

export async function readVisitorHistory(
  store: Store,
  visitor: VisitorId,
  { known, nowMs, sinceMs = 0 }: Omit<HistoryOptions, 'retentionMs'>,
): Promise<VisitorHistory> {
  const last = await readLastTick(store)
  if (!last) return { visitor, watermarkMs: undefined, audiences: [], transitions: [] }
  const log = await readAudienceLog(store, last.tick)
  const rows = await store.rows<Row>({
    owner: 'insight.history',
    sql: `SELECT toUnixTimestamp64Milli(at) AS atMs, audience, toString(transitions.kind) AS what, version FROM madeleine.transitions
          WHERE visitor = {visitor:UUID} AND tick <= {tick:UInt64} AND ${IS_NOT_DUE} ORDER BY tick, audience`,
    values: { visitor, tick: last.tick, now: nowMs },
    settings: { log_queries: 0 }, // a visitor, and a server's query_log may outlive retention
  })
  const now = new Map(rows.map(({ audience, what }) => [audience, what]))
  const transitions = rows.flatMap(({ what, ...row }): Passage[] =>
    what === 'stays' || row.atMs < sinceMs ? [] : [{ ...row, what }],
  )
  const told = new Set(transitions.map(({ audience }) => audience))
  const audiences = [...now].map(([id, what]) => {
    const isKnown = known.has(id)
    return { id, known: isKnown, member: what !== 'left' && isKnown && isCurrent(log.get(id)) }
  })
  return { visitor, watermarkMs: last.atMs, audiences: audiences.filter(({ id, member }) => member || told.has(id)), transitions }
}
