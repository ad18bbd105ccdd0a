// Incremental is rebuilt: over a long random run of events (some late, some of the future), consent, lists, edits of rules, clock steps, ticks cut off at any statement and
// engines killed, the members after each step are those of a reading of everything from nothing. STEPS and SEED of the environment make it longer or another one.

import { setTimeout as delay } from 'node:timers/promises'
import fc from 'fast-check'
import { expect, it, vi } from 'vitest'
import { type ConsentSignal, EVERYWHERE } from '../../src/consent/standing.ts'
import { DAY_MS, HOUR_MS, MINUTE_MS, RETENTION_MAX_MS } from '../../src/core/duration.ts'
import type { AudienceId } from '../../src/core/ids.ts'
import { ALL_PERMISSIONS } from '../../src/core/permissions.ts'
import type { Store } from '../../src/engine/store.ts'
import type { Event } from '../../src/event/event.ts'
import { verifyMembers } from '../../src/membership/build.ts'
import { readMembers } from '../../src/membership/members.ts'
import { DEFAULT_LIMITS } from '../../src/membership/pass.ts'
import { makeMembership, type Refreshed } from '../../src/membership/refresh.ts'
import { isMember } from '../../src/rules/evaluate.ts'
import { enginePid } from '../bench/cpu.ts'
import { now as begin, makeHistories, makeRules, SEED } from '../property/generate.ts'
import { storeEvents, storeList, storeSignals, visitorNumber } from '../support/events.ts'
import { openScratchStore } from '../support/store.ts'

const STEPS = Number(process.env['STEPS'] ?? 30)
vi.setConfig({ testTimeout: 60_000 + STEPS * 2_000 })
const VISITORS = 40
const AUDIENCES = 14
const retentionMs = RETENTION_MAX_MS

/** Fails at the n-th thing that is written from now on, as a process that is killed does. */
function breakable(store: Store): { store: Store; breakAt(n: number | undefined): void } {
  let left: number | undefined
  const count = () => {
    if (left !== undefined && --left < 0) throw new Error('killed')
  }
  return {
    breakAt(n) {
      left = n
    },
    store: {
      ...store,
      run: async (statement) => {
        if (/INSERT/.test(statement.sql)) count()
        return store.run(statement)
      },
      insertLines: async (insert) => {
        count()
        return store.insertLines(insert)
      },
    },
  }
}

