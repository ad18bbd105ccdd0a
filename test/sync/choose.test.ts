// Which partners a page view syncs, and why the others not.

import { describe, expect, it } from 'vitest'
import { DAY_MS } from '../../src/core/duration.ts'
import type { PartnerKey, PartnerUid } from '../../src/identity/matches.ts'
import type { Partner } from '../../src/settings/partners.ts'
import { chooseSyncs, type SyncAsk } from '../../src/sync/choose.ts'
import type { Gate } from '../../src/sync/gate.ts'
import { makePartners } from '../../src/sync/partners.ts'
import { NO_UIDS, UID_LIFE_MS, type Uids } from '../../src/sync/uids.ts'

const nowMs = Date.parse('2026-11-22T12:00:00Z')
const partner = (id: string, type: 'redirect' | 'iframe' = 'redirect', refreshDays = 7): [string, Partner] => {
  const template = { origin: `https://${id}.example`, parts: [`https://${id}.example/?`, { macro: 'redirect' as const }] }
  return [id, { id, vendorId: 1, redirects: [], sync: { template, type, uidMacro: '$UID', refreshMs: refreshDays * DAY_MS } }]
}
const silent: [string, Partner] = [
  'silent',
  { id: 'silent', vendorId: 1, redirects: ['https://silent.example'], sync: undefined },
]
const partners = makePartners(new Map([partner('a'), partner('b', 'iframe'), silent, partner('c', 'redirect', 1), partner('d')]))
const open: Gate = { kind: 'open', mayHold: () => true, maySync: () => true }
const all: SyncAsk = { names: undefined, coop: false, limit: 10, allows: () => true }

function choose({
  ask = {},
  gate = open,
  uids = NO_UIDS,
  turn = 0,
}: {
  ask?: Partial<SyncAsk>
  gate?: Gate
  uids?: Uids
  turn?: number
}) {
  const { partners: chosen, omitted } = chooseSyncs(partners, { ask: { ...all, ...ask }, gate, uids }, { nowMs, turn })
  return { chosen: chosen.map(({ id }) => id), omitted: Object.fromEntries(omitted.map(({ name, why }) => [name, why])) }
}
const synced = (...days: readonly (readonly [id: string, daysAgo: number, uid?: string])[]): Uids => ({
  entries: new Map(
    days.map(([id, daysAgo, uid = 'x']) => [
      id as PartnerKey,
      { uid: uid as PartnerUid, expiresMs: nowMs - daysAgo * DAY_MS + UID_LIFE_MS },
    ]),
  ),
  isOptedOut: false,
})

describe('a page view', () => {
  it('syncs every partner that has an address, where none is named', () => {
    expect(choose({})).toEqual({ chosen: ['a', 'b', 'c', 'd'], omitted: {} })
    expect(choose({ ask: { coop: true } }).chosen).toEqual(['a', 'b', 'c', 'd'])
  })

  it('syncs those that are named, in any case and once, and with `coop` the others after them', () => {
    const names = ['D', 'd', 'silent', 'nobody', 'a']
    const omitted = { silent: 'unknown', nobody: 'unknown' }
    expect(choose({ ask: { names } })).toEqual({ chosen: ['d', 'a'], omitted })
    expect(choose({ ask: { names, coop: true } })).toEqual({ chosen: ['d', 'a', 'b', 'c'], omitted })
  })

  it('syncs again when a match is as old as the partner’s refresh interval, and not before', () => {
    const uids = synced(['a', 6.99], ['b', 7], ['c', 1], ['d', 0, ''])
    expect(choose({ uids })).toEqual({ chosen: ['b', 'c'], omitted: { a: 'in_sync', d: 'in_sync' } })
  })

  it('syncs no more than its share, and whoever is left out comes first another time', () => {
    expect(choose({ ask: { limit: 2 } })).toEqual({ chosen: ['a', 'b'], omitted: { c: 'over_budget', d: 'over_budget' } })
    expect(choose({ ask: { limit: 2 }, turn: 2 }).chosen).toEqual(['c', 'd'])
    expect(choose({ ask: { limit: 2 }, turn: 7 }).chosen).toEqual(['d', 'a'])
    expect(choose({ ask: { limit: 0 } }).chosen).toEqual([])
  })

  it('syncs in the ways that the request allows', () => {
    expect(choose({ ask: { allows: (name, kind) => kind === 'iframe' || name === 'c' } })).toEqual({
      chosen: ['b', 'c'],
      omitted: { a: 'filtered', d: 'filtered' },
    })
  })

  it('syncs whom consent allows', () => {
    const gate: Gate = { kind: 'open', mayHold: () => true, maySync: ({ id }) => id === 'c' }
    expect(choose({ gate })).toEqual({ chosen: ['c'], omitted: { a: 'refused', b: 'refused', d: 'refused' } })
    expect(choose({ gate: { kind: 'closed', refusal: 'gpc' } }).chosen).toEqual([])
  })
})
