// What the commands ask: bring audiences up to date, say what that would change, and prove that it is right.

import { MadeleineError } from '../core/errors.ts'
import type { AudienceId } from '../core/ids.ts'
import { isoOf } from '../core/time.ts'
import type { Store } from '../engine/store.ts'
import { BLOCKS_AT_ONCE, readArrivals } from './arrivals.ts'
import { eachFound, withFound } from './backfill.ts'
import { readDifferences, readDiffering } from './differences.ts'
import { keyOf, readAudienceLog, readGenerations } from './log.ts'
import { type Audience, DEFAULT_LIMITS, type PassLimits } from './pass.ts'
import { type Membership, makeMembership, type Refreshed } from './refresh.ts'
import { countNet, isMaintained, readState } from './state.ts'
import { readLastBuild, readLastTick } from './ticks.ts'
import { makeLooker } from './touched.ts'
import { PAUSE_MAX_MS, planWork, type RefreshOptions, TOUCHED_MAX } from './work.ts'

export type AudienceRules = ReadonlyMap<AudienceId, Omit<Audience, 'id'>>

/** `entered` and `left` are since the last build. */
export type BuildResult = { readonly asOfMs: number; readonly touched: number; readonly audiences: readonly Refreshed[] }

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

export type BuildOptions = {
  /** Every audience that there is: those that were built before are kept up to date. */
  readonly known: AudienceRules
  /** Those that are asked for, and answered. */
  readonly audiences: readonly Audience[]
  readonly retentionMs: number
  readonly now: () => number
  readonly limits?: PassLimits
  readonly budgetSeconds?: number | undefined
  readonly full?: boolean
  readonly onShare?: ((share: number) => void) | undefined
}

const refreshing = ({ known, audiences, limits = DEFAULT_LIMITS, ...options }: BuildOptions): RefreshOptions => ({
  ...options,
  limits,
  known: [...known].map(([id, { rule, refused }]) => ({ id, rule, refused })),
  wanted: new Set(audiences.map(({ id }) => id)),
  retry: true,
  checkpoint: true,
})

/** In the order in which they were asked for. */
function asked(audiences: readonly Audience[], found: readonly Refreshed[]): Refreshed[] {
  const byId = new Map(found.map((audience) => [audience.id, audience]))
  return audiences.flatMap(({ id }) => byId.get(id) ?? [])
}

export async function buildAudiences(
  store: Store,
  options: BuildOptions,
  membership: Membership = makeMembership(store),
): Promise<BuildResult> {
  const before = await readLastBuild(store)
  const { tick, atMs, touched, audiences } = await membership.refresh(refreshing(options))
  // Since the last build, whatever a server did in between.
  const counted = await countNet(store, before, tick)
  const changed = audiences.map((audience) => ({ ...audience, ...(counted.get(audience.id) ?? { entered: 0, left: 0 }) }))
  return { asOfMs: atMs, touched, audiences: asked(options.audiences, changed) }
}

/** What a build would do now, found as a build finds it; nothing is written that anybody reads. */
export async function previewBuild(store: Store, options: BuildOptions): Promise<BuildResult> {
  const state = await readState(store, TOUCHED_MAX)
  const refresh = refreshing(options)
  const work = await planWork(store, state, refresh)
  const { moment, maintained, evaluated, refused, visitors, waiting } = work
  const changes = new Map<AudienceId, { entered: number; left: number }>()
  const changeOf = (id: AudienceId) => {
    const change = changes.get(id) ?? { entered: 0, left: 0 }
    changes.set(id, change)
    return change
  }
  // Against what counts now: what a tick has written that did not come to its end is part of what the build will do.
  const upToTick = state.last?.tick ?? 0
  for await (const { transitions } of makeLooker(maintained).changes(store, visitors, moment, upToTick))
    for (const { audience, kind } of transitions) {
      if (kind === 'entered') changeOf(audience).entered++
      if (kind === 'left') changeOf(audience).left++
    }
  const pass = { audiences: evaluated, moment, limits: refresh.limits, onShare: options.onShare }
  const failed = await eachFound(store, pass, async (found) => {
    for (const [id, { entered, left }] of await readDifferences(store, found, { upToTick })) changes.set(id, { entered, left })
  })
  const found = [...maintained, ...evaluated].map(({ id, refused: unmade }): Refreshed => {
    const { entered, left } = changeOf(id)
    const size = (state.sizes.get(id) ?? 0) + entered - left
    const detail = failed.get(id) ?? unmade
    const standing = detail !== undefined ? 'failed' : waiting.has(id) ? 'waiting_for_list' : 'complete'
    return { id, size, entered, left, state: standing, detail: detail ?? '', cost: undefined }
  })
  for (const [id, detail] of refused)
    found.push({ id, size: state.sizes.get(id) ?? 0, entered: 0, left: 0, state: 'failed', detail, cost: undefined })
  return { asOfMs: moment.atMs, touched: visitors.length, audiences: asked(options.audiences, found) }
}

export type Verified = {
  readonly asOfMs: number
  readonly audiences: number
  /** Audiences whose written members are not those that a reading of everything finds. */
  readonly differences: readonly {
    readonly id: AudienceId
    /** Members who are not written as such, and the other way round. */
    readonly missing: number
    readonly extra: number
    /** Some of them. */
    readonly visitors: readonly string[]
  }[]
}

/**
 * Everything evaluated from nothing at the moment of the last tick, against the members as written. Visitors of whom something has come in since are left out: they are
 * the next tick's.
 */
export async function verifyMembers(
  store: Store,
  { known, retentionMs, limits = DEFAULT_LIMITS, onShare }: Omit<BuildOptions, 'audiences' | 'now'>,
): Promise<Verified> {
  const last = await readLastTick(store)
  if (!last) throw new MadeleineError('usage', 'nothing was built yet', { hint: 'madeleine build' })
  if (Date.now() - last.atMs > PAUSE_MAX_MS)
    throw new MadeleineError('usage', `the last build was at ${isoOf(last.atMs)}: what it rests on may have expired`, {
      hint: 'build first',
    })
  const log = await readAudienceLog(store, last.tick)
  const generations = await readGenerations(store)
  const audiences = [...known].flatMap(([id, { rule }]) => {
    return isMaintained(log.get(id), keyOf({ id, rule }, generations, retentionMs)) ? [{ id, rule }] : []
  })
  const moment = { atMs: last.atMs, retentionMs }
  return withFound(store, { audiences, moment, limits, onShare }, async (found) => {
    const except = await readArrivals(store, last, undefined)
    if (except.fresh.length > BLOCKS_AT_ONCE)
      throw new MadeleineError('usage', 'too much has come in since the last build', { hint: 'build first' })
    const compared = { upToTick: last.tick, except }
    const differences = [...(await readDifferences(store, found, compared))].filter(([, { entered, left }]) => entered + left > 0)
    const shown = await Promise.all(
      differences.map(async ([id, { entered, left }]) => ({
        id,
        missing: entered,
        extra: left,
        visitors: await readDiffering(store, found, compared, id),
      })),
    )
    return { asOfMs: last.atMs, audiences: audiences.length, differences: shown }
  })
}
