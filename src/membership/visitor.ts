// What is kept of visitors, as the evaluators in memory see it.

import type { ConsentSignal } from '../consent/standing.ts'
import { parseDecimal } from '../core/decimal.ts'
import type { VisitorId } from '../core/ids.ts'
import { ALL_PERMISSIONS } from '../core/permissions.ts'
import type { Store } from '../engine/store.ts'
import { type Event, FIELD_TYPES, type FieldName, NO_PAGE, type NumberField } from '../event/event.ts'
import type { VisitorFacts } from '../rules/evaluate.ts'

/** Of an event, beside its moment, source and permissions. */
export type Column = FieldName | 'event' | 'scope' | 'receivers' | 'origin' | 'attr'
const FIELDS = Object.keys(FIELD_TYPES) as FieldName[]
const ALL_COLUMNS: readonly Column[] = ['event', 'scope', 'receivers', 'origin', 'attr', ...FIELDS]

const isNumber = (column: Column): column is NumberField => column in FIELD_TYPES && FIELD_TYPES[column as FieldName] === 'number'

/** What a column holds that was not asked for. */
const MISSING = {
  ...NO_PAGE,
  event: '',
  scope: 'global',
  receivers: [],
  attr: {},
  permissions: ALL_PERMISSIONS,
  ...Object.fromEntries(
    Object.entries(FIELD_TYPES).map(([field, type]) => [field, type === 'text' ? '' : type === 'list' ? [] : null]),
  ),
}

/** `history`: everything inside retention, whatever it permits. */
export type Kept = {
  readonly history: readonly Event[]
  readonly facts: VisitorFacts & { readonly said: readonly ConsentSignal[] }
}
export type KeptMoment = { readonly nowMs: number; readonly retentionMs: number }

type Row = Readonly<Record<string, unknown>> & { readonly who: VisitorId }

/** Numbers come as text, exact. */
function eventOf(row: Row, columns: readonly Column[]): Event {
  const event: Record<string, unknown> = {
    ...MISSING,
    ts: row['at_ms'],
    visitor: row.who,
    source: row['source'],
    permissions: row['permissions'],
  }
  for (const column of columns) {
    if (isNumber(column)) {
      const text = row[`${column}_text`]
      event[column] = text === null ? null : (parseDecimal(String(text)) ?? null)
    } else event[column] = row[column === 'scope' ? 'scope_text' : column]
  }
  return event as Event
}

const selected = (column: Column): string =>
  isNumber(column) ? `toString(${column}) AS ${column}_text` : column === 'scope' ? 'toString(scope) AS scope_text' : column

/** Of each of the visitors. `columns`: of their events, what somebody will look at. */
export async function readVisitors(
  store: Store,
  visitors: readonly VisitorId[],
  { nowMs, retentionMs }: KeptMoment,
  columns: readonly Column[] = ALL_COLUMNS,
): Promise<Map<VisitorId, Kept>> {
  const values = { visitors, from: nowMs - retentionMs }
  const settings = { log_queries: 0 } // visitors, and a server's query_log may outlive retention
  const among = `visitor IN {visitors:Array(UUID)}`
  const [rows, said, lists] = await Promise.all([
    store.rows<Row>({
      owner: 'membership.visitors',
      sql: `SELECT toString(visitor) AS who, toUnixTimestamp64Milli(ts) AS at_ms, source, permissions${columns.map((column) => `, ${selected(column)}`).join('')}
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
    store.rows<{ who: VisitorId; list: string }>({
      owner: 'membership.listed',
      sql: `SELECT DISTINCT toString(visitor) AS who, list FROM madeleine.list_members
            WHERE ${among} AND (list, generation) IN (SELECT list, max(generation) FROM madeleine.list_imports GROUP BY list)`,
      values: { visitors },
      settings,
    }),
  ])
  type Filling = { history: Event[]; said: ConsentSignal[]; listed: Set<string> }
  const found = new Map<VisitorId, Filling>(visitors.map((id) => [id, { history: [], said: [], listed: new Set() }]))
  for (const row of rows) found.get(row.who)?.history.push(eventOf(row, columns))
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
