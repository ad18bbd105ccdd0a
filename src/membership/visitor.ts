// What is kept of visitors, as the evaluators in memory see it.

import type { ConsentSignal } from '../consent/standing.ts'
import { parseDecimal } from '../core/decimal.ts'
import type { VisitorId } from '../core/ids.ts'
import type { Store } from '../engine/store.ts'
import { type Event, FIELD_TYPES, type FieldName, type NumberField } from '../event/event.ts'
import type { VisitorFacts } from '../rules/evaluate.ts'
import { CURRENT_IMPORTS } from '../rules/imported.ts'

/** Of an event, beside its moment, source and permissions. */
export type Column = FieldName | 'event' | 'scope' | 'receivers' | 'origin' | 'attr'
const FIELDS = Object.keys(FIELD_TYPES) as FieldName[]
const ALL_COLUMNS: readonly Column[] = ['event', 'scope', 'receivers', 'origin', 'attr', ...FIELDS]

const isNumber = (column: Column): column is NumberField => column in FIELD_TYPES && FIELD_TYPES[column as FieldName] === 'number'

/** `history`: everything inside retention, whatever it permits. */
export type Kept = {
  /** There is more than was asked for, and `history` is a part of it. */
  readonly isCrowded: boolean
  readonly history: readonly Event[]
  readonly facts: VisitorFacts & { readonly said: readonly ConsentSignal[] }
}
export type KeptMoment = { readonly nowMs: number; readonly retentionMs: number }

/** Values in the order of the columns that were asked for, behind the moment, the source and the permissions. */
type Told = readonly [ts: number, source: string, permissions: number, ...rest: unknown[]]
type Row = { readonly who: VisitorId; readonly events: readonly Told[] }

const text = (value: unknown): string => (value as string | undefined) ?? ''
const list = (value: unknown): readonly string[] => (value as readonly string[] | undefined) ?? []
/** Numbers come as text, exact. */
const number = (value: unknown): bigint | null => (typeof value === 'string' ? (parseDecimal(value) ?? null) : null)

/** Reads a column's value out of a row; undefined for one that was not asked for. */
type Reader = (told: Told, column: Column) => unknown
function makeReader(columns: readonly Column[]): Reader {
  const places = new Map(columns.map((column, n) => [column, n + 3]))
  return (told, column) => told[places.get(column) ?? -1]
}

/** Spelled out: tens of thousands are made in a tick, and objects of one shape cost a tenth of copies. */
const eventOf = (visitor: VisitorId, told: Told, read: Reader): Event => ({
  ts: told[0],
  visitor,
  source: told[1],
  permissions: told[2],
  event: text(read(told, 'event')),
  scope: (read(told, 'scope') as Event['scope'] | undefined) ?? 'global',
  receivers: (read(told, 'receivers') as readonly number[] | undefined) ?? [],
  attr: (read(told, 'attr') as Event['attr'] | undefined) ?? {},
  origin: text(read(told, 'origin')),
  url: text(read(told, 'url')),
  host: text(read(told, 'host')),
  path: text(read(told, 'path')),
  referrer_host: text(read(told, 'referrer_host')),
  category: list(read(told, 'category')),
  keyword: list(read(told, 'keyword')),
  device: text(read(told, 'device')),
  browser: text(read(told, 'browser')),
  os: text(read(told, 'os')),
  country: text(read(told, 'country')),
  region: text(read(told, 'region')),
  language: text(read(told, 'language')),
  campaign: text(read(told, 'campaign')),
  creative: text(read(told, 'creative')),
  placement: text(read(told, 'placement')),
  order_id: text(read(told, 'order_id')),
  currency: text(read(told, 'currency')),
  value: number(read(told, 'value')),
  cost: number(read(told, 'cost')),
  dwell_ms: number(read(told, 'dwell_ms')),
})

const selected = (column: Column): string => (isNumber(column) || column === 'scope' ? `toString(${column})` : column)

const readListed = (store: Store, visitors: readonly VisitorId[]) =>
  store.rows<{ who: VisitorId; list: string }>({
    owner: 'membership.listed',
    sql: `SELECT DISTINCT toString(visitor) AS who, list FROM madeleine.list_members
          WHERE visitor IN {visitors:Array(UUID)} AND (list, generation) IN (${CURRENT_IMPORTS})`,
    values: { visitors },
    settings: { log_queries: 0 },
  })

