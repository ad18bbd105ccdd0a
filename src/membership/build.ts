// What the commands ask: bring audiences up to date, say what that would change, and prove that it is right.

import { MadeleineError } from '../core/errors.ts'
import type { AudienceId, VisitorId } from '../core/ids.ts'
import type { Store } from '../engine/store.ts'
import type { ResolvedRule } from '../rules/rule.ts'
import { readArrivals } from './arrivals.ts'
import { readDifferences, readDiffering, withFound } from './backfill.ts'
import { isCurrent, readAudienceLog } from './log.ts'
import { type Audience, DEFAULT_LIMITS, type PassLimits } from './pass.ts'
import { type Membership, makeMembership, type Refreshed } from './refresh.ts'
import { countNet, readState } from './state.ts'
import { readLastBuild, readLastTick } from './ticks.ts'
import { makeLooker } from './touched.ts'
import { planWork, type RefreshOptions, TOUCHED_MAX } from './work.ts'

export type AudienceRules = ReadonlyMap<AudienceId, { readonly rule: ResolvedRule }>

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
  known: [...known].map(([id, { rule }]) => ({ id, rule })),
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
  for await (const { transitions } of makeLooker(maintained).changes(store, visitors, moment))
    for (const { audience, kind } of transitions) {
      if (kind === 'entered') changeOf(audience).entered++
      if (kind === 'left') changeOf(audience).left++
    }
  // Against all that is written, as a build would: what an unfinished tick left is there already.
  if (evaluated.length > 0)
    await withFound(store, { audiences: evaluated, moment, limits: refresh.limits, onShare: options.onShare }, async (found) => {
      for (const [id, { entered, left }] of await readDifferences(store, found, {})) changes.set(id, { entered, left })
    })
  const found = [...maintained, ...evaluated].map(({ id }): Refreshed => {
    const { entered, left } = changeOf(id)
    const size = (state.sizes.get(id) ?? 0) + entered - left
    return { id, size, entered, left, state: waiting.has(id) ? 'waiting_for_list' : 'complete', detail: '', cost: undefined }
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
  const log = await readAudienceLog(store, last.tick)
  const audiences = [...known].flatMap(([id, { rule }]) => {
    return isCurrent(log.get(id)) ? [{ id, rule }] : []
  })
  const moment = { atMs: last.atMs, retentionMs }
  return withFound(store, { audiences, moment, limits, onShare }, async (found) => {
    const { visitors: except } = await readArrivals(store, last, TOUCHED_MAX)
    if (!except)
      throw new MadeleineError('usage', `more than ${TOUCHED_MAX} visitors have come in since the last build`, {
        hint: 'build first',
      })
    const compared = { upToTick: last.tick, except: except as readonly VisitorId[] }
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
