// A full build: every asked-for audience evaluated at one moment in one pass, stored as a new build beside the old one.
// A build exists from the moment its rows in `builds` do, written last and in one block; one that was cut off leaves members that nobody reads.

import { MadeleineError } from '../core/errors.ts'
import type { AudienceId } from '../core/ids.ts'
import type { Store } from '../engine/store.ts'
import { listsOf } from '../rules/clauses.ts'
import type { ResolvedRule } from '../rules/rule.ts'
import { readLatestBuilds } from './latest.ts'
import { readImportedLists } from './lists.ts'
import { type Audience, DEFAULT_LIMITS, type PassLimits, passOver } from './pass.ts'

export type AudienceRules = ReadonlyMap<AudienceId, { readonly rule: ResolvedRule }>

export type BuiltAudience = {
  readonly id: AudienceId
  readonly size: number
  readonly entered: number
  readonly left: number
  /** `waiting_for_list`: a list that the rule needs was never imported, and counts as empty. */
  readonly state: 'complete' | 'waiting_for_list'
}
export type BuildResult = { readonly asOfMs: number; readonly audiences: readonly BuiltAudience[] }

/** Builds beside the last of each audience that stay, so that two builds at once do not sweep each other's rows away. */
const BUILDS_KEPT = 3

/** Throws `usage` for an id nobody defined. */
export function chooseAudiences<A extends AudienceRules>(
  known: A,
  ids: readonly string[],
  usual: readonly AudienceId[] = [...known.keys()],
): Audience[] {
  const chosen = ids.length === 0 ? usual : [...new Set(ids)]
  return chosen.map((id) => {
    const audience = known.get(id as AudienceId)
    if (!audience)
      throw new MadeleineError('usage', `unknown audience \`${id}\``, {
        hint: `known: ${[...known.keys()].join(', ') || 'none'}`,
      })
    return { id: id as AudienceId, rule: audience.rule }
  })
}

type Counted = { readonly audience: AudienceId; readonly size: number; readonly entered: number; readonly left: number }

async function countChanges(
  store: Store,
  build: number,
  previous: ReadonlyMap<AudienceId, number>,
  ids: readonly AudienceId[],
): Promise<Map<AudienceId, Counted>> {
  const known = ids.filter((id) => previous.has(id))
  const rows = await store.rows<Counted>({
    owner: 'membership.changes',
    sql: `SELECT audience, countIf(is) AS size, countIf(is AND NOT was) AS entered, countIf(was AND NOT is) AS left
          FROM (
            SELECT audience, visitor, max(build = {build:UInt64}) AS is, max(build != {build:UInt64}) AS was
            FROM madeleine.members
            WHERE build = {build:UInt64} OR build = transform(audience, {ids:Array(String)}, arrayMap(b -> toUInt64(b), {builds:Array(String)}), toUInt64(0))
            GROUP BY audience, visitor
          ) GROUP BY audience`,
    values: {
      build,
      ids: known.length > 0 ? known : [''],
      builds: known.length > 0 ? known.map((id) => String(previous.get(id))) : ['0'],
    },
  })
  return new Map(rows.map((row) => [row.audience, row]))
}

async function dropOldBuilds(store: Store): Promise<void> {
  const old = await store.rows<{ partition: string }>({
    owner: 'membership.sweep',
    sql: `SELECT DISTINCT partition FROM system.parts
          WHERE database = 'madeleine' AND table = 'members' AND active
            AND toUInt64(partition) NOT IN (SELECT max(build) FROM madeleine.builds GROUP BY audience)
            AND toUInt64(partition) NOT IN (SELECT DISTINCT toUInt64(p.partition) AS b FROM system.parts AS p WHERE p.database = 'madeleine' AND p.table = 'members' AND p.active ORDER BY b DESC LIMIT ${BUILDS_KEPT})`,
  })
  for (const { partition } of old)
    await store.run({ owner: 'membership.sweep', sql: `ALTER TABLE madeleine.members DROP PARTITION ${BigInt(partition)}` })
}

export type BuildOptions = {
  readonly audiences: readonly Audience[]
  readonly retentionMs: number
  readonly now: () => number
  readonly limits?: PassLimits
  readonly onShare?: ((share: number) => void) | undefined
}

type Evaluated = BuildResult & { readonly build: number }

/** The members of the audiences now, stored under a number that is no build yet, and counted against the last build of each. */
async function evaluateBuild(
  store: Store,
  { audiences, retentionMs, now, limits = DEFAULT_LIMITS, onShare }: BuildOptions,
): Promise<Evaluated> {
  const asOfMs = now()
  const latest = await readLatestBuilds(store, retentionMs, asOfMs)
  // Builds are numbered by their moment; a clock that went back must not put a new build behind an old one.
  const build = Math.max(asOfMs, ...[...latest.values()].map((known) => known.build + 1))
  const ids = audiences.map(({ id }) => id)
  const pass = { audiences, moment: { atMs: asOfMs, retentionMs, nowMs: asOfMs }, limits, onShare }
  await passOver(store, pass, ({ sql, values, settings }) =>
    store.run({
      owner: 'membership.build',
      sql: `INSERT INTO madeleine.members (build, audience, visitor, expires)
            SELECT {build:UInt64}, {audiences:Array(String)}[arrayJoin(held)], visitor, expires FROM (${sql})`,
      values: { ...values, build, audiences: ids },
      settings,
    }),
  )
  const previous = new Map([...latest].map(([id, known]) => [id, known.build]))
  const counted = await countChanges(store, build, previous, ids)
  const imported = await readImportedLists(store)
  const evaluated = audiences.map(({ id, rule }): BuiltAudience => {
    const { size = 0, entered = 0, left = 0 } = counted.get(id) ?? {}
    const isWaiting = listsOf(rule).some((list) => !imported.has(list))
    return { id, size, entered, left, state: isWaiting ? 'waiting_for_list' : 'complete' }
  })
  return { asOfMs, build, audiences: evaluated }
}

export async function buildAudiences(store: Store, options: BuildOptions): Promise<BuildResult> {
  if (options.audiences.length === 0) return { asOfMs: options.now(), audiences: [] }
  const { asOfMs, build, audiences } = await evaluateBuild(store, options)
  const rows = audiences.map(({ id, size, entered, left }) =>
    JSON.stringify({ build, as_of: asOfMs, audience: id, size, entered, left }),
  )
  await store.insertLines({
    owner: 'membership.commit',
    into: 'madeleine.builds (build, as_of, audience, size, entered, left)',
    lines: Buffer.from(`${rows.join('\n')}\n`),
  })
  await dropOldBuilds(store)
  return { asOfMs, audiences }
}

/** What a build would do now: evaluated as a build is, and put away. What a killed or failed one leaves, the next build sweeps away. */
export async function previewBuild(store: Store, options: BuildOptions): Promise<BuildResult> {
  if (options.audiences.length === 0) return { asOfMs: options.now(), audiences: [] }
  const { asOfMs, build, audiences } = await evaluateBuild(store, options)
  await store.run({ owner: 'membership.preview', sql: `ALTER TABLE madeleine.members DROP PARTITION ${BigInt(build)}` })
  return { asOfMs, audiences }
}
