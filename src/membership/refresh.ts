// A tick: members brought up to a moment. Whom something happened to, or is due to happen to, is looked at in memory; audiences that are new or have changed
// are evaluated over everybody. Then one row says that the tick is done. Until then readers see the tick before, and a tick that was cut off is made again: its rows stay,
// each of them true at its moment, and those they are about are looked at once more.

import { HOUR_MS, MINUTE_MS } from '../core/duration.ts'
import { messageOf, StoreRefused } from '../core/errors.ts'
import type { AudienceId, VisitorId } from '../core/ids.ts'
import { log } from '../core/log.ts'
import type { Store } from '../engine/store.ts'
import { listsOf } from '../rules/clauses.ts'
import { type Arrivals, readArrivals, readDue } from './arrivals.ts'
import { type Found, withFound, writeDifferences } from './backfill.ts'
import { type Cost, shareOf } from './costs.ts'
import { isCurrent, keyOf, type Logged, type LogRow, readGenerations, ruleText, writeAudienceLog } from './log.ts'
import type { Audience, PassLimits } from './pass.ts'
import { countTransitions, isMaintained, readState, type State } from './state.ts'
import { commitTick, type Maker, type Tick } from './ticks.ts'
import { type Looker, makeLooker, type TouchedMoment } from './touched.ts'

/** Where more are touched, everybody is evaluated: from here on a pass over all is the shorter way. */
export const TOUCHED_MAX = 100_000
/** After a longer pause rows that say what ends and when may have gone: everything is evaluated and counted anew. */
const PAUSE_MAX_MS = 5 * HOUR_MS
/** A clock that went back by less is waited for; by more, everything is evaluated at the new moment. */
const CLOCK_BACK_MAX_MS = 5 * MINUTE_MS

export type AudienceState = 'complete' | 'waiting_for_list' | 'failed'
export type Refreshed = {
  readonly id: AudienceId
  readonly size: number
  readonly entered: number
  readonly left: number
  readonly state: AudienceState
  /** Why it failed. */
  readonly detail: string
  /** Of its own evaluation over everybody, where there was one in this tick; its share of what it was done with (costs.ts). */
  readonly cost: Cost | undefined
}
/** `audiences`: those that are up to date now, and those that could not be brought there. */
export type Tock = {
  readonly tick: number
  readonly atMs: number
  readonly touched: number
  readonly audiences: readonly Refreshed[]
}

export type RefreshOptions = {
  /** Every audience that there is. Those that were built before are kept up to date. */
  readonly known: readonly Audience[]
  /** Those that are to be built where they are not. */
  readonly wanted: ReadonlySet<AudienceId>
  readonly retentionMs: number
  readonly now: () => number
  readonly limits: PassLimits
  /** Everything over everybody, whatever was there. */
  readonly full?: boolean
  /** Tries again what failed before under the same rule. */
  readonly retry?: boolean
  readonly maker?: Maker
  /** Logs the sizes that have changed. */
  readonly checkpoint?: boolean
  /** A tick that has nothing to do is left out where the last one is no older. */
  readonly idleMs?: number
  readonly onShare?: ((share: number) => void) | undefined
}

/** What a tick is going to do. */
export type Work = {
  readonly moment: TouchedMoment
  readonly arrivals: Arrivals
  readonly visitors: readonly VisitorId[]
  readonly maintained: readonly Audience[]
  readonly evaluated: readonly Audience[]
  readonly keys: ReadonlyMap<AudienceId, string>
  readonly waiting: ReadonlySet<AudienceId>
  /** The number of the tick, beyond every number that was used. */
  readonly tick: number
}

export async function planWork(store: Store, state: State, options: RefreshOptions): Promise<Work> {
  const { known, wanted, retentionMs, full = false, retry = false } = options
  const { last, left } = state
  const nowMs = options.now()
  const isBack = last !== undefined && nowMs < last.atMs - CLOCK_BACK_MAX_MS
  const isLong = last === undefined || nowMs > last.atMs + PAUSE_MAX_MS
  const atMs = last && !isBack ? Math.max(nowMs, last.atMs) : nowMs
  const generations = await readGenerations(store)
  const keys = new Map(known.map((audience) => [audience.id, keyOf(audience, generations, retentionMs)]))
  const waiting = new Set(known.flatMap(({ id, rule }) => (listsOf(rule).some((list) => !generations.has(list)) ? [id] : [])))
  // Before anything is evaluated: what comes in meanwhile is for the next tick, seen or not.
  const arrivals = await readArrivals(store, last, TOUCHED_MAX)
  const due = last && !isBack && !isLong ? await readDue(store, { afterMs: last.atMs, untilMs: atMs }, TOUCHED_MAX) : []
  const touched = arrivals.visitors && due ? [...new Set([...arrivals.visitors, ...due, ...left.visitors])] : undefined
  const isAll = full || isBack || isLong || touched === undefined || touched.length > TOUCHED_MAX
  const torn = new Set(left.audiences)
  const maintained: Audience[] = []
  const evaluated: Audience[] = []
  for (const audience of known) {
    const logged = state.log.get(audience.id)
    const key = keys.get(audience.id) ?? ''
    const isKept = isMaintained(logged, key)
    if (isKept && !isAll && !torn.has(audience.id)) maintained.push(audience)
    else if (isKept) evaluated.push(audience)
    else if (wanted.has(audience.id) && (retry || logged?.what !== 'failed' || logged.key !== key)) evaluated.push(audience)
  }
  const tick = Math.max(atMs, (last?.tick ?? 0) + 1, left.tick + 1)
  return {
    moment: { atMs, retentionMs },
    arrivals,
    visitors: isAll || !touched ? [] : touched,
    maintained,
    evaluated,
    keys,
    waiting,
    tick,
  }
}

