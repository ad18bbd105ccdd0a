import { expect, test } from 'vitest'
import type { AudienceId } from '../../src/core/ids.ts'
import { problemsOf } from '../../src/demo/run.ts'

const good = {
  visitorsSent: 10,
  visitorsStored: 10,
  eventsSent: 100,
  eventsStored: 100,
  botsSent: 5,
  botsRefused: 5,
  botsWithCookie: 0,
  audiences: [],
  destinations: [],
}
const delivery = { audience: 'a' as AudienceId, as: 'a', added: 0, removed: 0, skipped: 9, failed: false, file: undefined }

test('a demo in which everything arrived has no problems', () => {
  expect(problemsOf(good, new Map([['bot', 5]]))).toEqual([])
})

test('an audience below its minimum is held back, and no problem', () => {
  const audiences = [{ ...delivery, reason: 'below_minimum_size' }]
  expect(
    problemsOf({ ...good, destinations: [{ id: 'd', added: 0, removed: 0, skipped: 9, failed: 0, audiences }] }, new Map()),
  ).toEqual([])
})

test.each([
  ['lost events, with their reasons', { eventsStored: 98 }, '100 events were sent and 98 are stored (dropped: too_old 2)'],
  ['events stored twice', { eventsStored: 101 }, '100 events were sent and 101 are stored (dropped: too_old 2)'],
  ['visitors whose cookie did not hold', { visitorsStored: 14 }, '10 visitors sent them and 14 are stored'],
  ['bots taken for people', { botsRefused: 4 }, 'bots sent 5 events and 4 were refused'],
  ['bots with a cookie', { botsWithCookie: 1 }, '1 bots were given a cookie'],
])('%s are a problem', (_, odd, problem) => {
  expect(
    problemsOf(
      { ...good, ...odd },
      new Map([
        ['bot', 5],
        ['too_old', 2],
      ]),
    ),
  ).toEqual([problem])
})

test('a delivery that failed is a problem', () => {
  const audiences = [{ ...delivery, failed: true, reason: 'disk full' }]
  expect(
    problemsOf({ ...good, destinations: [{ id: 'd', added: 0, removed: 0, skipped: 0, failed: 1, audiences }] }, new Map()),
  ).toEqual(['a was not sent to d: disk full'])
})
