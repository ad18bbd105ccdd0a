// `report fields`: what comes in, how often, and what no rule asks for. Only events that permit reporting, and no value of fewer visitors than
// `privacy.minimum_report`.

import { ownPermissionSql, permittedSql } from '../consent/standing.ts'
import type { Store } from '../engine/store.ts'
import { FIELD_TYPES } from '../event/event.ts'
import { clausesOf } from '../rules/clauses.ts'
import type { EventFilter, ResolvedRule } from '../rules/rule.ts'

export type FieldValue = { readonly value: string; readonly events: number; readonly visitors: number; readonly used: boolean }
export type FieldReport = {
  readonly field: string
  /** Events that have it. */
  readonly events: number
  readonly visitors: number
  /** Different values; of a number undefined. */
  readonly distinct: number | undefined
  /** Some rule asks for it. */
  readonly used: boolean
  /** The most frequent ones, without those of too few visitors. */
  readonly values: readonly FieldValue[]
}
export type FieldsReport = { readonly events: number; readonly visitors: number; readonly fields: readonly FieldReport[] }

const VALUES_SHOWN = 10
const TEXTS = Object.entries(FIELD_TYPES).flatMap(([field, type]) => (type === 'text' ? [field] : []))
const NUMBERS = Object.entries(FIELD_TYPES).flatMap(([field, type]) => (type === 'number' ? [field] : []))

/** `(field, value)` of everything that an event says. Field names come from the table in event/event.ts. */
const FACETS = `arrayFilter(facet -> facet.2 != '', arrayConcat(
    [('event', event), ${TEXTS.map((field) => `('${field}', toString(${field}))`).join(', ')}],
    arrayMap(element -> ('category', element), category), arrayMap(element -> ('keyword', element), keyword),
    arrayMap((name, text) -> (concat('attr.', name), text), mapKeys(attr), mapValues(attr))))`

type Used = ReadonlyMap<string, ReadonlySet<string>>

/** Fields that the rules ask for, with the values that they name. */
function usedBy(rules: readonly ResolvedRule[]): Used {
  const used = new Map<string, Set<string>>()
  const use = (field: string, values: readonly string[] = []) => used.set(field, new Set([...(used.get(field) ?? []), ...values]))
  const filters = rules.flatMap((rule) =>
    clausesOf(rule).flatMap(({ leaf }): readonly EventFilter[] =>
      leaf.kind === 'events' ? [leaf] : leaf.kind === 'sequence' ? leaf.steps : [],
    ),
  )
  for (const rule of rules)
    for (const { leaf } of clausesOf(rule)) if (leaf.kind === 'events' && leaf.measure.kind === 'sum') use(leaf.measure.field)
  for (const { events, where } of filters) {
    if (events) use('event', events)
    for (const match of where) {
      const named = match.tests.flatMap((test) => ('values' in test ? test.values.map(String) : []))
      use(match.type === 'attr' ? `attr.${match.attr}` : match.field, named)
    }
  }
  return used
}

export async function reportFields(
  store: Store,
  options: {
    readonly rules: readonly ResolvedRule[]
    readonly retentionMs: number
    readonly minimumReport: number
    readonly isUncontested: boolean
    readonly nowMs: number
  },
): Promise<FieldsReport> {
  const { rules, retentionMs, minimumReport, isUncontested, nowMs } = options
  const from = "fromUnixTimestamp64Milli({from:Int64}, 'UTC')"
  const permitted = isUncontested ? ownPermissionSql('report') : permittedSql('report', from)
  const where = `ts > ${from} AND ts <= fromUnixTimestamp64Milli({now:Int64}, 'UTC') AND ${permitted}`
  const values = { from: nowMs - retentionMs, now: nowMs }
  type Total = { events: number; visitors: number; [number: string]: number }
  const [totals] = await store.rows<Total>({
    owner: 'insight.totals',
    sql: `SELECT count() AS events, uniqExact(visitor) AS visitors${NUMBERS.map((field) => `, count(${field}) AS ${field}_events, uniqExactIf(visitor, isNotNull(${field})) AS ${field}_visitors`).join('')}
          FROM madeleine.events WHERE ${where}`,
    values,
  })
  const facets = `FROM (SELECT visitor, arrayJoin(${FACETS}) AS facet FROM madeleine.events WHERE ${where})`
  const fields = await store.rows<{ field: string; events: number; visitors: number; distinct: number }>({
    owner: 'insight.fields',
    sql: `SELECT facet.1 AS field, count() AS events, uniqExact(visitor) AS visitors, uniqExact(facet.2) AS distinct ${facets} GROUP BY field`,
    values,
  })
  const top = await store.rows<{ field: string; value: string; events: number; visitors: number }>({
    owner: 'insight.values',
    sql: `SELECT facet.1 AS field, facet.2 AS value, count() AS events, uniqExact(visitor) AS visitors ${facets}
          GROUP BY field, value HAVING visitors >= {minimum:UInt64} ORDER BY field, events DESC, value LIMIT ${VALUES_SHOWN} BY field`,
    values: { ...values, minimum: minimumReport },
  })
  const used = usedBy(rules)
  const isNamed = (field: string, value: string): boolean => used.get(field)?.has(value) ?? false
  const texts = fields.map(({ field, events, visitors, distinct }): FieldReport => {
    const own = top.filter((row) => row.field === field)
    return {
      field,
      events,
      visitors,
      distinct,
      used: used.has(field),
      values: own.map(({ value, events: n, visitors: v }) => ({ value, events: n, visitors: v, used: isNamed(field, value) })),
    }
  })
  const numbers = NUMBERS.flatMap((field): FieldReport[] => {
    const [events, visitors] = [totals?.[`${field}_events`] ?? 0, totals?.[`${field}_visitors`] ?? 0]
    return events === 0 ? [] : [{ field, events, visitors, distinct: undefined, used: used.has(field), values: [] }]
  })
  const known = [...texts, ...numbers].filter(({ visitors }) => visitors >= minimumReport)
  return {
    events: totals?.events ?? 0,
    visitors: totals?.visitors ?? 0,
    fields: known.sort((a, b) => b.events - a.events || a.field.localeCompare(b.field)),
  }
}
