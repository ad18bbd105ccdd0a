// A tick: members brought up to a moment. Whom something happened to, or is due to happen to, is looked at in memory; audiences that are new or have changed
// are evaluated over everybody. Then one row says that the tick is done. Until then readers see the tick before, and a tick that was cut off is made again: its rows stay,
// each of them true at its moment, and those they are about are looked at once more.

import { DAY_MS, HOUR_MS, MINUTE_MS } from '../core/duration.ts'
import { messageOf, StoreRefused } from '../core/errors.ts'
import type { AudienceId, VisitorId } from '../core/ids.ts'
import { log } from '../core/log.ts'
import type { Store } from '../engine/store.ts'
import { listsOf } from '../rules/clauses.ts'
import { type Arrivals, readArrivals, readDue } from './arrivals.ts'
import { type Found, withFound, writeDifferences } from './backfill.ts'
import { type Cost, expectedSeconds, shareOf } from './costs.ts'
import { isCurrent, keyOf, type Logged, type LogRow, readGenerations, ruleText, writeAudienceLog } from './log.ts'
import type { Audience, PassLimits } from './pass.ts'
import { countTransitions, isMaintained, readState, type State } from './state.ts'
import { commitTick, type Maker, type Tick } from './ticks.ts'
import { type Looker, makeLooker, type TouchedMoment } from './touched.ts'

/** Where more are touched, everybody is evaluated. */
export const TOUCHED_MAX = 100_000
/** So few are always looked at by themselves. */
const TOUCHED_FEW = 3_000
/** After a longer pause rows that say what ends and when may have gone: everything is evaluated and counted anew. */
const PAUSE_MAX_MS = 5 * HOUR_MS
/** A clock that went back by less is waited for; by more, everything is evaluated at the new moment. */
const CLOCK_BACK_MAX_MS = 5 * MINUTE_MS
/** What failed is tried again after this: a disk that was full may not be any more. */
const FAILED_AGAIN_MS = 5 * MINUTE_MS
/** The log forgets what was said long ago: it is said again. */
const SAID_AGAIN_MS = 30 * DAY_MS

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
  /** What a new rule may be expected to take, in seconds (costs.ts). Undefined: anything. */
  readonly budgetSeconds?: number | undefined
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
  /** New rules that are over their budget, with what is said of them. */
  readonly refused: ReadonlyMap<AudienceId, string>
  readonly keys: ReadonlyMap<AudienceId, string>
  readonly waiting: ReadonlySet<AudienceId>
  /** The number of the tick, beyond every number that was used. */
  readonly tick: number
}

const isFailed = (logged: Logged | undefined, key: string, atMs: number): boolean =>
  logged?.what === 'failed' && logged.key === key && atMs - logged.tick < FAILED_AGAIN_MS

/** Measured on two cores: a visitor takes 0.15 ms and a third of a microsecond an audience; a pass a second, and of each event 0.7 us and 2.7 ns an audience. */
async function isPassShorter(store: Store, visitors: number, { known, retentionMs, now }: RefreshOptions): Promise<boolean> {
  if (visitors <= TOUCHED_FEW) return false
  if (visitors > TOUCHED_MAX) return true
  const events = await countEvents(store, now() - retentionMs)
  const each = visitors * (150 + 0.33 * known.length)
  return each > 1_000_000 + events * (0.7 + 0.0027 * known.length)
}

async function countEvents(store: Store, fromMs: number): Promise<number> {
  const [row] = await store.rows<{ events: number }>({
    owner: 'membership.events',
    sql: `SELECT count() AS events FROM madeleine.events WHERE ts > fromUnixTimestamp64Milli({from:Int64}, 'UTC')`,
    values: { from: fromMs },
  })
  return row?.events ?? 0
}

