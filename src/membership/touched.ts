// A tick's visitors: each is looked at with all that is kept of it, decided for every audience at once, and what changed is written down.

import { setImmediate as pause } from 'node:timers/promises'
import { DAY_MS, HOUR_MS } from '../core/duration.ts'
import type { AudienceId, VisitorId } from '../core/ids.ts'
import type { Store } from '../engine/store.ts'
import { makeDecide } from '../rules/many.ts'
import { planAudiences } from '../rules/plan.ts'
import type { Audience } from './pass.ts'
import { crowdedVerdicts, type TouchedMoment, type Verdict, verdictOf } from './verdict.ts'
import { type Kept, readExtent, readVisitors } from './visitor.ts'

/** A membership that ends sooner is written again with its later end. */
export const renewedBeforeMs = (retentionMs: number): number => Math.min(7 * DAY_MS, retentionMs / 4)
/** So long a `left` outlives what it ends. */
export const LEFT_OUTLIVES_MS = 6 * HOUR_MS

/** Visitors of one statement: the more, the more of them share what is unpacked; and the later the first of them is decided. */
const VISITORS_AT_ONCE = 1_000
/** Fewer where they have many events, which are all in memory at once, at some 700 bytes each; as many as the last ones' events say. */
const EVENTS_AT_ONCE = 150_000
const VISITORS_AT_FIRST = 250
const VISITORS_AT_LEAST = 25
/** Statements under way beside the one whose visitors are decided. */
const READS_AT_ONCE = 2
const PAUSE_EVERY = 25
/** Whoever has more events is read alone: a statement's visitors are all in memory at once. */
const CROWDED_EVENTS = 5_000
/** Whoever has more than this is decided in the engine, where a thousand audiences take ten seconds, of one visitor too. */
const OVERCROWDED_EVENTS = 200_000
const OVERCROWDED_BYTES = 64 * 1024 ** 2

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
async function readHeld(
  store: Store,
  visitors: readonly VisitorId[],
  upToTick: number | undefined,
): Promise<Map<VisitorId, Held[]>> {
  const rows = await store.rows<HeldRow>({
    owner: 'membership.held',
    sql: `SELECT toString(visitor) AS who, groupArray(audience) AS audiences, groupArray(last) AS kinds, groupArray(toUnixTimestamp64Milli(end)) AS ends, groupArray(toUnixTimestamp64Milli(lasts)) AS latest
          FROM (
            SELECT visitor, audience, argMax(kind, tick) AS last, argMax(expires, tick) AS end, maxIf(expires, kind != 'left') AS lasts
            FROM madeleine.transitions WHERE visitor IN {visitors:Array(UUID)}${upToTick === undefined ? '' : ' AND tick <= {upToTick:UInt64}'} GROUP BY visitor, audience
          ) GROUP BY visitor`,
    values: { visitors, ...(upToTick === undefined ? {} : { upToTick }) },
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

type Changes = (
  visitor: VisitorId,
  verdict: Verdict,
  held: readonly Held[],
) => { transitions: Transition[]; turn: Turn | undefined }

/** What a verdict changes of what is written. */
function makeChanges(audiences: readonly Audience[], { atMs, retentionMs }: TouchedMoment): Changes {
  const maintained = new Set(audiences.map(({ id }) => id))
  const renewedMs = renewedBeforeMs(retentionMs)
  return (visitor, { held: places, endsMs, nextMs }, held) => {
    const was = new Map(held.map((row) => [row.audience, row]))
    const transitions: Transition[] = []
    const now = new Set<AudienceId>()
    let dueMs = nextMs
    for (const place of places) {
      const audience = audiences[place]?.id
      if (audience === undefined) continue
      now.add(audience)
      const before = was.get(audience)
      const isIn = before !== undefined && before.kind !== 'left'
      if (isIn && before.endsMs >= endsMs) continue
      if (isIn && before.endsMs - atMs > renewedMs) dueMs = Math.min(dueMs, before.endsMs - renewedMs)
      else transitions.push({ audience, visitor, kind: isIn ? 'stays' : 'entered', expiresMs: endsMs })
    }
    for (const { audience, kind, latestMs } of held)
      if (kind !== 'left' && !now.has(audience) && maintained.has(audience))
        transitions.push({ audience, visitor, kind: 'left', expiresMs: latestMs + LEFT_OUTLIVES_MS })
    return { transitions, turn: Number.isFinite(dueMs) ? { visitor, dueMs } : undefined }
  }
}

function sizeAfter(histories: ReadonlyMap<VisitorId, Kept>): number {
  let events = 0
  for (const own of histories.values()) events += own.history.length
  const fitting = Math.floor((EVENTS_AT_ONCE * histories.size) / Math.max(1, events))
  return Math.min(VISITORS_AT_ONCE, Math.max(VISITORS_AT_LEAST, fitting))
}

export type Looker = {
  /** In the order of the visitors, a part at a time: against everything that is written, or what was up to a tick. */
  changes(store: Store, visitors: readonly VisitorId[], moment: TouchedMoment, upToTick?: number): AsyncGenerator<Changed>
}

/** For a set of audiences: what it remembers of values serves every tick. */
export function makeLooker(audiences: readonly Audience[]): Looker {
  const plan = planAudiences(audiences)
  const decide = makeDecide(plan)
  let atOnce = VISITORS_AT_FIRST
  const wanted = { columns: decide.columns, lists: decide.asksLists, most: CROWDED_EVENTS }

  async function verdictsOf(
    store: Store,
    crowded: readonly VisitorId[],
    moment: TouchedMoment,
  ): Promise<ReadonlyMap<VisitorId, Verdict>> {
    const verdicts = new Map<VisitorId, Verdict>()
    const kept = { nowMs: moment.atMs, retentionMs: moment.retentionMs }
    const overcrowded: VisitorId[] = []
    for (const id of crowded) {
      const { events, bytes } = await readExtent(store, id, kept, wanted)
      const fits = events <= OVERCROWDED_EVENTS && bytes <= OVERCROWDED_BYTES
      const own = fits ? (await readVisitors(store, [id], kept, { ...wanted, most: OVERCROWDED_EVENTS })).get(id) : undefined
      if (own && !own.isCrowded) verdicts.set(id, verdictOf(own, decide, moment))
      else overcrowded.push(id)
    }
    if (overcrowded.length === 0) return verdicts
    return new Map([...verdicts, ...(await crowdedVerdicts(store, plan, overcrowded, moment))])
  }

  return {
    async *changes(store, visitors, moment, upToTick) {
      const changesOf = makeChanges(audiences, moment)
      const kept = { nowMs: moment.atMs, retentionMs: moment.retentionMs }
      const read = (first: number) => {
        const some = visitors.slice(first, first + atOnce)
        const both = Promise.all([readVisitors(store, some, kept, wanted), readHeld(store, some, upToTick)])
        both.catch(() => {}) // told where it is waited for
        return both
      }
      // The engine reads some visitors while others are decided here.
      const reading: ReturnType<typeof read>[] = []
      let asked = 0
      const ask = (): void => {
        for (; reading.length < READS_AT_ONCE && asked < visitors.length; asked += atOnce) reading.push(read(asked))
      }
      for (ask(); reading.length > 0; ) {
        const [histories, held] = await (reading.shift() as ReturnType<typeof read>)
        atOnce = sizeAfter(histories)
        ask()
        const crowded = [...histories].flatMap(([id, { isCrowded }]) => (isCrowded ? [id] : []))
        const verdicts = await verdictsOf(store, crowded, moment)
        const transitions: Transition[] = []
        const turns: Turn[] = []
        let n = 0
        for (const [visitor, own] of histories) {
          if (n++ % PAUSE_EVERY === 0) await pause() // what was asked is sent, and what was answered taken in
          const verdict = verdicts.get(visitor) ?? verdictOf(own, decide, moment)
          const changed = changesOf(visitor, verdict, held.get(visitor) ?? [])
          transitions.push(...changed.transitions)
          if (changed.turn) turns.push(changed.turn)
        }
        yield { transitions, turns }
      }
    },
  }
}
