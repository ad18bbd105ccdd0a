// A tick's visitors: each is looked at with all that is kept of it, decided for every audience at once, and what changed is written down.

import { DAY_MS, HOUR_MS } from '../core/duration.ts'
import type { AudienceId, VisitorId } from '../core/ids.ts'
import type { Store } from '../engine/store.ts'
import { lookAt } from '../rules/evaluate.ts'
import { type Decide, makeDecide } from '../rules/many.ts'
import { planAudiences } from '../rules/plan.ts'
import { nextSightMs } from '../rules/turns.ts'
import type { Audience } from './pass.ts'
import { type Kept, readVisitors } from './visitor.ts'

/** A membership that ends sooner is written again with its later end. */
export const RENEWED_BEFORE_MS = 7 * DAY_MS
/** So long a `left` outlives what it ends. */
export const LEFT_OUTLIVES_MS = 6 * HOUR_MS

/** Visitors of one statement: their events are read at once, and decided without a pause. */
const VISITORS_AT_ONCE = 400

export type Kind = 'entered' | 'left' | 'stays'
export type Transition = {
  readonly audience: AudienceId
  readonly visitor: VisitorId
  readonly kind: Kind
  readonly expiresMs: number
}
export type Turn = { readonly visitor: VisitorId; readonly dueMs: number }
export type Changed = { readonly transitions: readonly Transition[]; readonly turns: readonly Turn[] }

/** The last that was written of a visitor and an audience; `latestMs`: when the last of its memberships ends, or ended. */
type Held = { readonly audience: AudienceId; readonly kind: Kind; readonly endsMs: number; readonly latestMs: number }

type HeldRow = {
  readonly who: VisitorId
  readonly audiences: readonly AudienceId[]
  readonly kinds: readonly Kind[]
  readonly ends: readonly number[]
  readonly latest: readonly number[]
}

/** A row a visitor: a hundred audiences each are a tenth of the text that way. */
async function readHeld(store: Store, visitors: readonly VisitorId[]): Promise<Map<VisitorId, Held[]>> {
  const rows = await store.rows<HeldRow>({
    owner: 'membership.held',
    sql: `SELECT toString(visitor) AS who, groupArray(audience) AS audiences, groupArray(last) AS kinds, groupArray(toUnixTimestamp64Milli(end)) AS ends, groupArray(toUnixTimestamp64Milli(lasts)) AS latest
          FROM (
            SELECT visitor, audience, argMax(kind, tick) AS last, argMax(expires, tick) AS end, maxIf(expires, kind != 'left') AS lasts
            FROM madeleine.transitions WHERE visitor IN {visitors:Array(UUID)} GROUP BY visitor, audience
          ) GROUP BY visitor`,
    values: { visitors },
    settings: { log_queries: 0 },
  })
  return new Map(
    rows.map(({ who, audiences, kinds, ends, latest }) => [
      who,
      audiences.map((audience, n) => ({
        audience,
        kind: kinds[n] as Kind,
        endsMs: ends[n] as number,
        latestMs: latest[n] as number,
      })),
    ]),
  )
}

export type TouchedMoment = { readonly atMs: number; readonly retentionMs: number }

type Look = (visitor: VisitorId, kept: Kept, held: readonly Held[]) => { transitions: Transition[]; turn: Turn | undefined }

function makeLook(audiences: readonly Audience[], decide: Decide, { atMs, retentionMs }: TouchedMoment): Look {
  const maintained = new Set(audiences.map(({ id }) => id))
  return (visitor, { history, facts }, held) => {
    const seen = lookAt(history, atMs, retentionMs, facts)
    const decided = decide(seen)
    const endsMs = (seen.history.at(-1)?.ts ?? 0) + retentionMs
    const was = new Map(held.map((row) => [row.audience, row]))
    const transitions: Transition[] = []
    const turnings: (number | undefined)[] = [decided.turnsMs]
    const now = new Set<AudienceId>()
    for (const place of decided.held) {
      const audience = audiences[place]?.id
      if (audience === undefined) continue
      now.add(audience)
      const before = was.get(audience)
      const isIn = before !== undefined && before.kind !== 'left'
      if (isIn && before.endsMs >= endsMs) continue
      if (isIn && before.endsMs - atMs > RENEWED_BEFORE_MS) turnings.push(before.endsMs - RENEWED_BEFORE_MS)
      else transitions.push({ audience, visitor, kind: isIn ? 'stays' : 'entered', expiresMs: endsMs })
    }
    for (const { audience, kind, latestMs } of held)
      if (kind !== 'left' && !now.has(audience) && maintained.has(audience))
        transitions.push({ audience, visitor, kind: 'left', expiresMs: latestMs + LEFT_OUTLIVES_MS })
    turnings.push(nextSightMs(history, facts.said, seen, retentionMs))
    const dueMs = Math.min(...turnings.map((ms) => (ms !== undefined && ms > atMs ? ms : Number.POSITIVE_INFINITY)))
    return { transitions, turn: Number.isFinite(dueMs) ? { visitor, dueMs } : undefined }
  }
}

export type Looker = {
  /** In the order of the visitors, a part at a time. */
  changes(store: Store, visitors: readonly VisitorId[], moment: TouchedMoment): AsyncGenerator<Changed>
}

/** For a set of audiences: what it remembers of values serves every tick. */
export function makeLooker(audiences: readonly Audience[]): Looker {
  const decide = makeDecide(planAudiences(audiences))
  return {
    async *changes(store, visitors, moment) {
      const look = makeLook(audiences, decide, moment)
      const kept = { nowMs: moment.atMs, retentionMs: moment.retentionMs }
      const wanted = { columns: decide.columns, lists: decide.asksLists }
      const read = (first: number) => {
        const some = visitors.slice(first, first + VISITORS_AT_ONCE)
        const both = Promise.all([readVisitors(store, some, kept, wanted), readHeld(store, some)])
        both.catch(() => {}) // told where it is waited for
        return both
      }
      let next = read(0)
      for (let first = 0; first < visitors.length; first += VISITORS_AT_ONCE) {
        const [histories, held] = await next
        if (first + VISITORS_AT_ONCE < visitors.length) next = read(first + VISITORS_AT_ONCE) // meanwhile the engine is not idle
        const transitions: Transition[] = []
        const turns: Turn[] = []
        for (const [visitor, own] of histories) {
          const changed = look(visitor, own, held.get(visitor) ?? [])
          transitions.push(...changed.transitions)
          if (changed.turn) turns.push(changed.turn)
        }
        yield { transitions, turns }
      }
    },
  }
}
