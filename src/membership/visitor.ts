// What is kept of visitors, as the evaluators in memory see it.

import type { ConsentSignal } from '../consent/standing.ts'
import { parseDecimal } from '../core/decimal.ts'
import type { VisitorId } from '../core/ids.ts'
import type { Store } from '../engine/store.ts'
import { type Event, FIELD_TYPES, type FieldName, type NumberField } from '../event/event.ts'
import type { VisitorFacts } from '../rules/evaluate.ts'

/** Of an event, beside its moment, source and permissions. */
export type Column = FieldName | 'event' | 'scope' | 'receivers' | 'origin' | 'attr'
const FIELDS = Object.keys(FIELD_TYPES) as FieldName[]
const ALL_COLUMNS: readonly Column[] = ['event', 'scope', 'receivers', 'origin', 'attr', ...FIELDS]

const isNumber = (column: Column): column is NumberField => column in FIELD_TYPES && FIELD_TYPES[column as FieldName] === 'number'

/** `history`: everything inside retention, whatever it permits. */
export type Kept = {
  readonly history: readonly Event[]
  readonly facts: VisitorFacts & { readonly said: readonly ConsentSignal[] }
}
export type KeptMoment = { readonly nowMs: number; readonly retentionMs: number }

type Row = Readonly<Record<string, unknown>> & { readonly who: VisitorId }

const text = (value: unknown): string => (value as string | undefined) ?? ''
const list = (value: unknown): readonly string[] => (value as readonly string[] | undefined) ?? []
/** Numbers come as text, exact. */
const number = (value: unknown): bigint | null => (typeof value === 'string' ? (parseDecimal(value) ?? null) : null)

/** A column that was not asked for is missing. Spelled out: tens of thousands are made in a tick, and objects of one shape cost a tenth of copies. */
const eventOf = (row: Row): Event => ({
  ts: row['at_ms'] as number,
  visitor: row.who,
  source: text(row['source']),
  permissions: row['permissions'] as number,
  event: text(row['event']),
  scope: (row['scope_text'] as Event['scope'] | undefined) ?? 'global',
  receivers: (row['receivers'] as readonly number[] | undefined) ?? [],
  attr: (row['attr'] as Event['attr'] | undefined) ?? {},
  origin: text(row['origin']),
  url: text(row['url']),
  host: text(row['host']),
  path: text(row['path']),
  referrer_host: text(row['referrer_host']),
  category: list(row['category']),
  keyword: list(row['keyword']),
  device: text(row['device']),
  browser: text(row['browser']),
  os: text(row['os']),
  country: text(row['country']),
  region: text(row['region']),
  language: text(row['language']),
  campaign: text(row['campaign']),
  creative: text(row['creative']),
  placement: text(row['placement']),
  order_id: text(row['order_id']),
  currency: text(row['currency']),
  value: number(row['value_text']),
  cost: number(row['cost_text']),
  dwell_ms: number(row['dwell_ms_text']),
})

const selected = (column: Column): string =>
  isNumber(column) ? `toString(${column}) AS ${column}_text` : column === 'scope' ? 'toString(scope) AS scope_text' : column

const readListed = (store: Store, visitors: readonly VisitorId[]) =>
  store.rows<{ who: VisitorId; list: string }>({
    owner: 'membership.listed',
    sql: `SELECT DISTINCT toString(visitor) AS who, list FROM madeleine.list_members
          WHERE visitor IN {visitors:Array(UUID)} AND (list, generation) IN (SELECT list, max(generation) FROM madeleine.list_imports GROUP BY list)`,
    values: { visitors },
    settings: { log_queries: 0 },
  })

/** `columns`: of their events, what somebody will look at. */
export type Wanted = { readonly columns: readonly Column[]; readonly lists: boolean }
const EVERYTHING: Wanted = { columns: ALL_COLUMNS, lists: true }

/** Of each of the visitors. */
export async function readVisitors(
  store: Store,
  visitors: readonly VisitorId[],
  { nowMs, retentionMs }: KeptMoment,
  { columns, lists: wantsLists } = EVERYTHING,
): Promise<Map<VisitorId, Kept>> {
  const values = { visitors, from: nowMs - retentionMs }
  const settings = { log_queries: 0 } // visitors, and a server's query_log may outlive retention
  const among = `visitor IN {visitors:Array(UUID)}`
  const [rows, said, lists] = await Promise.all([
    store.rows<Row>({
      owner: 'membership.visitors',
      sql: `SELECT toString(visitor) AS who, toUnixTimestamp64Milli(ts) AS at_ms, source, permissions${columns
        .filter((column) => column !== 'source')
        .map((column) => `, ${selected(column)}`)
        .join('')}
            FROM madeleine.events WHERE ${among} AND ts > fromUnixTimestamp64Milli({from:Int64}, 'UTC')`,
      values,
      settings,
    }),
    store.rows<ConsentSignal>({
      owner: 'membership.said',
      sql: `SELECT toString(visitor) AS visitor, toUnixTimestamp64Milli(ts) AS tsMs, source, permissions, receivers FROM madeleine.consent_signals FINAL
            WHERE consent_signals.${among} AND ts > fromUnixTimestamp64Milli({from:Int64}, 'UTC')`,
      values,
      settings,
    }),
    wantsLists ? readListed(store, visitors) : [],
  ])
  type Filling = { history: Event[]; said: ConsentSignal[]; listed: Set<string> }
  const found = new Map<VisitorId, Filling>(visitors.map((id) => [id, { history: [], said: [], listed: new Set() }]))
  for (const row of rows) found.get(row.who)?.history.push(eventOf(row))
  for (const signal of said) found.get(signal.visitor)?.said.push(signal)
  for (const { who, list } of lists) found.get(who)?.listed.add(list)
  return new Map(
    [...found].map(([id, { history, said: signals, listed }]): [VisitorId, Kept] => [
      id,
      {
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
