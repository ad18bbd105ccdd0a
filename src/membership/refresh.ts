// A tick: members brought up to a moment. Whom something happened to, or is due to happen to, is looked at in memory; audiences that are new or have changed
// are evaluated over everybody. Then one row says that the tick is done. Until then readers see the tick before, and a tick that was cut off is made again: its rows stay,
// each of them true at its moment, and those they are about are looked at once more.

import type { AudienceId } from '../core/ids.ts'
import type { Store } from '../engine/store.ts'
import { countMembers, withEarlierRows, writeEvaluated, writeTouched } from './carry-out.ts'
import type { Cost } from './costs.ts'
import { writeAudienceLog } from './log.ts'
import type { Audience } from './pass.ts'
import { sayings } from './say.ts'
import { countTransitions, readState, type State } from './state.ts'
import { commitTick } from './ticks.ts'
import { type Looker, makeLooker } from './touched.ts'
import { planWork, type RefreshOptions, TOUCHED_MAX } from './work.ts'

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

export type Membership = {
  refresh(options: RefreshOptions): Promise<Tock>
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
    if (last && isIdle && !options.checkpoint && moment.atMs - last.atMs < (options.idleMs ?? 0)) {
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
    // Of one that was there before, whatever became of its rows meanwhile, they are counted; of a new one what was just counted is all there is.
    const ids = evaluated.map(({ id }) => id)
    for (const [id, size] of await countMembers(store, await withEarlierRows(store, ids, last?.tick ?? 0))) sizes.set(id, size)

    const { rows, costs } = sayings({ before, work, options, versions, outcomes, sizes, resized })
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
    const done = new Set([...[...maintained, ...evaluated].map(({ id }) => id), ...work.refused.keys()])
    const shown = options.known.flatMap(({ id, refused }): Refreshed[] => {
      if (!done.has(id)) return []
      const { entered = 0, left = 0 } = counted.get(id) ?? {}
      const detail = outcomes.get(id)?.detail ?? work.refused.get(id) ?? refused
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

  return { refresh }
}