async function writeTouched(store: Store, looker: Looker, work: Work, versions: ReadonlyMap<AudienceId, number>): Promise<void> {
  const { tick, moment, visitors } = work
  for await (const { transitions, turns } of looker.changes(store, visitors, moment)) {
    const lines = transitions.map(({ audience, visitor, kind, expiresMs }) =>
      JSON.stringify({
        tick,
        at: moment.atMs,
        audience,
        version: versions.get(audience) ?? 0,
        visitor,
        kind,
        expires: expiresMs,
      }),
    )
    // First when to look again: a row too many does no harm, one too few would.
    if (turns.length > 0)
      await store.insertLines({
        owner: 'membership.turns',
        into: 'madeleine.turns (due, visitor)',
        lines: Buffer.from(turns.map(({ dueMs, visitor }) => `${JSON.stringify({ due: dueMs, visitor })}\n`).join('')),
      })
    if (lines.length > 0)
      await store.insertLines({
        owner: 'membership.transitions',
        into: 'madeleine.transitions (tick, at, audience, version, visitor, kind, expires)',
        lines: Buffer.from(`${lines.join('\n')}\n`),
      })
  }
}

type Outcome = {
  readonly cost: Found['cost'] | undefined
  readonly detail: string | undefined
  readonly together: readonly Audience[]
}

/** Audiences over everybody, together; where that is refused, each by itself, so that one that cannot be evaluated takes no other along. */
async function writeEvaluated(
  store: Store,
  work: Work,
  versions: ReadonlyMap<AudienceId, number>,
  { limits, onShare }: RefreshOptions,
): Promise<Map<AudienceId, Outcome>> {
  const { moment, tick, evaluated } = work
  const outcomes = new Map<AudienceId, Outcome>()
  const evaluate = (audiences: readonly Audience[]): Promise<void> =>
    withFound(store, { audiences, moment, limits, onShare }, async (found) => {
      await writeDifferences(store, found, { tick, versions })
      for (const { id } of audiences) outcomes.set(id, { cost: found.cost, detail: undefined, together: audiences })
    })
  if (evaluated.length === 0) return outcomes
  try {
    await evaluate(evaluated)
  } catch (error) {
    if (!(error instanceof StoreRefused)) throw error
    if (evaluated.length > 1) log.warn({ cause: messageOf(error) }, 'audiences could not be evaluated together: each by itself')
    for (const audience of evaluated) {
      try {
        await evaluate([audience])
      } catch (alone) {
        if (!(alone instanceof StoreRefused)) throw alone
        outcomes.set(audience.id, { cost: undefined, detail: messageOf(alone).slice(0, 500), together: [audience] })
      }
    }
  }
  return outcomes
}

/** Sizes may be wrong after a pause in which rows have gone: counted from the rows that are there. */
async function countMembers(store: Store, ids: readonly AudienceId[], work: Work): Promise<Map<AudienceId, number>> {
  const rows = await store.rows<{ audience: AudienceId; size: number }>({
    owner: 'membership.recount',
    sql: `SELECT audience, count() AS size FROM (
            SELECT audience, visitor FROM madeleine.transitions WHERE audience IN {ids:Array(String)} GROUP BY audience, visitor HAVING argMax(kind, tick) != 'left'
          ) GROUP BY audience`,
    values: { ids },
    settings: { optimize_aggregation_in_order: 1 },
  })
  const sizes = new Map(rows.map(({ audience, size }) => [audience, size]))
  return new Map(ids.filter((id) => work.keys.has(id)).map((id) => [id, sizes.get(id) ?? 0]))
}

export type Membership = {
  refresh(options: RefreshOptions): Promise<Tock>
  /** Of the last tick; undefined where there is none. */
  last(): Promise<Tick | undefined>
}

