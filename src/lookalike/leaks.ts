// What of the features is the seed's own rule said again: a model that sees it learns nothing but the rule, and finds those who almost fulfil it. A feature is left out
// where the rule names its value, and where what it tells of the seed comes of events that the rule asks about: found by looking at some visitors twice, with those events
// and without them.

import type { Store } from '../engine/store.ts'
import { type Event, FIELD_TYPES, NO_PAGE } from '../event/event.ts'
import { Binder } from '../rules/binder.ts'
import { type Clause, clausesOf } from '../rules/clauses.ts'
import { matches } from '../rules/evaluate.ts'
import { printPasses } from '../rules/print-marks.ts'
import type { EventFilter, Match, ResolvedRule, TextTest } from '../rules/rule.ts'
import { featureOf } from './dictionary.ts'
import type { Everybody } from './everybody.ts'
import { EVENT_FAMILIES, type Feature, isOf } from './families.ts'
import { modelledSql, printGather, type Sight } from './gather.ts'

const VISITORS_LOOKED_AT = 4_000
/** Of those who have a feature, the share that has it by the rule's own events alone. */
const OWN_SHARE = 0.8
/** Of how much commoner a feature is in the seed, the share that is left without the rule's own events; and how much commoner it must be to matter. */
const LEFT_SHARE = 0.5
const COMMONER_MIN = 0.03
/** What more of all events than this fulfil is lost by much that has nothing to do with it; and what more than that fulfil leaves little to learn from. */
const NARROW_SHARE = 0.3
const BROAD_SHARE = 0.7
/** Of these a visitor has one as a rule: where the rule asks for some, the others tell who cannot be meant. */
const ONE_OF: readonly string[] = ['device', 'browser', 'os', 'country', 'region', 'language']

const filtersOf = ({ leaf }: Clause): readonly EventFilter[] =>
  leaf.kind === 'events' ? [leaf] : leaf.kind === 'sequence' ? leaf.steps : []

/** What a filter asks, one by one: beside a page's category its device is another question. */
const questionsOf = ({ events, where }: EventFilter): EventFilter[] => [
  ...(events ? [{ events, where: [] }] : []),
  ...where.map((match) => ({ events: undefined, where: [match] })),
]

/** Asks for more than one of something. */
const isCounting = ({ leaf }: Clause): boolean =>
  leaf.kind === 'events' && (leaf.measure.kind !== 'count' || leaf.measure.comparison.some(({ than }) => Number(than) > 1))

const NOTHING = { ...NO_PAGE, ts: 0, event: '', source: '', attr: {} } as const
const EMPTY = Object.fromEntries(
  Object.entries(FIELD_TYPES).map(([field, type]) => [field, type === 'list' ? [] : type === 'number' ? null : '']),
)

/** An event that is nothing but the feature; undefined where no event can be. */
function eventOf({ kind, value }: Feature): Partial<Event> | undefined {
  if (kind === 'attr') {
    const [, name, text] = /^([a-z0-9_]+)=(.*)$/s.exec(value) ?? []
    return name === undefined ? undefined : { attr: { [name]: text ?? '' } }
  }
  if (kind === 'page' || kind === 'section') {
    const slash = value.indexOf('/')
    const [host, path] = slash < 0 ? [value, '/'] : [value.slice(0, slash), value.slice(slash)]
    return { host, path, url: `https://${value}` }
  }
  if (kind === 'category' || kind === 'keyword') return { [kind]: [value] }
  const family = EVENT_FAMILIES.find((one) => one.kind === kind)
  return family?.names[0] === family?.values ? { [family?.values ?? '']: value } : undefined
}

const isPositive = (test: { readonly test: string; readonly is?: boolean }): boolean =>
  test.test !== 'not_in' && !(test.test === 'exists' && test.is === false)

/** A number of an attribute, about how large it is (families.ts). */
const ABOUT = /^[a-z0-9_]+~/
const isOrder = ({ test }: { readonly test: string }): boolean => ['gt', 'gte', 'lt', 'lte'].includes(test)

/** Whether a rule that asks for the match names the feature's value. Of numbers any. */
function names(match: Match, feature: Feature): boolean {
  if (match.type === 'number') return isOf(match.field, feature)
  const tests = (match.tests as readonly TextTest[]).filter(isPositive)
  if (tests.length === 0) return false
  if (match.type === 'text' && ONE_OF.includes(match.field) && isOf(match.field, feature)) return true
  if (match.type === 'attr' && isOf(`attr.${match.attr}`, feature) && ABOUT.test(feature.value)) return tests.some(isOrder)
  const event = eventOf(feature)
  if (!event) return false
  if (match.type === 'attr' && !isOf(`attr.${match.attr}`, feature)) return false
  if (match.type !== 'attr' && !isOf(match.field, feature)) return false
  return matches({ ...EMPTY, ...NOTHING, ...event } as unknown as Event, { ...match, tests } as Match)
}

