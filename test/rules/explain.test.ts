// An explanation is true by its own evidence: the clauses, recomputed from nothing but the events that they cite, give the membership; and at `until`, and not
// a millisecond before, the answer is another one.

import { describe, expect, it } from 'vitest'
import { DAY_MS, HOUR_MS, RETENTION_MAX_MS } from '../../src/core/duration.ts'
import type { AudienceId } from '../../src/core/ids.ts'
import { ALL_PERMISSIONS } from '../../src/core/permissions.ts'
import { clausesOf } from '../../src/rules/clauses.ts'
import { compares, isMember } from '../../src/rules/evaluate.ts'
import { type ExplainedClause, explain } from '../../src/rules/explain.ts'
import type { ResolvedRule } from '../../src/rules/rule.ts'
import { isListed, makeHistories, makeRules, now, SEED } from '../property/generate.ts'
import { anEvent } from '../support/events.ts'

const retentionMs = RETENTION_MAX_MS

/** The rule over the clauses as they were explained, each checked against its own events first. */
function recomputed(rule: ResolvedRule, clauses: ExplainedClause[]): boolean {
  switch (rule.kind) {
    case 'all':
      return rule.rules.map((item) => recomputed(item, clauses)).every(Boolean)
    case 'any':
      return rule.rules.map((item) => recomputed(item, clauses)).some(Boolean)
    case 'not':
      return !recomputed(rule.rule, clauses)
    default: {
      const clause = clauses.shift()
      if (!clause) throw new Error('fewer clauses than conditions')
      return clause.holds
    }
  }
}

it(`of generated visitors gives the membership again, and turns when it says (seed ${SEED})`, () => {
  const { histories, said } = makeHistories()
  let pairs = 0
  let turns = 0
  for (const [r, { rule, written }] of makeRules().entries()) {
    for (const [n, history] of histories.entries()) {
      if ((r + n) % 8 !== 0) continue
      const facts = { said: said[n] ?? [], isListed: (list: string) => isListed(list, n) }
      const at = (ms: number) => ({ ...facts, said: facts.said.filter(({ tsMs }) => tsMs > ms - retentionMs) })
      const { member, clauses, untilMs } = explain(rule, history, now, retentionMs, facts)
      const label = `${JSON.stringify(written)} of visitor ${n}`
      expect(member, label).toBe(isMember(rule, history, now, retentionMs, at(now)))
      // Whoever has no visible event is in nothing, whatever the clauses say.
      const isKnown = isMember({ kind: 'not', rule: { kind: 'any', rules: [] } }, history, now, retentionMs, at(now))
      expect(isKnown && recomputed(rule, [...clauses]), label).toBe(member)
      for (const [c, { leaf }] of clausesOf(rule).entries()) {
        const { holds, events, sessions } = clauses[c] as ExplainedClause
        if (leaf.kind === 'list') continue
        if (leaf.kind === 'events' && leaf.measure.kind === 'sessions') {
          // Sessions are cut by events of any kind: the cited ones come with the number of theirs.
          expect(sessions?.length, label).toBe(events.length)
          expect(compares(new Set(sessions).size, leaf.measure.comparison), `${label}: ${clauses[c]?.clause}`).toBe(holds)
          continue
        }
        const cited = events.map((event) => ({ ...event, permissions: ALL_PERMISSIONS }))
        const known = [anEvent({ ts: now, event: 'nothing_else' }), ...cited] // so that somebody without events is known
        if (leaf.kind === 'events' && leaf.events === undefined) continue
        expect(isMember(leaf, known, now, retentionMs), `${label}: ${clauses[c]?.clause}`).toBe(holds)
      }
      if (untilMs !== undefined) {
        turns++
        expect(isMember(rule, history, untilMs, retentionMs, at(untilMs)), `${label} at ${untilMs}`).toBe(!member)
        if (untilMs - 1 > now) expect(isMember(rule, history, untilMs - 1, retentionMs, at(untilMs - 1)), label).toBe(member)
      } else if (history.length > 0) {
        const end = Math.max(...history.map(({ ts }) => ts)) + retentionMs
        expect(isMember(rule, history, end, retentionMs, at(end)), label).toBe(member)
      }
      pairs++
    }
  }
  expect(pairs).toBeGreaterThan(5_000)
  expect(turns).toBeGreaterThan(1_000)
})

describe('an explanation', () => {
  const visits = (measure: object, withinMs: number): ResolvedRule =>
    ({ kind: 'events', events: ['page_view'], where: [], withinMs, measure }) as ResolvedRule
  const three = visits({ kind: 'count', comparison: [{ operator: 'gte', than: 3 }] }, 7 * DAY_MS)
  const at = (hoursAgo: number) => anEvent({ ts: now - hoursAgo * HOUR_MS, event: 'page_view' })

  it('says what was found, what is asked for, and when it ends', () => {
    const { member, clauses, untilMs } = explain(three, [at(1), at(24), at(100), at(500)], now, retentionMs)
    expect(member).toBe(true)
    expect(clauses).toMatchObject([{ clause: 'when', says: 'page_view: count >= 3 within 7d', holds: true, value: '3' }])
    expect(clauses[0]?.events.map(({ ts }) => (now - ts) / HOUR_MS)).toEqual([100, 24, 1])
    expect(untilMs).toBe(now - 100 * HOUR_MS + 7 * DAY_MS)
  })

  it('of somebody who is not in says what is lacking, and the chain that a sequence came to', () => {
    const step = (event: string) => ({ events: [event], where: [] })
    const sequence: ResolvedRule = {
      kind: 'sequence',
      steps: [step('page_view'), step('add_to_cart'), step('conversion')],
      gapMs: HOUR_MS,
      withinMs: 7 * DAY_MS,
    }
    const cart = anEvent({ ts: now - 30 * 60_000, event: 'add_to_cart' })
    const rule: ResolvedRule = {
      kind: 'all',
      rules: [three, sequence, { kind: 'not', rule: { kind: 'list', id: 'crm' as AudienceId } }],
    }
    const { member, clauses, untilMs } = explain(rule, [at(1), cart], now, retentionMs)
    expect([member, untilMs]).toEqual([false, undefined])
    expect(clauses.map(({ clause, holds, value, events }) => [clause, holds, value, events.length])).toEqual([
      ['when.all[0]', false, '1', 1],
      ['when.all[1]', false, '2 of 3 steps', 2],
      ['when.all[2].not', false, undefined, 0],
    ])
  })
})