/** One at a time: whoever calls sees to it that nobody else refreshes the same store. */
export function makeMembership(store: Store): Membership {
  let state: State | undefined
  let looker: { readonly audiences: readonly Audience[]; readonly looker: Looker } | undefined

  function lookerOf(audiences: readonly Audience[]): Looker {
    const isSame =
      looker?.audiences.length === audiences.length &&
      audiences.every(({ id, rule }, n) => id === looker?.audiences[n]?.id && rule === looker.audiences[n]?.rule)
    if (!looker || !isSame) looker = { audiences, looker: makeLooker(audiences) }
    return looker.looker
  }

  async function refresh(options: RefreshOptions): Promise<Tock> {
    const startedMs = Date.now()
    const readBefore = store.read.rows
    const before = state ?? (await readState(store, TOUCHED_MAX))
    state = undefined // until this one is done: after a failure all is read anew
    const work = await planWork(store, before, options)
    const { moment, tick, arrivals, maintained, evaluated, visitors, keys } = work
    const { log: logged, last } = before
    const isIdle = arrivals.fresh.length === 0 && visitors.length === 0 && evaluated.length === 0
    if (last && isIdle && moment.atMs - last.atMs < (options.idleMs ?? 0)) {
      state = before
      return { tick: last.tick, atMs: last.atMs, touched: 0, audiences: [] }
    }
    const versions = new Map(
      options.known.map(({ id }): [AudienceId, number] => {
        const known = logged.get(id)
        return [id, known && known.key === keys.get(id) ? known.version : (known?.version ?? 0) + 1]
      }),
    )
    if (visitors.length > 0 && maintained.length > 0) await writeTouched(store, lookerOf(maintained), work, versions)
    const outcomes = await writeEvaluated(store, work, versions, options)
    const counted = await countTransitions(store, last?.tick ?? 0, tick)
    const sizes = new Map(before.sizes)
    const resized = new Set(before.resized)
    for (const [id, { entered, left }] of counted) {
      sizes.set(id, (sizes.get(id) ?? 0) + entered - left)
      if (entered + left > 0) resized.add(id)
    }
    if (last && (moment.atMs > last.atMs + PAUSE_MAX_MS || moment.atMs < last.atMs))
      for (const [id, size] of await countMembers(
        store,
        evaluated.map(({ id }) => id),
        work,
      ))
        sizes.set(id, size)

    const rows: LogRow[] = []
    const say = (id: AudienceId, what: Logged['what'], more: Partial<LogRow>) =>
      rows.push({
        audience: id,
        tick,
        atMs: moment.atMs,
        what,
        version: versions.get(id) ?? logged.get(id)?.version ?? 0,
        key: keys.get(id) ?? logged.get(id)?.key ?? '',
        size: sizes.get(id) ?? 0,
        detail: '',
        rule: '',
        rows: 0,
        bytes: 0,
        seconds: 0,
        ...more,
      })
    const costs = new Map<AudienceId, Cost>()
    for (const { id, rule } of evaluated) {
      const { cost, detail, together = [] } = outcomes.get(id) ?? {}
      if (detail !== undefined) {
        // The members stay those of the rule before; under its own key the new one would not be tried again.
        say(id, 'failed', { detail, version: logged.get(id)?.version ?? 0 })
        continue
      }
      const own = cost && shareOf(cost, { id, rule }, together)
      if (own) costs.set(id, own)
      const isNew = !isMaintained(logged.get(id), keys.get(id) ?? '')
      say(id, 'built', { ...own, rule: isNew ? ruleText(rule) : '' })
    }
    const known = new Set(options.known.map(({ id }) => id))
    const done = new Set([...maintained, ...evaluated].map(({ id }) => id))
    for (const [id, was] of logged) {
      if (!known.has(id) && was.what !== 'deleted') say(id, 'deleted', { key: was.key, version: was.version })
      else if (known.has(id) && !done.has(id) && isCurrent(was)) say(id, 'stale', { key: was.key, version: was.version })
    }
    if (options.checkpoint) {
      const said = new Set(rows.map(({ audience }) => audience))
      for (const { id } of maintained) if (resized.has(id) && !said.has(id)) say(id, 'size', {})
    }
    await writeAudienceLog(store, rows)
    const seconds = (Date.now() - startedMs) / 1000
    const touched = visitors.length
    const { maker = 'build' } = options
    const ended = { tick, atMs: moment.atMs, maker, seenAtMs: arrivals.seenAtMs }
    await commitTick(store, { ...ended, seen: arrivals.fresh, touched, rows: store.read.rows - readBefore, seconds })

    const newLog = new Map(logged)
    for (const row of rows) {
      newLog.set(row.audience, row)
      resized.delete(row.audience)
    }
    const seen = new Set(arrivals.blocks)
    state = { last: { ...ended, seen }, log: newLog, sizes, resized, left: { visitors: [], audiences: [], tick } }
    const shown = [...maintained, ...evaluated].map(({ id }): Refreshed => {
      const { entered = 0, left = 0 } = counted.get(id) ?? {}
      const detail = outcomes.get(id)?.detail
      const isWaiting = work.waiting.has(id)
      return {
        id,
        size: sizes.get(id) ?? 0,
        entered,
        left,
        state: detail !== undefined ? 'failed' : isWaiting ? 'waiting_for_list' : 'complete',
        detail: detail ?? '',
        cost: costs.get(id),
      }
    })
    return { tick, atMs: moment.atMs, touched, audiences: shown }
  }

  return {
    refresh,
    async last() {
      state ??= await readState(store, TOUCHED_MAX)
      return state.last
    },
  }
}