/** Shares of all events of the visitors that fulfil each question. */
async function readShares(store: Store, questions: readonly EventFilter[], sight: Sight, whom: string): Promise<number[]> {
  const binder = new Binder()
  const counted = questions.map((question) => `countIf(${printPasses([question], sight.retentionMs, binder)})`)
  const [row] = await store.rows<{ shares: number[] }>({
    owner: 'lookalike.shares',
    sql: `SELECT arrayMap(n -> n / greatest(1, count()), [${counted.join(', ')}]) AS shares
          FROM (SELECT *, url FROM madeleine.events WHERE ${modelledSql(sight, whom, binder)})`,
    values: binder.values,
    settings: { log_queries: 0 },
  })
  return row?.shares ?? []
}

/** Answers whether a feature (by its number) is the rule's own. `seed`: the place of the seed among the audiences of the pass. */
export async function findRuleLeaks(
  store: Store,
  rule: ResolvedRule,
  { dictionary, sight }: Everybody,
  seed: number,
): Promise<(number: number) => boolean> {
  const clauses = clausesOf(rule)
  const filters = clauses.flatMap(filtersOf)
  const questions = clauses.flatMap((clause) =>
    filtersOf(clause)
      .flatMap(questionsOf)
      .map((filter) => ({ filter, counts: isCounting(clause) })),
  )
  const { run } = dictionary
  const some = (condition: string) =>
    `SELECT visitor FROM madeleine.visitor_features WHERE run = ${run} AND ${condition} ORDER BY cityHash64(visitor) LIMIT ${VISITORS_LOOKED_AT / 2}`
  const looked = { seeds: some(`has(held, ${seed})`), others: some(`NOT has(held, ${seed})`) }
  const whom = ` AND visitor IN (SELECT visitor FROM (${looked.seeds}) UNION ALL SELECT visitor FROM (${looked.others}))`
  const all = questions.map(({ filter }) => filter)
  const shares = all.length === 0 ? [] : await readShares(store, all, sight, whom)
  const between = (low: number, high: number) => all.filter((_, n) => (shares[n] ?? 0) > low && (shares[n] ?? 0) <= high)
  const own = new Set<number>()
  for (const [part, commoner] of [
    [between(-1, NARROW_SHARE), COMMONER_MIN],
    [between(NARROW_SHARE, BROAD_SHARE), 1],
  ] as const)
    if (part.length > 0)
      for (const number of await findLost(store, part, commoner, run, sight, { whom, ...looked })) own.add(number)

  const asked = filters.flatMap(({ where }) => where)
  const events = new Set(filters.flatMap((filter) => filter.events ?? []))
  // How much there is of everything, or of nearly everything, is a question too; so is how long ago.
  const asksAll = filters.some((filter) => filter.events === undefined && filter.where.length === 0)
  const asksMuch = questions.some(({ counts }, n) => counts && (shares[n] ?? 0) > BROAD_SHARE)
  const asksRecent = clauses.some(({ leaf }) => leaf.kind !== 'list' && leaf.withinMs < sight.retentionMs)
  return (number) => {
    const feature = featureOf(dictionary, number)
    if (own.has(number) || feature === undefined) return own.has(number)
    if ((asksAll || asksMuch) && (isOf('activity', feature) || feature.times > 1)) return true
    if (asksRecent && feature.kind === 'idle_days') return true
    return (feature.kind === 'event' && events.has(feature.value)) || asked.some((match) => names(match, feature))
  }
}

/** Features that visitors have, or that tell of the seed, by events that fulfil some question. `seeds`, `others`: SQL of the visitors looked at. */
async function findLost(
  store: Store,
  questions: readonly EventFilter[],
  commonerMin: number,
  run: bigint,
  sight: Sight,
  { whom, seeds, others }: { readonly whom: string; readonly seeds: string; readonly others: string },
): Promise<Set<number>> {
  const binder = new Binder()
  const where = modelledSql(sight, whom, binder)
  const own = printPasses(questions, sight.retentionMs, binder)
  const counted = (condition: string, end: string) =>
    `SELECT arrayJoin(features) AS number, countIf(visitor IN (${seeds})) / greatest(1, (SELECT count() FROM (${seeds}))) AS seeds_${end},
       countIf(visitor IN (${others})) / greatest(1, (SELECT count() FROM (${others}))) AS others_${end}, count() AS visitors_${end}
     FROM (${printGather(run, condition, sight, binder)}) GROUP BY number`
  const rows = await store.rows<{ number: number }>({
    owner: 'lookalike.leaks',
    sql: `SELECT number FROM (${counted(where, 'all')}) AS looked
          LEFT JOIN (${counted(`${where} AND NOT ${own}`, 'left')}) AS without USING (number)
          WHERE visitors_all - visitors_left >= ${OWN_SHARE} * visitors_all
            OR abs(seeds_all - others_all) > ${commonerMin} AND abs(seeds_left - others_left) < ${LEFT_SHARE} * abs(seeds_all - others_all)`,
    values: binder.values,
    settings: { log_queries: 0 },
  })
  return new Set(rows.map(({ number }) => number))
}