/** `columns`: of their events, what somebody will look at. */
export type Wanted = {
  readonly columns: readonly Column[]
  readonly lists: boolean
  /** Events of one visitor. */
  readonly most: number
}
const EVERYTHING: Wanted = { columns: ALL_COLUMNS, lists: true, most: 1_000_000 }

/** A visitor's events, and what their wanted columns hold in the engine's memory. */
export async function readExtent(
  store: Store,
  visitor: VisitorId,
  { nowMs, retentionMs }: KeptMoment,
  { columns }: Wanted,
): Promise<{ readonly events: number; readonly bytes: number }> {
  const [row] = await store.rows<{ events: number; bytes: number }>({
    owner: 'membership.extent',
    sql: `SELECT count() AS events, sum(byteSize(${['ts', ...columns].join(', ')})) AS bytes FROM madeleine.events
          WHERE visitor = {visitor:UUID} AND ts > fromUnixTimestamp64Milli({from:Int64}, 'UTC')`,
    values: { visitor, from: nowMs - retentionMs },
    settings: { log_queries: 0 },
  })
  return row ?? { events: 0, bytes: 0 }
}

/** Of each of the visitors. */
export async function readVisitors(
  store: Store,
  visitors: readonly VisitorId[],
  { nowMs, retentionMs }: KeptMoment,
  { columns, lists: wantsLists, most } = EVERYTHING,
): Promise<Map<VisitorId, Kept>> {
  const values = { visitors, from: nowMs - retentionMs }
  // Visitors, and a server's query_log may outlive retention. Thousands of short ranges: with the default of a mebibyte more is read than is used.
  const settings = { log_queries: 0, max_read_buffer_size_local_fs: 65_536 }
  const among = `visitor IN {visitors:Array(UUID)}`
  const [rows, said, lists] = await Promise.all([
    // A row a visitor, without a name at each value: a third less to write and to read.
    store.rows<Row>({
      owner: 'membership.visitors',
      sql: `SELECT toString(visitor) AS who, groupArray(${Math.floor(most) + 1})(tuple(toUnixTimestamp64Milli(ts), source, permissions${columns.map((column) => `, ${selected(column)}`).join('')})) AS events
            FROM madeleine.events WHERE ${among} AND ts > fromUnixTimestamp64Milli({from:Int64}, 'UTC') GROUP BY visitor`,
      values,
      settings: { ...settings, output_format_json_named_tuples_as_objects: 0 },
    }),
    store.rows<ConsentSignal>({
      owner: 'membership.said',
      sql: `SELECT toString(visitor) AS visitor, toUnixTimestamp64Milli(ts) AS tsMs, source, permissions, receivers FROM madeleine.consent_signals
            WHERE consent_signals.${among} AND ts > fromUnixTimestamp64Milli({from:Int64}, 'UTC')`,
      values,
      settings,
    }),
    wantsLists ? readListed(store, visitors) : [],
  ])
  type Filling = { history: Event[]; said: ConsentSignal[]; listed: Set<string> }
  const found = new Map<VisitorId, Filling>(visitors.map((id) => [id, { history: [], said: [], listed: new Set() }]))
  const read = makeReader(columns)
  for (const { who, events } of rows) for (const told of events) found.get(who)?.history.push(eventOf(who, told, read))
  for (const signal of said) found.get(signal.visitor)?.said.push(signal)
  for (const { who, list } of lists) found.get(who)?.listed.add(list)
  return new Map(
    [...found].map(([id, { history, said: signals, listed }]): [VisitorId, Kept] => [
      id,
      {
        isCrowded: history.length > most,
        history: history.sort((a, b) => a.ts - b.ts),
        facts: { said: signals, isListed: (list) => listed.has(list) },
      },
    ]),
  )
}

export async function readVisitor(store: Store, visitor: VisitorId, moment: KeptMoment): Promise<Kept> {
  const kept = (await readVisitors(store, [visitor], moment)).get(visitor)
  if (!kept) throw new Error('a visitor that was asked for is missing')
  return kept
}
