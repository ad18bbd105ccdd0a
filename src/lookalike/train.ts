// Trainings: of each lookalike that is due a model of its seed, everybody's score, and the best of them as its members. One reading of the events serves all of them.

import { causeOf, MadeleineError } from '../core/errors.ts'
import type { AudienceId } from '../core/ids.ts'
import { log } from '../core/log.ts'
import type { Store } from '../engine/store.ts'
import { type Found, withFound } from '../membership/backfill.ts'
import type { Audience, PassLimits } from '../membership/pass.ts'
import type { ResolvedRule } from '../rules/rule.ts'
import { type LookalikeSettings, trainedList } from '../settings/lookalikes.ts'
import { makeBatches } from '../spool/batches.ts'
import type { Taxonomy } from '../taxonomy/tree.ts'
import { type Change, readChange } from './change.ts'
import { choose, readThreshold, type Scored } from './choose.ts'
import { dropRun, writeDictionary } from './dictionary.ts'
import { type Everybody, gatherEverybody } from './everybody.ts'
import { nameOf } from './families.ts'
import { countPopulation, inPool, type Learned, learn, type Places, SEED_MIN, seedSql } from './learn.ts'
import { refusalOf } from './model/evidence.ts'
import { printScores } from './score.ts'
import { countVisitors, type Due, dictionaryOf, type ReportedFeature, runOf, type Training, writeTraining } from './trainings.ts'
import { commitList, dropBefore, nextGeneration, writeMembers } from './written.ts'

/** While the engine scores by one model, another one is fitted here. */
const AT_ONCE = 2
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

/** One that fails takes no other along: what it failed by stands with it. A store that does not answer fails them all. */
export async function trainLookalikes(store: Store, due: readonly Due[], options: TrainOptions): Promise<Training[]> {
  if (due.length === 0) return []
  const { retentionMs, now, limits, taxonomy, onShare = () => {} } = options
  const { audiences, placeOf } = rulesOf(due)
  const moment = { atMs: now(), retentionMs }
  const first = await nextGeneration(store, moment.atMs)
  const visitors = await countVisitors(store, moment.atMs - retentionMs)
  const run = makeBatches(Date.now)() // of the engine's housekeeping, not of the moment that is asked about
  const all = async (found: Found): Promise<Training[]> => {
    const seeds = [...new Set(due.map(({ lookalike }) => placeOf(lookalike.seed.rule)))]
    const share = (done: number) => onShare(0.2 + 0.3 * done)
    const everybody = await gatherEverybody(store, run, found, { seeds, taxonomy, limits, onShare: share })
    const trained: (Training | undefined)[] = due.map(() => undefined)
    const shares = due.map(() => 0)
    const queue = [...due.entries()]
    const work = async (): Promise<void> => {
      for (let next = queue.shift(); next; next = queue.shift()) {
        const [n, one] = next
        const { seed, among } = one.lookalike
        const places: Places = { seed: placeOf(seed.rule), among: among && placeOf(among.rule) }
        const shareOf = (own: number) => {
          shares[n] = own
          onShare(0.5 + (0.5 * shares.reduce((sum, part) => sum + part, 0)) / due.length)
        }
        const generation = first + n
        const parts = { ...options, everybody, atMs: moment.atMs, generation, visitors, places, onShare: shareOf }
        trained[n] = await trainOne(store, one, parts).catch((error: unknown) =>
          writeFailure(store, one, { atMs: moment.atMs, generation }, error, options),
        )
        shareOf(1)
      }
    }
    const ended = await Promise.allSettled(Array.from({ length: AT_ONCE }, work))
    for (const end of ended) if (end.status === 'rejected') throw end.reason
    return trained.filter((training) => training !== undefined)
  }
  try {
    return await withFound(store, { audiences, moment, limits, onShare: (share) => onShare(0.2 * share) }, all)
  } catch (error) {
    const [only] = due
    if (only && due.length === 1)
      return [await writeFailure(store, only, { atMs: moment.atMs, generation: first }, error, options)]
    if (isAway(error)) throw error
    log.warn({ cause: causeOf(error) }, 'lookalikes could not be trained together: each by itself')
    const trained: Training[] = []
    for (const one of due) trained.push(...(await trainLookalikes(store, [one], options)))
    return trained
  } finally {
    for (const table of ['feature_lookups', 'visitor_features', 'lookalike_scores'] as const) await dropRun(store, table, run)
  }
}

