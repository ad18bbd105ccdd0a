// What of the features is the seed's own rule said again: a model that sees it learns nothing but the rule, and finds those who almost fulfil it. Found by looking at some
// visitors twice, with the events that the rule's conditions ask about and without them: what is gone without them came of them.

import type { Store } from '../engine/store.ts'
import { Binder } from '../rules/binder.ts'
import { clausesOf } from '../rules/clauses.ts'
import { printPasses } from '../rules/print-marks.ts'
import type { EventFilter, ResolvedRule } from '../rules/rule.ts'
import type { Everybody } from './everybody.ts'
import { modelledSql, printGather } from './gather.ts'

const VISITORS_LOOKED_AT = 4_000
/** Of those who have a feature, the share that has it by the rule's own events alone. */
const OWN_SHARE = 0.8
/** Conditions that ask about more of all events than this are about how much, not about what: without their events nothing would be left to learn from. */
const BROAD_SHARE = 0.5

const filtersOf = (rule: ResolvedRule): EventFilter[] =>
  clausesOf(rule).flatMap(({ leaf }) => (leaf.kind === 'events' ? [leaf] : leaf.kind === 'sequence' ? leaf.steps : []))

const isEverything = ({ events, where }: EventFilter): boolean => events === undefined && where.length === 0

export type RuleLeaks = {
  /** Numbers of features. */
  readonly numbers: ReadonlySet<number>
  /** The rule asks how much of everything there is. */
  readonly isActivity: boolean
}

/** `whom`: SQL of the visitors to look at, of the seed and of all. */
export async function findRuleLeaks(
  store: Store,
  rule: ResolvedRule,
  { dictionary, sight }: Everybody,
  seed: number,
): Promise<RuleLeaks> {
  const filters = filtersOf(rule)
  const narrow = filters.filter((filter) => !isEverything(filter))
  if (narrow.length === 0) return { numbers: new Set(), isActivity: filters.length > 0 }
  const { run } = dictionary
  const binder = new Binder()
  const some = (condition: string) =>
    `SELECT visitor FROM madeleine.visitor_features WHERE run = ${run} AND ${condition} ORDER BY cityHash64(visitor) LIMIT ${VISITORS_LOOKED_AT / 2}`
  const whom = ` AND visitor IN (SELECT visitor FROM (${some(`has(held, ${seed})`)}) UNION ALL SELECT visitor FROM (${some('true')}))`
  const where = modelledSql(sight, whom, binder)
  const own = printPasses(narrow, sight.retentionMs, binder)
  const settings = { log_queries: 0 }
  const [broad] = await store.rows<{ share: number }>({
    owner: 'lookalike.leaks',
    sql: `SELECT countIf(${own}) / greatest(1, count()) AS share FROM (SELECT *, url FROM madeleine.events WHERE ${where})`,
    values: binder.values,
    settings,
  })
  if ((broad?.share ?? 0) > BROAD_SHARE) return { numbers: new Set(), isActivity: true }
  const counted = (condition: string, n: string) =>
    `SELECT arrayJoin(features) AS number, count() AS ${n} FROM (${printGather(run, condition, sight, binder)}) GROUP BY number`
  const rows = await store.rows<{ number: number }>({
    owner: 'lookalike.leaks',
    sql: `SELECT number FROM (${counted(where, 'visitors')}) AS looked
          LEFT JOIN (${counted(`${where} AND NOT ${own}`, 'left')}) AS others USING (number)
          WHERE visitors - left >= ${OWN_SHARE} * visitors`,
    values: binder.values,
    settings,
  })
  return { numbers: new Set(rows.map(({ number }) => number)), isActivity: filters.length > narrow.length }
}
