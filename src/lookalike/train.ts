// Trainings: of each lookalike that is due a model of its seed, everybody's score, and the best of them as its members. One reading of the events serves all of them.
// The members are written as a list is imported: the row in `list_imports` comes last, and until then the ones before count.

import type { AudienceId } from '../core/ids.ts'
import type { Store } from '../engine/store.ts'
import { dropOld, lastGeneration } from '../imports/list.ts'
import { type Found, withFound } from '../membership/backfill.ts'
import { readGenerations } from '../membership/log.ts'
import type { Audience, PassLimits } from '../membership/pass.ts'
import type { ResolvedRule } from '../rules/rule.ts'
import type { LookalikeSettings } from '../settings/lookalikes.ts'
import { makeBatches } from '../spool/batches.ts'
import type { Taxonomy } from '../taxonomy/tree.ts'
import { type Change, readChange } from './change.ts'
import { type Choice, choose, chosenSql, chosenValues, type Scored } from './choose.ts'
import { dropRun, writeDictionary } from './dictionary.ts'
import { type Everybody, gatherEverybody } from './everybody.ts'
import { nameOf } from './families.ts'
import { countPopulation, inPool, type Learned, learn, type Places, seedSql } from './learn.ts'
import { refusalOf } from './model/evidence.ts'
import { printScores } from './score.ts'
import { type Due, dictionaryOf, type ReportedFeature, runOf, type Training, writeTraining } from './trainings.ts'

/** Fewer have no signal that could be told from chance. */
export const SEED_MIN = 30
/** Features that a report names. */
const FEATURES_TOLD = 100

export type TrainOptions = {
  readonly taxonomy: Taxonomy
  readonly retentionMs: number
  readonly now: () => number
  readonly limits: PassLimits
  readonly onShare?: (share: number) => void
  /** The list that the members are written to, where it is not the lookalike's own: for somebody who only wants to know. */
  readonly listOf?: (id: AudienceId) => string
}

/** Each distinct rule once, with its number in the pass. */
function rulesOf(due: readonly Due[]): { audiences: Audience[]; placeOf: (rule: ResolvedRule) => number } {
  const places = new Map<ResolvedRule, number>()
  for (const { lookalike } of due)
    for (const rule of [lookalike.seed.rule, ...(lookalike.among ? [lookalike.among.rule] : [])])
      if (!places.has(rule)) places.set(rule, places.size + 1)
  const audiences = [...places].map(([rule, n]) => ({ id: `rule-${n}` as AudienceId, rule }))
  return { audiences, placeOf: (rule) => places.get(rule) ?? 0 }
}

export async function trainLookalikes(store: Store, due: readonly Due[], options: TrainOptions): Promise<Training[]> {
  if (due.length === 0) return []
  const { retentionMs, now, limits, taxonomy, onShare = () => {} } = options
  const { audiences, placeOf } = rulesOf(due)
  const moment = { atMs: now(), retentionMs }
  const run = makeBatches(Date.now)() // of the engine's housekeeping, not of the moment that is asked about
  return withFound(store, { audiences, moment, limits, onShare: (share) => onShare(0.2 * share) }, async (found) => {
    try {
      const seeds = [...new Set(due.map(({ lookalike }) => placeOf(lookalike.seed.rule)))]
      const share = (done: number) => onShare(0.2 + 0.3 * done)
      const everybody = await gatherEverybody(store, run, found, { seeds, taxonomy, limits, onShare: share })
      const trained: Training[] = []
      for (const [n, one] of due.entries()) {
        const { seed, among } = one.lookalike
        const places: Places = { seed: placeOf(seed.rule), among: among && placeOf(among.rule) }
        trained.push(
          await trainOne(store, one, {
            ...options,
            everybody,
            found,
            places,
            onShare: (own) => onShare(0.5 + (0.5 * (n + own)) / due.length),
          }),
        )
      }
      return trained
    } finally {
      for (const table of ['feature_lookups', 'visitor_features', 'lookalike_scores'] as const) await dropRun(store, table, run)
    }
  })
}

type One = TrainOptions & {
  readonly everybody: Everybody
  readonly found: Found
  readonly places: Places
  readonly onShare: (share: number) => void
}

