// Two evaluators, one truth: on generated rules and histories the SQL selects exactly the visitors that the evaluator in memory selects, and both do as a naive
// reading of the contract does.

import { afterAll, beforeAll, expect, it } from 'vitest'
import { standingOf } from '../../src/consent/standing.ts'
import { DAY_MS, RETENTION_MAX_MS } from '../../src/core/duration.ts'
import { evaluateMembers } from '../../src/membership/members.ts'
import { DEFAULT_LIMITS } from '../../src/membership/pass.ts'
import { isMember } from '../../src/rules/evaluate.ts'
import { planAudiences } from '../../src/rules/plan.ts'
import { printPlan } from '../../src/rules/print.ts'
import { storeEvents, storeList, storeSignals, visitorNumber } from '../support/events.ts'
import { openScratchStore, type ScratchStore } from '../support/store.ts'
import { HISTORIES, isListed, makeHistories, makeRules, now, RULES, SEED } from './generate.ts'
import { oracleHolds } from './oracle.ts'

let scratch: ScratchStore
beforeAll(async () => {
  scratch = await openScratchStore()
})
afterAll(() => scratch.close())

it(`${RULES * HISTORIES * 2} generated pairs of rule and history are decided alike by both evaluators (seed ${SEED})`, async () => {
  const { histories, said } = makeHistories()
  await storeEvents(scratch.store, histories.flat())
  await storeSignals(scratch.store, said.flat())
  const listed = histories.flatMap((_, n) => (isListed('odd', n) ? [visitorNumber(n + 1)] : []))
  await storeList(scratch.store, 'odd', listed)
  const audiences = makeRules()

  let members = 0
  for (const atMs of [now, now - DAY_MS]) {
    // In one statement, and in many: slices must change nothing.
    const limits = atMs === now ? DEFAULT_LIMITS : { ...DEFAULT_LIMITS, eventsASlice: 150 }
    const moment = { atMs, nowMs: atMs, retentionMs: RETENTION_MAX_MS }
    const selected = await evaluateMembers(scratch.store, audiences, moment, limits)
    for (const { id, written, rule: one } of audiences) {
      const expected = histories.flatMap((history, n) =>
        isMember(one, history, atMs, RETENTION_MAX_MS, {
          said: (said[n] ?? []).filter(({ tsMs }) => tsMs > atMs - RETENTION_MAX_MS),
          isListed: (list) => isListed(list, n),
        })
          ? [visitorNumber(n + 1)]
          : [],
      )
      const plain = histories.flatMap((history, n) => {
        const heard = (said[n] ?? []).filter(({ tsMs }) => tsMs > atMs - RETENTION_MAX_MS)
        const kept = history.filter(({ ts }) => ts > atMs - RETENTION_MAX_MS)
        const visible = standingOf(kept, 'profile', heard).filter(({ ts }) => ts <= atMs)
        const world = { atMs, isListed: (list: string) => isListed(list, n) }
        const isIn = visible.length > 0 && oracleHolds(written as Record<string, unknown>, visible, world)
        return isIn ? [visitorNumber(n + 1)] : []
      })
      expect(expected, `by the oracle: rule ${JSON.stringify(written)} at ${atMs}`).toEqual(plain)
      expect([...(selected.get(id) ?? [])].sort(), `rule ${JSON.stringify(written)} at ${atMs}`).toEqual([...expected].sort())
      members += expected.length
    }
  }
  // With each event's text tried by itself, as a pass does where texts are too many to keep.
  const plain = { atMs: now, nowMs: now, retentionMs: RETENTION_MAX_MS, isUncontested: false }
  const { sql, values } = printPlan(planAudiences(audiences), plain, { among: () => '', lane: 16, prepared: undefined })
  const alone = await scratch.store.rows<{ audience: number; size: number }>({
    owner: 'test.alone',
    sql: `SELECT arrayJoin(held) AS audience, count() AS size FROM (${sql}) GROUP BY audience`,
    values,
    settings: { max_ast_elements: 1_000_000, max_expanded_ast_elements: 1_000_000 },
  })
  const prepared = await evaluateMembers(scratch.store, audiences, plain)
  expect(new Map(alone.map(({ audience, size }) => [audiences[audience - 1]?.id, size]))).toEqual(
    new Map([...prepared].map(([id, found]) => [id, found.length])),
  )
  // Neither everybody nor nobody: the pairs say something.
  expect(members / (RULES * HISTORIES * 2)).toBeGreaterThan(0.1)
  expect(members / (RULES * HISTORIES * 2)).toBeLessThan(0.9)
})
