// What a tick is going to do: whom it looks at by themselves, and which audiences it evaluates over everybody.

import { HOUR_MS, MINUTE_MS } from '../core/duration.ts'
import type { AudienceId, VisitorId } from '../core/ids.ts'
import type { Store } from '../engine/store.ts'
import { listsOf } from '../rules/clauses.ts'
import { type Arrivals, readArrivals, readDue } from './arrivals.ts'
import { expectedSeconds } from './costs.ts'
import { keyOf, type Logged, readGenerations } from './log.ts'
import type { Audience, PassLimits } from './pass.ts'
import { isMaintained, type State } from './state.ts'
import type { Maker } from './ticks.ts'
import type { TouchedMoment } from './verdict.ts'

/** Where more are touched, everybody is evaluated. */
export const TOUCHED_MAX = 100_000
/** So few are always looked at by themselves. */
const TOUCHED_FEW = 3_000
/** After a longer pause rows that say what ends and when may have gone: everything is evaluated and counted anew. */
export const PAUSE_MAX_MS = 5 * HOUR_MS
/** A clock that went back by less is waited for; by more, everything is evaluated at the new moment. */
const CLOCK_BACK_MAX_MS = 5 * MINUTE_MS
/** What failed is tried again after this: a disk that was full may not be any more. */
const FAILED_AGAIN_MS = 15 * MINUTE_MS

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

/** Measured on two cores: a visitor takes 0.4 ms and 0.8 us an audience; a pass a second, and of each event 0.7 us and 2.7 ns an audience. */
async function isPassShorter(store: Store, visitors: number, { known, retentionMs, now }: RefreshOptions): Promise<boolean> {
  if (visitors <= TOUCHED_FEW) return false
  if (visitors > TOUCHED_MAX) return true
  const events = await countEvents(store, now() - retentionMs)
  const each = visitors * (400 + 0.8 * known.length)
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
  // Before anything is evaluated: what comes in meanwhile is for the next tick, seen or not.
  const isAnyway = full || isBack || isLong
  const [generations, arrivals, due] = await Promise.all([
    readGenerations(store),
    readArrivals(store, last, isAnyway ? undefined : TOUCHED_MAX),
    last && !isAnyway ? readDue(store, { afterMs: last.atMs, untilMs: atMs }, TOUCHED_MAX) : [],
  ])
  const keys = new Map(known.map((audience) => [audience.id, keyOf(audience, generations, retentionMs)]))
  const waiting = new Set(known.flatMap(({ id, rule }) => (listsOf(rule).some((list) => !generations.has(list)) ? [id] : [])))
  const touched = arrivals.visitors && due ? [...new Set([...arrivals.visitors, ...due, ...left.visitors])] : undefined
  const isMany = touched === undefined || (await isPassShorter(store, touched.length, options))
  const isAll = isAnyway || isMany
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