it(`members stay those of a rebuild over ${STEPS} random steps (seed ${SEED})`, async () => {
  const { store: whole, directory, close } = await openScratchStore()
  const { store, breakAt } = breakable(whole)
  const pool = fc.sample(fc.nat(1_000_000), { seed: SEED, numRuns: 40 * STEPS + 1_000 })
  let at = 0
  const random = () => ((pool[at++ % pool.length] ?? 0) + at) % 1_000_003
  const chance = (percent: number) => random() % 100 < percent
  const pick = <T>(items: readonly T[]): T => items[random() % items.length] as T

  const rules = makeRules()
  const drawn = makeHistories().histories.flat()
  const events: Event[] = []
  const said = new Map<string, ConsentSignal>()
  let odd: ReturnType<typeof visitorNumber>[] = []
  let audiences = Array.from({ length: AUDIENCES }, (_, n) => ({ id: `a${n}` as AudienceId, rule: pick(rules).rule }))
  let membership = makeMembership(store)
  let clock = begin
  let cut = 0
  let killed = 0
  let moved = 0

  const anybody = () => visitorNumber(1 + (random() % VISITORS))
  /** A generated event at some time that matters: now, late, a window ago, or of the near future. */
  const anEventNow = (): Event => {
    const drawnEvent = pick(drawn)
    const ago = chance(50)
      ? random() % MINUTE_MS
      : chance(60)
        ? begin - drawnEvent.ts
        : pick([0, MINUTE_MS, HOUR_MS, DAY_MS, 7 * DAY_MS, 28 * DAY_MS]) - (random() % 3)
    return { ...drawnEvent, visitor: anybody(), ts: Math.max(clock - ago, clock - retentionMs + HOUR_MS) }
  }

  async function step(n: number): Promise<void> {
    if (chance(75)) {
      const some = Array.from({ length: 1 + (random() % 5) }, anEventNow)
      events.push(...some)
      await storeEvents(whole, some)
    }
    if (chance(8)) {
      const signal = {
        tsMs: clock - n, // no two at one moment: the table keeps the newest
        visitor: anybody(),
        source: pick(['news', 'shop', EVERYWHERE]),
        permissions: pick([0, 0, ALL_PERMISSIONS]),
        receivers: [],
      }
      const key = `${signal.visitor} ${signal.source}`
      if ((said.get(key)?.tsMs ?? 0) < signal.tsMs) said.set(key, signal)
      await storeSignals(whole, [signal])
    }
    if (chance(4)) {
      odd = Array.from({ length: VISITORS }, (_, i) => visitorNumber(i + 1)).filter(() => chance(50))
      await storeList(whole, 'odd', odd)
    }
    if (chance(12)) {
      const place = random() % audiences.length
      audiences = audiences.with(place, { id: audiences[place]?.id ?? ('a0' as AudienceId), rule: pick(rules).rule })
    }
    if (chance(3) && audiences.length > 6) audiences = audiences.toSpliced(random() % audiences.length, 1)
    if (chance(6)) {
      const id = `a${random() % (AUDIENCES + 4)}` as AudienceId // one that was there before may come back
      if (!audiences.some((audience) => audience.id === id)) audiences = [...audiences, { id, rule: pick(rules).rule }]
    }
    clock += pick([0, 1, 997, MINUTE_MS - 1, MINUTE_MS, 17 * MINUTE_MS, HOUR_MS, HOUR_MS])
    if (chance(4)) clock -= pick([1, 2 * MINUTE_MS, 3 * HOUR_MS])
    if (chance(1)) clock += 6 * HOUR_MS
  }

  const refresh = () =>
    membership.refresh({
      known: audiences,
      wanted: new Set(audiences.map(({ id }) => id)),
      retentionMs,
      now: () => clock,
      limits: DEFAULT_LIMITS,
      retry: true,
      checkpoint: chance(30),
    })

  for (let n = 0; n < STEPS; n++) {
    await step(n)
    if (chance(10)) membership = makeMembership(store) // a restart
    let found: readonly Refreshed[] = []
    if (chance(12)) {
      breakAt(random() % 8)
      await refresh().then(
        () => {},
        () => cut++,
      )
      breakAt(undefined)
      if (chance(50)) await step(n) // what happens before the next try
    }
    if (chance(8)) {
      const killing = delay(random() % 150).then(() => process.kill(enginePid(directory), 'SIGKILL'))
      await refresh().catch(() => {})
      await killing.catch(() => {})
      killed++
      membership = makeMembership(store)
    }
    for (let tries = 0; ; tries++) {
      try {
        found = (await refresh()).audiences
        break
      } catch (error) {
        if (tries > 5) throw error // the engine is only coming back
        await delay(200)
      }
    }
    const { asOfMs, audiences: members } = await readMembers(whole, audiences, { retentionMs, nowMs: clock })
    for (const { id, members: written } of members) {
      const rule = audiences.find((audience) => audience.id === id)?.rule
      if (!rule) throw new Error(id)
      const expected = Array.from({ length: VISITORS }, (_, i) => visitorNumber(i + 1)).filter((visitor) =>
        isMember(
          rule,
          events.filter((event) => event.visitor === visitor),
          asOfMs,
          retentionMs,
          {
            said: [...said.values()].filter((signal) => signal.visitor === visitor && signal.tsMs > asOfMs - retentionMs),
            isListed: (list) => list === 'odd' && odd.includes(visitor),
          },
        ),
      )
      expect(
        written,
        `step ${n}, ${id}, at ${asOfMs}: ${JSON.stringify(rule, (_, v) => (typeof v === 'bigint' ? `${v}` : v))}`,
      ).toEqual(expected)
      const told = found.find((one) => one.id === id)
      expect(told?.size, `step ${n}: the size of ${id}`).toBe(expected.length)
      moved += (told?.entered ?? 0) + (told?.left ?? 0)
    }
    if (n % 50 === 49) {
      const known = new Map(audiences.map((one) => [one.id, one]))
      expect(await verifyMembers(whole, { known, retentionMs })).toMatchObject({ differences: [] })
    }
  }
  process.stdout.write(
    `${STEPS} steps, seed ${SEED}: ${events.length} events, ${moved} entered or left, ${cut} ticks cut off, ${killed} engines killed\n`,
  )
  expect(moved).toBeGreaterThan(STEPS)
  await close()
})
