// The match table against a real engine: whose id a partner's id is.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DAY_MS, RETENTION_MAX_MS } from '../../src/core/duration.ts'
import {
  type Match,
  type PartnerKey,
  type PartnerUid,
  parsePartnerReference,
  parsePartnerUid,
  readVisitorsOf,
} from '../../src/identity/matches.ts'
import { lineInBatch, matchLine, NOTE_TABLES } from '../../src/spool/row.ts'
import { visitorNumber } from '../support/events.ts'
import { openScratchStore, type ScratchStore } from '../support/store.ts'

const ttd = 'ttd' as PartnerKey
const nowMs = Date.now()
const match = (visitor: number, partnerId: string, daysAgo: number, partner = ttd): Match => ({
  tsMs: nowMs - daysAgo * DAY_MS,
  visitor: visitorNumber(visitor),
  partner,
  partnerId: partnerId as PartnerUid,
})

describe('the match table', () => {
  let scratch: ScratchStore
  let batch = 1n
  const write = (matches: readonly Match[]) =>
    scratch.store.insertLines({
      owner: 'test',
      into: NOTE_TABLES.matches,
      lines: Buffer.from(matches.map((one) => lineInBatch(matchLine(one), batch++)).join('')),
    })
  const read = async (ids: readonly string[], retentionMs = RETENTION_MAX_MS) =>
    Object.fromEntries(await readVisitorsOf(scratch.store, ttd, ids as PartnerUid[], { nowMs, retentionMs }))
  beforeAll(async () => {
    scratch = await openScratchStore()
    await write([match(1, 'a', 3), match(2, 'b', 3), match(3, 'c', 80), match(1, 'z', 3, 'other' as PartnerKey)])
    await write([match(1, 'a2', 2), match(4, 'b', 1), match(5, 'q"\\', 1), match(6, 'gone', 2)])
    await write([match(6, '', 1)])
  })
  afterAll(() => scratch.close())

  it('names the visitor whose newest id it is, and of several the one matched last', async () => {
    expect(await read(['a', 'a2', 'b', 'c', 'z', 'q"\\', 'gone', 'nobody'])).toEqual({
      a2: visitorNumber(1),
      b: visitorNumber(4),
      c: visitorNumber(3),
      'q"\\': visitorNumber(5),
    })
    expect(await read(['c'], 30 * DAY_MS)).toEqual({})
    expect(await read([])).toEqual({})
  })

  it('says the same after a merge', async () => {
    await scratch.store.run({ owner: 'test', sql: 'OPTIMIZE TABLE madeleine.matches FINAL' })
    expect(await read(['a', 'a2', 'b', 'gone'])).toEqual({ a2: visitorNumber(1), b: visitorNumber(4) })
  })
})

describe('ids of partners', () => {
  it.each(['12345', 'CAESEB-x_y==', '4f5e9b2c-1111-4222-8333-444455556666', 'a:b'])('%s is one', (text) => {
    expect(parsePartnerUid(text)).toBe(text)
  })
  it.each([
    '',
    '0',
    '-1',
    'null',
    'NONE',
    '$UID',
    `\${UID}`,
    '[UID]',
    '{UID}',
    '{{UID}}',
    '%USER_ID%',
    '<TUID>',
    '#PMUID',
    '[ssb_sync_pid]',
    'jo@example.com',
    'with space',
    'ünicode',
    'x'.repeat(513),
    7,
    undefined,
  ])('%s stands for nobody', (text) => {
    expect(parsePartnerUid(text)).toBeUndefined()
  })
  it('a reference names partner and id; the id may hold colons', () => {
    expect(parsePartnerReference('partner:TTD:a:b')).toEqual({ partner: 'ttd', partnerId: 'a:b' })
    for (const text of ['partner:ttd', 'partner::x', 'partner:ttd:', 'ttd:x', 'partner:t d:x'])
      expect(parsePartnerReference(text)).toBeUndefined()
  })
})