/** New rules that are refused before they run, and why. */
async function overBudget(
  store: Store,
  audiences: readonly Audience[],
  { budgetSeconds, retentionMs, now }: RefreshOptions,
): Promise<Map<AudienceId, string>> {
  const refused = new Map<AudienceId, string>()
  if (budgetSeconds === undefined || audiences.length === 0) return refused
  const events = await countEvents(store, now() - retentionMs)
  for (const { id, rule } of audiences) {
    const expected = expectedSeconds(rule, events)
    if (expected > budgetSeconds)
      refused.set(
        id,
        `over its budget: about ${expected.toPrecision(2)} s over ${events} events, and segmenter.budget_seconds is ${budgetSeconds}`,
      )
  }
  return refused
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
  const isMany = touched === undefined || (await isPassShorter(store, touched.length, options))
  const isAll = full || isBack || isLong || isMany
  const torn = new Set(left.audiences)
  const maintained: Audience[] = []
  const again: Audience[] = []
  const fresh: Audience[] = []
  for (const audience of known) {
    const logged = state.log.get(audience.id)
    const key = keys.get(audience.id) ?? ''
    if (isMaintained(logged, key)) (isAll || torn.has(audience.id) ? again : maintained).push(audience)
    else if (wanted.has(audience.id) && (retry || !isFailed(logged, key, atMs))) fresh.push(audience)
  }
  const refused = await overBudget(store, fresh, options)
  const evaluated = [...again, ...fresh.filter(({ id }) => !refused.has(id))]
  const tick = Math.max(atMs, (last?.tick ?? 0) + 1, left.tick + 1)
  return {
    moment: { atMs, retentionMs },
    arrivals,
    visitors: isAll || !touched ? [] : touched,
    maintained,
    evaluated,
    refused,
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

/** Counted from the rows that are there. */
async function countMembers(store: Store, ids: readonly AudienceId[]): Promise<Map<AudienceId, number>> {
  if (ids.length === 0) return new Map()
  const rows = await store.rows<{ audience: AudienceId; size: number }>({
    owner: 'membership.recount',
    sql: `SELECT audience, count() AS size FROM (
            SELECT audience, visitor FROM madeleine.transitions WHERE audience IN {ids:Array(String)} GROUP BY audience, visitor HAVING argMax(kind, tick) != 'left'
          ) GROUP BY audience`,
    values: { ids },
    settings: { optimize_aggregation_in_order: 1 },
  })
  const sizes = new Map(rows.map(({ audience, size }) => [audience, size]))
  return new Map(ids.map((id) => [id, sizes.get(id) ?? 0]))
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
    const isIdle = arrivals.fresh.length + visitors.length + evaluated.length + work.refused.size === 0
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
    // Of one that was there before, whatever became of its rows meanwhile; of a new one what was just counted is all there is.
    const again = evaluated.flatMap(({ id }) => (logged.has(id) ? [id] : []))
    for (const [id, size] of await countMembers(store, again)) sizes.set(id, size)

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
        say(id, 'failed', { detail })
        continue
      }
      const own = cost && shareOf(cost, { id, rule }, together)
      if (own) costs.set(id, own)
      const isNew = !isMaintained(logged.get(id), keys.get(id) ?? '')
      say(id, 'built', { ...own, rule: isNew ? ruleText(rule) : '' })
    }
    for (const [id, detail] of work.refused) say(id, 'failed', { detail })
    const known = new Set(options.known.map(({ id }) => id))
    const done = new Set([...maintained.map(({ id }) => id), ...evaluated.map(({ id }) => id), ...work.refused.keys()])
    const torn = new Set(before.left.logged)
    for (const id of new Set([...logged.keys(), ...torn])) {
      const was = logged.get(id)
      const as = { key: was?.key ?? '', version: was?.version ?? 0 }
      if (!known.has(id) && (was?.what !== 'deleted' || torn.has(id))) say(id, 'deleted', as)
      else if (known.has(id) && !done.has(id) && (isCurrent(was) || torn.has(id))) say(id, 'stale', as)
    }
    const isDue = ({ id }: Audience) => torn.has(id) || moment.atMs - (logged.get(id)?.tick ?? 0) > SAID_AGAIN_MS
    // All sizes that have changed are said together (state.ts).
    if (options.checkpoint || maintained.some(isDue))
      for (const audience of maintained) if (isDue(audience) || resized.has(audience.id)) say(audience.id, 'size', {})
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
    state = { last: { ...ended, seen }, log: newLog, sizes, resized, left: { visitors: [], audiences: [], logged: [], tick } }
    const shown = options.known.flatMap(({ id }): Refreshed[] => {
      if (!done.has(id)) return []
      const { entered = 0, left = 0 } = counted.get(id) ?? {}
      const detail = outcomes.get(id)?.detail ?? work.refused.get(id)
      const isWaiting = work.waiting.has(id)
      const one: Refreshed = {
        id,
        size: sizes.get(id) ?? 0,
        entered,
        left,
        state: detail !== undefined ? 'failed' : isWaiting ? 'waiting_for_list' : 'complete',
        detail: detail ?? '',
        cost: costs.get(id),
      }
      return [one]
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
