// An opt-out, or its end, that could not be written down leaves what held before.

import { expect, it } from 'vitest'
import { bury, makeRecentRefusals, type OptOutParts, revive, takeBack } from '../../src/collect/opt-out.ts'
import { makeSigner } from '../../src/identity/cookie.ts'
import { makeTombstones } from '../../src/identity/tombstones.ts'
import { visitorNumber } from '../support/events.ts'

const now = Date.UTC(2026, 10, 22, 12)
const visitor = visitorNumber(1)
const makeParts = (): OptOutParts => ({
  signer: makeSigner(() => ['k'.repeat(32)]),
  tombstones: makeTombstones('t'.repeat(32)),
  recentRefusals: makeRecentRefusals(),
})

it.each([
  ['an opt-out of somebody who had opted out', [bury], bury, true],
  ['an opt-out of somebody who had not', [], bury, false],
  ['an opt-in of somebody who had opted out', [bury], revive, true],
  ['an opt-in of somebody who had never opted out', [], revive, false],
])('%s', (_, before, change, held) => {
  const parts = makeParts()
  for (const earlier of before) earlier(visitor, parts, now)
  const { signal, tombstone } = change(visitor, parts, now)
  expect(parts.tombstones.has(visitor)).toBe(change === bury)
  takeBack({ signals: [signal], tombstones: [tombstone] }, parts, now)
  expect(parts.tombstones.has(visitor)).toBe(held)
})
