// The third evaluator, all audiences at once in memory, is held to the first, and what it says about time too: nothing turns before the moment that it names.

import { expect, it } from 'vitest'
import { DAY_MS, RETENTION_MAX_MS } from '../../src/core/duration.ts'
import { isMember, lookAt } from '../../src/rules/evaluate.ts'
import { makeDecide } from '../../src/rules/many.ts'
import { planAudiences } from '../../src/rules/plan.ts'
import { HISTORIES, isListed, makeHistories, makeRules, now, RULES, SEED } from './generate.ts'

it(`all audiences at once are decided as each by itself, and turn when it says (seed ${SEED})`, () => {
  const { histories, said } = makeHistories()
  const audiences = makeRules()
  const decide = makeDecide(planAudiences(audiences))
  let turned = 0
  for (const [n, history] of histories.entries()) {
    const factsAt = (atMs: number) => ({
      said: (said[n] ?? []).filter(({ tsMs }) => tsMs > atMs - RETENTION_MAX_MS),
      isListed: (list: string) => isListed(list, n),
    })
    const members = (atMs: number) =>
      audiences.flatMap(({ rule }, place) => (isMember(rule, history, atMs, RETENTION_MAX_MS, factsAt(atMs)) ? [place] : []))
    for (const atMs of [now, now - DAY_MS, now - 3 * DAY_MS + 17]) {
      const seen = lookAt(history, atMs, RETENTION_MAX_MS, factsAt(atMs))
      const { held, turnsMs } = decide(seen)
      expect(held, `visitor ${n} at ${atMs}`).toEqual(members(atMs))
      // What may come from outside before: an event of the future begins to count, or what is invisible leaves retention.
      const outside = history.flatMap(({ ts }) => [ts, ts + RETENTION_MAX_MS]).filter((ms) => ms > atMs)
      const signals = (said[n] ?? []).map(({ tsMs }) => tsMs + RETENTION_MAX_MS).filter((ms) => ms > atMs)
      const until = Math.min(turnsMs ?? Number.POSITIVE_INFINITY, ...outside, ...signals)
      if (!Number.isFinite(until)) continue
      expect(until).toBeGreaterThan(atMs)
      expect(members(until - 1), `visitor ${n}, until ${until}`).toEqual(held)
      if (until === turnsMs) turned++
    }
  }
  expect(turned).toBeGreaterThan(HISTORIES / 4)
  expect(RULES).toBeGreaterThan(100)
})
