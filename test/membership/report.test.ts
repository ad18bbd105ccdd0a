import { expect, it } from 'vitest'
import type { AudienceId } from '../../src/core/ids.ts'
import type { Refreshed } from '../../src/membership/refresh.ts'
import { countStates, newStatus, reported, type SegmenterReport } from '../../src/membership/report.ts'

const id = (text: string) => text as AudienceId
const one = (text: string, state: Refreshed['state']): Refreshed => ({
  id: id(text),
  state,
  size: 0,
  entered: 0,
  left: 0,
  detail: '',
  cost: undefined,
})

it('counts audiences by state; what a tick left out is stale', () => {
  const refreshed = [one('a', 'complete'), one('b', 'failed'), one('beside', 'complete'), one('c', 'waiting_for_list')]
  expect(countStates(['a', 'b', 'c', 'd'].map(id), refreshed)).toEqual({ complete: 1, failed: 1, waiting_for_list: 1, stale: 1 })
})

it('a tick and a build that goes on are signs of life, a failure is none; what a quiet tick does not say stays', () => {
  const audiences = { complete: 3, failed: 0, waiting_for_list: 0, stale: 0 }
  let status = newStatus(1_000)
  const say = (report: SegmenterReport, nowMs: number) => {
    status = reported(status, report, nowMs)
    return status
  }
  expect(status).toMatchObject({ state: 'starting', lastSignMs: 1_000, lastTickMs: undefined })
  expect(say({ kind: 'building' }, 2_000)).toMatchObject({
    state: 'building',
    lastSignMs: 2_000,
    lastTickMs: undefined,
    ticks: 0,
  })
  expect(say({ kind: 'ticked', seconds: 0.5, audiences }, 3_000)).toMatchObject({
    state: 'ticking',
    ticks: 1,
    lastTickSeconds: 0.5,
    audiences,
  })
  expect(say({ kind: 'ticked', seconds: 0.1, audiences: undefined }, 4_000)).toMatchObject({
    ticks: 2,
    audiences,
    lastTickMs: 4_000,
  })
  expect(say({ kind: 'failed' }, 5_000)).toMatchObject({ state: 'failing', failures: 1, lastSignMs: 4_000, lastTickMs: 4_000 })
  expect(say({ kind: 'standby' }, 6_000)).toMatchObject({ state: 'standby', lastSignMs: 6_000, audiences: undefined })
})