const isAway = (error: unknown): boolean => error instanceof MadeleineError && error.code === 'store_unreachable'

async function writeFailure(
  store: Store,
  { lookalike, definition, inputs }: Due,
  { atMs, generation }: { readonly atMs: number; readonly generation: number },
  error: unknown,
  { listOf }: TrainOptions,
): Promise<Training> {
  if (isAway(error)) throw error
  log.warn({ lookalike: lookalike.id, cause: causeOf(error) }, 'a lookalike could not be trained')
  const base = {
    lookalike: lookalike.id,
    generation,
    atMs,
    definition,
    inputs,
    seed: 0,
    pool: 0,
    visitors: 0,
    size: 0,
    least: 1,
    seconds: 0,
  }
  const training: Training = { ...base, outcome: 'failed', detail: `the training failed: ${causeOf(error)}` }
  if (listOf === undefined) await writeTraining(store, training, undefined, undefined)
  return training
}

type One = TrainOptions & {
  readonly everybody: Everybody
  readonly atMs: number
  /** Nobody else's. */
  readonly generation: number
  readonly visitors: number
  readonly places: Places
  readonly onShare: (share: number) => void
}

/** Undefined where there is nothing to train on yet. */
async function trainOne(store: Store, due: Due, one: One): Promise<Training | undefined> {
  const startedMs = performance.now()
  const { lookalike, definition, inputs, last } = due
  const { everybody, places, atMs, generation, retentionMs, listOf } = one
  const { run } = everybody.dictionary
  const isDraft = listOf !== undefined
  const list = listOf?.(lookalike.id) ?? trainedList(lookalike.id)
  const commit = { generation, atMs, retentionMs }
  const population = await countPopulation(store, run, places)
  if (population.seed === 0 && last === undefined) return undefined
  const seconds = () => (performance.now() - startedMs) / 1000
  const base = {
    lookalike: lookalike.id,
    generation,
    atMs,
    definition,
    inputs,
    seed: population.seed,
    pool: population.pool,
    visitors: one.visitors,
  }
  const refused = async (detail: string, learned?: Learned): Promise<Training> => {
    const training: Training = {
      ...base,
      outcome: 'refused',
      detail: `refused: ${detail}`,
      size: 0,
      least: 1,
      seconds: seconds(),
    }
    const report = learned && reportOf(lookalike, learned, { fit: seconds(), score: 0 }, undefined)
    if (!isDraft) await writeTraining(store, training, undefined, report)
    // Nobody is a member; and one that was empty before need not be looked at again.
    if (isDraft || last?.outcome !== 'refused') await commitList(store, list, 0, commit)
    if (!isDraft) await dropBefore(store, lookalike.id, generation)
    return training
  }
  if (population.seed < SEED_MIN)
    return refused(`the seed has ${population.seed} known visitors whose events permit models, and a model needs ${SEED_MIN}`)
  if (population.pool === 0) return refused('nobody is in the pool outside the seed')
  const learned = await learn(store, lookalike, everybody, places, population, (share) => one.onShare(0.8 * share))
  const fitSeconds = seconds()
  const refusal = learned.numbers.length === 0 ? 'every feature is left out' : refusalOf(learned.evidence)
  if (refusal !== undefined) return refused(refusal, learned)

  const scored = await scoreEverybody(store, due, learned, one)
  const choice = await choose(store, scored, lookalike.reach, lookalike.churn)
  const change = await readChange(store, scored, choice, learned)
  const least = await readThreshold(store, scored, lookalike.reach, choice.size)
  await writeMembers(store, scored, choice, list, commit)
  const report = reportOf(lookalike, learned, { fit: fitSeconds, score: seconds() - fitSeconds }, change)
  const training: Training = { ...base, outcome: 'trained', detail: '', size: choice.size, least, seconds: seconds() }
  if (!isDraft) {
    await writeDictionary(store, dictionaryOf(training, learned.features), one.taxonomy)
    await writeTraining(store, training, { model: learned.model, features: learned.features }, report)
  }
  await commitList(store, list, choice.size, commit)
  if (!isDraft) {
    await dropBefore(store, lookalike.id, generation)
    if (last) await dropRun(store, 'feature_lookups', runOf(last))
  }
  return training
}

/** Of the pool outside the seed. */
async function scoreEverybody(store: Store, { lookalike, former }: Due, learned: Learned, one: One): Promise<Scored> {
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
  return { run, lookalike: lookalike.id, former }
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
