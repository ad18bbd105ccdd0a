// What a build would make of lookalikes, for a plan: trainings and newcomers as drafts under names that no audience can have, gone when the plan is made.

import type { AudienceId } from '../core/ids.ts'
import type { Store } from '../engine/store.ts'
import type { AudienceRules } from '../membership/build.ts'
import type { ResolvedRule } from '../rules/rule.ts'
import { type LookalikeSettings, trainedList } from '../settings/lookalikes.ts'
import { makeBatches } from '../spool/batches.ts'
import { addNewcomers, countRefusers, type One, readApplied, readLookSight, refusersSql } from './newcomers.ts'
import { type TrainOptions, trainLookalikes } from './train.ts'
import { readDue } from './trainings.ts'
import { commitList } from './written.ts'

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

/** Of one that is trained already, a copy of its list with whoever has come and without whoever has refused. False where nobody has. */
async function draftLook(
  store: Store,
  one: One,
  draft: AudienceId,
  { now, retentionMs, limits }: TrainOptions,
): Promise<boolean> {
  const options = { retentionMs, nowMs: now(), sinceMs: undefined, limits, list: draft }
  const refusers = await countRefusers(store, one)
  const added = await addNewcomers(store, one, await readLookSight(store, options), options)
  if (added + refusers === 0) return false
  const { sql, values } = refusersSql(one)
  const { generation } = one.training
  await store.run({
    owner: 'lookalike.preview',
    sql: `INSERT INTO madeleine.list_members (list, generation, visitor, at, expires, score)
          SELECT {draft:String}, generation, visitor, at, expires, score FROM madeleine.list_members
          WHERE list = {list:String} AND generation = {generation:UInt64} AND visitor NOT IN (${sql})`,
    values: { ...values, draft },
  })
  await commitList(store, draft, 0, { generation, atMs: options.nowMs, retentionMs })
  return true
}

/** Its own, and those of plans that were killed. */
async function dropDrafts(store: Store, own: string): Promise<void> {
  for (const table of ['list_members', 'list_imports'])
    await store.run({
      owner: 'lookalike.preview',
      sql: `DELETE FROM madeleine.${table} WHERE startsWith(list, {own:String}) OR startsWith(list, 'draft:') AND at < now64(3) - INTERVAL 1 DAY`,
      values: { own },
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
  let isWritten = false
  try {
    const { retentionMs, now } = options
    const due = await readDue(store, lookalikes.values(), { nowMs: now(), retentionMs, retry: true })
    isWritten = due.length > 0 // also where it is cut off in the middle
    const drafted = await trainLookalikes(store, due, { ...options, listOf: draftOf })
    const changed = new Map(known)
    const take = (id: AudienceId, refused: string | undefined) => {
      const rule = known.get(id)?.rule
      if (rule) changed.set(id, { rule: withList(rule, trainedList(id), draftOf(id)), refused })
    }
    for (const { lookalike: id, outcome, detail } of drafted) {
      const was = known.get(id)
      if (outcome !== 'failed') take(id, outcome === 'refused' ? detail : undefined)
      else if (was) changed.set(id, { ...was, refused: detail })
    }
    const trained = new Set(drafted.map(({ lookalike }) => lookalike))
    for (const [id, one] of await readApplied(store, lookalikes, new Map()))
      if (!trained.has(id) && (await draftLook(store, one, draftOf(id), options))) {
        take(id, undefined)
        trained.add(id)
      }
    isWritten ||= trained.size > 0
    return await work(changed)
  } finally {
    if (isWritten) await dropDrafts(store, draftOf('' as AudienceId))
  }
}
