import { expect, it } from 'vitest'
import { readinessOf, type Seen } from '../../src/collect/ready.ts'

const now = Date.UTC(2026, 10, 22, 12)
const well: Seen = {
  isStopping: false,
  spoolProblem: undefined,
  reach: { lastSuccessMs: now - 1_000, downSinceMs: undefined },
  segmenter: { state: 'ticking', lastSignMs: now - 1_000, lastTickMs: now - 1_000 },
  nowMs: now,
}

it('is ready where the spool takes events and nobody has asked to stop', () => {
  expect(readinessOf(well)).toMatchObject({
    ready: true,
    checks: { spool: { ok: true }, store: { ok: true, last_success: '2026-11-22T11:59:59.000Z' }, segmenter: { ok: true } },
  })
  expect(readinessOf({ ...well, isStopping: true })).toMatchObject({
    ready: false,
    stopping: true,
    checks: { spool: { ok: true } },
  })
  expect(readinessOf({ ...well, spoolProblem: 'ENOSPC' })).toMatchObject({
    ready: false,
    checks: { spool: { ok: false, problem: 'ENOSPC' } },
  })
})

it('stays ready without the store, and says since when it is away', () => {
  const away = readinessOf({ ...well, reach: { lastSuccessMs: now - 60_000, downSinceMs: now - 50_000 } })
  expect(away).toMatchObject({ ready: true, checks: { store: { ok: false, away_since: '2026-11-22T11:59:10.000Z' } } })
  const never = readinessOf({ ...well, reach: { lastSuccessMs: undefined, downSinceMs: undefined } })
  expect(never).toMatchObject({ ready: true, checks: { store: { ok: false, last_success: null } } })
})

it('stays ready without the segmenter, which is stuck after five minutes without a sign', () => {
  const signed = (agoMs: number) =>
    readinessOf({ ...well, segmenter: { state: 'building', lastSignMs: now - agoMs, lastTickMs: undefined } })
  expect(signed(5 * 60_000 - 1)).toMatchObject({ ready: true, checks: { segmenter: { ok: true, last_tick: null } } })
  expect(signed(5 * 60_000)).toMatchObject({ ready: true, checks: { segmenter: { ok: false, state: 'building' } } })
})
