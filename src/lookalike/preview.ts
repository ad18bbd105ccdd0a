// What a build would make of lookalikes, for a plan: trainings and newcomers as drafts under names that no audience can have, gone when the plan is made.

import type { AudienceId } from '../core/ids.ts'
import type { Store } from '../engine/store.ts'
import type { AudienceRules } from '../membership/build.ts'
import { ARRIVAL_MARGIN_MS, readLastTick } from '../membership/ticks.ts'
import type { ResolvedRule } from '../rules/rule.ts'
import type { LookalikeSettings } from '../settings/lookalikes.ts'
import { makeBatches } from '../spool/batches.ts'
import { addNewcomers, readApplied } from './newcomers.ts'
import { commitList, type TrainOptions, trainLookalikes } from './train.ts'
import { readDue, readTrainings, type Training } from './trainings.ts'

/** The same rule, of another list. */
function withList(rule: ResolvedRule, id: AudienceId, list: AudienceId): ResolvedRule {
  switch (rule.kind) {
    case 'all':
    case 'any':
      return { ...rule, rules: rule.rules.map((item) => withList(item, id, list)) }
    case 'not':
      return { ...rule, rule: withList(rule.rule, id, list) }
    case 'list':
      return rule.id === id && rule.needs === 'model' ? { ...rule, id: list } : rule
    default:
      return rule
  }
}

/** Of one that is trained already, a copy of its list with whoever has come. Undefined where nobody has. */
async function draftNewcomers(store: Store, training: Training, draft: AudienceId, options: TrainOptions): Promise<boolean> {
  const { now, retentionMs, limits } = options
  const applied = await readApplied(store, [training], new Map())
  if (applied.size === 0) return false
  const { lookalike, generation } = training
  const sinceMs = ((await readLastTick(store))?.atMs ?? 0) - ARRIVAL_MARGIN_MS
  const nowMs = now()
  const added = await addNewcomers(store, applied, { retentionMs, nowMs, sinceMs, dueMs: undefined, limits, listOf: () => draft })
  if (added === 0) return false
  await store.run({
    owner: 'lookalike.preview',
    sql: `INSERT INTO madeleine.list_members (list, generation, visitor, at, expires, score)
          SELECT {draft:String}, generation, visitor, at, expires, score FROM madeleine.list_members WHERE list = {list:String} AND generation = {generation:UInt64}`,
    values: { draft, list: lookalike, generation },
  })
  await commitList(store, draft, { generation, size: 0, atMs: nowMs, retentionMs })
  return true
}

async function dropDrafts(store: Store, drafts: readonly string[]): Promise<void> {
  for (const table of ['list_members', 'list_imports'])
    await store.run({
      owner: 'lookalike.preview',
      sql: `DELETE FROM madeleine.${table} WHERE list IN {drafts:Array(String)}`,
      values: { drafts },
    })
}

/** Runs `work` with the audiences as a build would have them. */
export async function withPreview<T>(
  store: Store,
  lookalikes: ReadonlyMap<AudienceId, LookalikeSettings>,
  known: AudienceRules,
  options: TrainOptions,
  work: (known: AudienceRules) => Promise<T>,
): Promise<T> {
  if (lookalikes.size === 0) return work(known)
  const number = makeBatches(options.now)()
  const draftOf = (id: AudienceId) => `draft:${number}:${id}` as AudienceId
  try {
    const { retentionMs, now } = options
    const due = await readDue(store, lookalikes.values(), { nowMs: now(), retentionMs, retry: true })
    const drafted = await trainLookalikes(store, due, { ...options, listOf: draftOf })
    const outcomes = new Map(drafted.map((training) => [training.lookalike, training]))
    const changed = new Map(known)
    for (const [id, training] of await readTrainings(store)) {
      if (!lookalikes.has(id) || outcomes.has(id) || training.outcome !== 'trained') continue
      if (await draftNewcomers(store, training, draftOf(id), options)) outcomes.set(id, training)
    }
    for (const [id, { outcome, detail }] of outcomes) {
      const rule = known.get(id)?.rule
      if (rule) changed.set(id, outcome === 'refused' ? { rule, refused: detail } : { rule: withList(rule, id, draftOf(id)) })
    }
    return await work(changed)
  } finally {
    await dropDrafts(store, [...lookalikes.keys()].map(draftOf))
  }
}