async function trainOne(store: Store, due: Due, one: One): Promise<Training> {
  const startedMs = performance.now()
  const { lookalike, definition } = due
  const { everybody, places, found } = one
  const { run } = everybody.dictionary
  const generation = Math.max(found.moment.atMs, (await lastGeneration(store)) + 1)
  const population = await countPopulation(store, run, places)
  const seconds = () => (performance.now() - startedMs) / 1000
  const base = { lookalike: lookalike.id, generation, atMs: found.moment.atMs, definition, ...population }
  const refused = async (detail: string, learned?: Learned): Promise<Training> => {
    const training: Training = { ...base, outcome: 'refused', detail, size: 0, least: 1, seconds: seconds() }
    if (one.listOf === undefined)
      await writeTraining(
        store,
        training,
        undefined,
        learned && reportOf(lookalike, learned, { fit: seconds(), score: 0 }, undefined),
      )
    return training
  }
  if (population.seed < SEED_MIN)
    return refused(
      `refused: the seed has ${population.seed} known visitors whose events permit models, and a model needs ${SEED_MIN}`,
    )
  if (population.pool === 0) return refused('refused: nobody is in the pool outside the seed')
  const learned = await learn(store, lookalike, everybody, places, population, (share) => one.onShare(0.8 * share))
  const fitSeconds = seconds()
  const refusal = learned.numbers.length === 0 ? 'every feature is left out' : refusalOf(learned.evidence)
  if (refusal !== undefined) return refused(`refused: ${refusal}`, learned)

  const scored = await scoreEverybody(store, due, learned, one)
  const choice = await choose(store, scored, lookalike.reach, lookalike.churn)
  const change = await readChange(store, scored, choice, learned)
  const least = await writeMembers(
    store,
    scored,
    choice,
    { generation, atMs: found.moment.atMs, retentionMs: one.retentionMs },
    one,
  )
  const report = reportOf(lookalike, learned, { fit: fitSeconds, score: seconds() - fitSeconds }, change)
  const training: Training = { ...base, outcome: 'trained', detail: '', size: choice.size, least, seconds: seconds() }
  if (one.listOf === undefined) {
    const model = { model: learned.model, features: learned.features }
    await writeDictionary(store, dictionaryOf(training, learned.features), one.taxonomy)
    await writeTraining(store, training, model, report)
  }
  await commitList(store, listName(one, lookalike.id), {
    generation,
    size: choice.size,
    atMs: found.moment.atMs,
    retentionMs: one.retentionMs,
  })
  if (one.listOf === undefined) await dropOld(store, lookalike.id, generation)
  if (one.listOf === undefined && due.last) await dropRun(store, 'feature_lookups', runOf(due.last))
  return training
}

const listName = ({ listOf }: TrainOptions, id: AudienceId): string => listOf?.(id) ?? id

/** Of the pool outside the seed. The budget of churn is for one definition: another one is another audience. */
async function scoreEverybody(store: Store, { lookalike, definition, last }: Due, learned: Learned, one: One): Promise<Scored> {
  const { run } = one.everybody.dictionary
  const from = `SELECT visitor, features FROM madeleine.visitor_features WHERE run = ${run} AND ${inPool(one.places)} AND NOT ${seedSql(one.places)}`
  await store.run({
    owner: 'lookalike.score',
    sql: `INSERT INTO madeleine.lookalike_scores (run, lookalike, visitor, score)
          SELECT ${run}, {lookalike:String}, visitor, score FROM (${printScores(learned, from)})`,
    values: { lookalike: lookalike.id },
    settings: {
      log_queries: 0,
      max_memory_usage: one.limits.memoryBytes,
      max_ast_elements: 10_000_000,
      max_expanded_ast_elements: 10_000_000,
    },
  })
  const former =
    last?.outcome === 'trained' && last.definition === definition ? (await readGenerations(store)).get(lookalike.id) : undefined
  return { run, lookalike: lookalike.id, former }
}

type Commit = { readonly generation: number; readonly atMs: number; readonly retentionMs: number }

/** Answers the lowest score of a member. */
async function writeMembers(
  store: Store,
  scored: Scored,
  choice: Choice,
  { generation, atMs, retentionMs }: Commit,
  one: One,
): Promise<number> {
  const chosen = chosenSql(scored, choice)
  const values = chosenValues(scored)
  await store.run({
    owner: 'lookalike.members',
    sql: `INSERT INTO madeleine.list_members (list, generation, visitor, at, expires, score)
          SELECT {list:String}, {generation:UInt64}, visitor, fromUnixTimestamp64Milli({at:Int64}, 'UTC'), fromUnixTimestamp64Milli({expires:Int64}, 'UTC'), score FROM (${chosen})`,
    values: { ...values, list: listName(one, scored.lookalike), generation, at: atMs, expires: atMs + retentionMs },
    settings: { log_queries: 0 },
  })
  const [row] = await store.rows<{ least: number }>({
    owner: 'lookalike.least',
    sql: `SELECT min(score) AS least FROM (${chosen})`,
    values,
    settings: { log_queries: 0 },
  })
  return choice.size === 0 ? 1 : (row?.least ?? 1)
}

export async function commitList(
  store: Store,
  list: string,
  { generation, size, atMs, retentionMs }: Commit & { readonly size: number },
): Promise<void> {
  await store.insertLines({
    owner: 'lookalike.commit',
    into: 'madeleine.list_imports (list, generation, size, at, expires)',
    lines: Buffer.from(`${JSON.stringify({ list, generation, size, at: atMs, expires: atMs + retentionMs })}\n`),
  })
}

function reportOf(
  { exclude }: LookalikeSettings,
  learned: Learned,
  seconds: { readonly fit: number; readonly score: number },
  change: Change | undefined,
) {
  const { weights } = learned
  const told = learned.features
    .map(
      (feature, n): ReportedFeature => ({ name: nameOf(feature), weight: weights[n] ?? 0, visitors: learned.visitors[n] ?? 0 }),
    )
    .sort((a, b) => Math.abs(b.weight) * Math.sqrt(b.visitors) - Math.abs(a.weight) * Math.sqrt(a.visitors))
  const { evidence, leaks, sample } = learned
  return { evidence, features: told.slice(0, FEATURES_TOLD), leaks, excluded: exclude, sample, seconds, change }
}
