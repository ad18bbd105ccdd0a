// Which features there are: the values that enough visitors of a sample have, each with a number. The numbers stand in a table, where the engine looks them up.

import type { Store } from '../engine/store.ts'
import type { Printed } from '../rules/binder.ts'
import type { Taxonomy } from '../taxonomy/tree.ts'
import { CATEGORY_TIERS, EVENT_FAMILIES, type Feature, LEVELS, STEPS, tierPlace, VISITOR_FAMILIES } from './families.ts'

/** A feature's number is that of its value, from 1, and the place in LEVELS in the bits above. */
export const LEVEL_SHIFT = 16
/** Values beyond this are rarer than any model can use. */
const VALUES_MAX = 60_000

export type Dictionary = {
  /** Of the run under which it is written. */
  readonly run: bigint
  /** By number, less one. */
  readonly values: readonly { readonly kind: string; readonly value: string }[]
}

export type Valued = { readonly kind: string; readonly value: string }

const keyOf = ({ kind, value }: Valued): string => `${kind} ${value}`

export const featureOf = ({ values }: Dictionary, number: number): Feature | undefined => {
  const valued = values[(number & ((1 << LEVEL_SHIFT) - 1)) - 1]
  return valued && { ...valued, times: LEVELS[number >>> LEVEL_SHIFT] ?? 1 }
}

export function numbersOf({ values }: Dictionary): (feature: Feature) => number | undefined {
  const numbers = new Map(values.map((valued, n) => [keyOf(valued), n + 1]))
  return (feature) => {
    const number = numbers.get(keyOf(feature))
    return number === undefined ? undefined : number | (Math.max(0, LEVELS.indexOf(feature.times as 1)) << LEVEL_SHIFT)
  }
}

/** The category and those above it, from the top. */
const tiersOf = (taxonomy: Taxonomy, category: string): string[] => [...taxonomy.ancestors(category)].reverse().concat(category)

/** Values of events of a sample of visitors, with how many of them have each; the most common first. */
export async function readValues(store: Store, { sql: where, values }: Printed, least: number): Promise<Valued[]> {
  const brought = EVENT_FAMILIES.map(({ values: value, isList }, n) =>
    isList ? `arrayMap(one -> (${n}, toString(one)), ${value})` : `[(${n}, toString(${value}))]`,
  )
  const rows = await store.rows<{ family: number; value: string }>({
    owner: 'lookalike.values',
    sql: `SELECT brings.1 AS family, brings.2 AS value, uniqExact(visitor) AS visitors FROM (
            SELECT visitor, arrayJoin(arrayConcat(${brought.join(', ')})) AS brings FROM madeleine.events WHERE ${where}
          ) WHERE value != '' GROUP BY family, value HAVING visitors >= {least:UInt64}
          ORDER BY visitors DESC, family, value LIMIT ${VALUES_MAX}`,
    values: { ...values, least },
    settings: { log_queries: 0 },
  })
  return rows.flatMap(({ family, value }) => {
    const kind = EVENT_FAMILIES[family]?.kind
    return kind === undefined ? [] : [{ kind, value }]
  })
}

/** With the categories above those that were found, and what all events say together. */
export function completed(found: readonly Valued[], taxonomy: Taxonomy): Valued[] {
  const above = found.flatMap(({ kind, value }) =>
    kind === 'category' ? tiersOf(taxonomy, value).map((category) => ({ kind, value: category })) : [],
  )
  const steps = VISITOR_FAMILIES.flatMap(({ kind }) => STEPS.map((step) => ({ kind, value: String(step) })))
  return [...new Map([...steps, ...above, ...found].map((valued) => [keyOf(valued), valued])).values()]
}

type Lookup = { readonly place: string; readonly value: string; readonly id: number }

/** Any category brings the features of its tiers; other values bring their own. */
function lookupsOf(values: readonly Valued[], taxonomy: Taxonomy): Lookup[] {
  const numbers = new Map(values.map((valued, n) => [keyOf(valued), n + 1]))
  const categories = new Set([
    ...taxonomy.nodes.keys(),
    ...values.flatMap(({ kind, value }) => (kind === 'category' ? [value] : [])),
  ])
  const tiers = [...categories].flatMap((category) =>
    tiersOf(taxonomy, category).flatMap((above, tier): Lookup[] => {
      const id = numbers.get(keyOf({ kind: 'category', value: above }))
      return id === undefined || tier >= CATEGORY_TIERS ? [] : [{ place: tierPlace(tier), value: category, id }]
    }),
  )
  const own = values.flatMap(({ kind, value }, n) => (kind === 'category' ? [] : [{ place: kind, value, id: n + 1 }]))
  return [...own, ...tiers]
}

export async function writeDictionary(store: Store, { run, values }: Dictionary, taxonomy: Taxonomy): Promise<void> {
  const lines = lookupsOf(values, taxonomy).map((lookup) => `${JSON.stringify({ run: String(run), ...lookup })}\n`)
  if (lines.length > 0)
    await store.insertLines({
      owner: 'lookalike.dictionary',
      into: 'madeleine.feature_lookups (run, place, value, id)',
      lines: Buffer.from(lines.join('')),
    })
}

export const dropRun = async (store: Store, table: 'feature_lookups' | 'visitor_features' | 'lookalike_scores', run: bigint) =>
  store.run({ owner: 'lookalike.drop', sql: `ALTER TABLE madeleine.${table} DROP PARTITION ${run}` })
