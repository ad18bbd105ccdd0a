// What is kept of one visitor, as the evaluator in memory sees it.

import type { ConsentSignal } from '../consent/standing.ts'
import { parseDecimal } from '../core/decimal.ts'
import type { VisitorId } from '../core/ids.ts'
import type { Store } from '../engine/store.ts'
import { type Event, FIELD_TYPES } from '../event/event.ts'
import type { VisitorFacts } from '../rules/evaluate.ts'

const NUMBERS = Object.entries(FIELD_TYPES).flatMap(([field, type]) => (type === 'number' ? [field] : []))
const PLAIN = Object.entries(FIELD_TYPES).flatMap(([field, type]) => (type === 'number' ? [] : [field]))

type Row = Omit<Event, 'ts' | 'visitor' | 'scope' | 'value' | 'cost' | 'dwell_ms'> & {
  readonly at_ms: number
  readonly scope_text: Event['scope']
} & Readonly<Record<'value_text' | 'cost_text' | 'dwell_ms_text', string | null>>

const decimal = (text: string | null): bigint | null => (text === null ? null : (parseDecimal(text) ?? null))

export type Kept = { readonly history: readonly Event[]; readonly facts: VisitorFacts }

/** Everything inside retention, whatever it permits. */
export async function readVisitor(
  store: Store,
  visitor: VisitorId,
  { nowMs, retentionMs }: { nowMs: number; retentionMs: number },
): Promise<Kept> {
  const values = { visitor, from: nowMs - retentionMs }
  const rows = await store.rows<Row>({
    owner: 'membership.visitor',
    sql: `SELECT toUnixTimestamp64Milli(ts) AS at_ms, event, toString(scope) AS scope_text, permissions, receivers, origin,
            ${PLAIN.join(', ')}, attr, ${NUMBERS.map((field) => `toString(${field}) AS ${field}_text`).join(', ')}
          FROM madeleine.events WHERE visitor = {visitor:UUID} AND ts > fromUnixTimestamp64Milli({from:Int64}, 'UTC') ORDER BY ts`,
    values,
  })
  const history = rows.map(({ at_ms, scope_text, value_text, cost_text, dwell_ms_text, ...fields }): Event => {
    const numbers = { value: decimal(value_text), cost: decimal(cost_text), dwell_ms: decimal(dwell_ms_text) }
    return { ...fields, ...numbers, ts: at_ms, visitor, scope: scope_text }
  })
  const said = await store.rows<ConsentSignal>({
    owner: 'membership.said',
    sql: `SELECT toUnixTimestamp64Milli(ts) AS tsMs, source, permissions, receivers FROM madeleine.consent_signals FINAL
          WHERE visitor = {visitor:UUID} AND ts > fromUnixTimestamp64Milli({from:Int64}, 'UTC')`,
    values,
  })
  const lists = await store.rows<{ list: string }>({
    owner: 'membership.listed',
    sql: `SELECT DISTINCT list FROM madeleine.list_members
          WHERE visitor = {visitor:UUID} AND (list, generation) IN (SELECT list, max(generation) FROM madeleine.list_imports GROUP BY list)`,
    values: { visitor },
  })
  const listed = new Set(lists.map(({ list }) => list))
  return { history, facts: { said: said.map((signal) => ({ ...signal, visitor })), isListed: (list) => listed.has(list) } }
}
