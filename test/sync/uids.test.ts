// The cookie `uids`, byte for byte as Prebid Server's encoder writes it, and whatever else a browser may send under its name.

import { describe, expect, it } from 'vitest'
import { DAY_MS } from '../../src/core/duration.ts'
import { LIMITS } from '../../src/core/limits.ts'
import type { PartnerKey, PartnerUid } from '../../src/identity/matches.ts'
import { encodeUids, NO_UIDS, readUids, type Uid, withPushes, withUid, writeUids } from '../../src/sync/uids.ts'

/** Of Prebid Server's usersync/encoder.go. */
const VECTOR = 'eyJ0ZW1wVUlEcyI6eyJhZG54cyI6eyJ1aWQiOiIxMjM0NSIsImV4cGlyZXMiOiIyMDI2LTEyLTA1VDEwOjAwOjAwWiJ9fX0='
const nowMs = Date.parse('2026-11-22T12:00:00Z')
const adnxs = 'adnxs' as PartnerKey
const entry = (uid: string, expires: string): Uid => ({ uid: uid as PartnerUid, expiresMs: Date.parse(expires) })
const encoded = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
const read = (value: unknown) => Object.fromEntries(readUids(encoded(value), nowMs).entries)

describe('the cookie of partners’ ids', () => {
  const entries = new Map([[adnxs, entry('12345', '2026-12-05T10:00:00Z')]])

  it('is Prebid Server’s, both ways', () => {
    expect(encodeUids(entries)).toBe(VECTOR)
    expect(readUids(VECTOR, nowMs)).toEqual({ entries, isOptedOut: false })
    // Go writes fractions and zones where a moment has them; padding may be gone.
    const fine = { tempUIDs: { adnxs: { uid: '12345', expires: '2026-12-05T11:00:00.123456789+01:00' } } }
    expect(read(fine)).toEqual({ adnxs: { uid: '12345', expiresMs: Date.parse('2026-12-05T10:00:00.123Z') } })
  })

  it('gives an id 14 days, and writes names in order', () => {
    const uids = { entries: withUid(NO_UIDS, 'b' as PartnerKey, 'x' as PartnerUid, nowMs), isOptedOut: false }
    const both = withUid(uids, 'a' as PartnerKey, 'y' as PartnerUid, nowMs)
    expect(Buffer.from(encodeUids(both), 'base64').toString()).toBe(
      '{"tempUIDs":{"a":{"uid":"y","expires":"2026-12-06T12:00:00Z"},"b":{"uid":"x","expires":"2026-12-06T12:00:00Z"}}}',
    )
    const again = readUids(encodeUids(both), nowMs + 14 * DAY_MS - 1)
    expect([...again.entries.keys()]).toEqual(['a', 'b'])
    expect(readUids(encodeUids(both), nowMs + 14 * DAY_MS)).toEqual(NO_UIDS)
    expect([...withUid(again, 'a' as PartnerKey, '', nowMs).keys()]).toEqual(['b'])
  })

  it.each([
    ['nothing', undefined],
    ['no base64', '{"tempUIDs":{}}'],
    ['cut off', VECTOR.slice(0, 50)],
    ['no JSON', encoded('tempUIDs')],
    ['a list', encoded([1])],
    ['null', encoded('null')],
    ['of another shape', encoded({ tempUIDs: ['adnxs'] })],
    ['too long', `${VECTOR}${'A'.repeat(LIMITS.uidsCookieChars)}`],
  ])('that is damaged (%s) holds nothing', (_, cookie) => {
    expect(readUids(cookie, nowMs)).toEqual(NO_UIDS)
  })

  it('of which one entry is damaged holds the others', () => {
    const expires = '2026-11-30T00:00:00Z'
    const tempUIDs = {
      good: { uid: 'a', expires },
      'No Partner': { uid: 'a', expires },
      macro: { uid: '$UID', expires },
      zero: { uid: '0', expires },
      number: { uid: 5, expires },
      dateless: { uid: 'a' },
      day: { uid: 'a', expires: '2026-02-30T00:00:00Z' },
      over: { uid: 'a', expires: '2026-11-22T12:00:00Z' },
      forever: { uid: 'a', expires: '2036-11-22T12:00:00Z' },
      text: 'a',
    }
    expect(read({ tempUIDs })).toEqual({ good: entry('a', expires) })
    expect(readUids(encoded({ tempUIDs: {}, optout: true }), nowMs).isOptedOut).toBe(true)
    expect(readUids(encoded({ tempUIDs: {}, optout: 'true' }), nowMs).isOptedOut).toBe(false)
  })

  it('loses its oldest entries before a browser would drop it whole', () => {
    const many = new Map<PartnerKey, Uid>()
    // Not in the order of their age.
    for (let n = 0; n < 90; n++)
      many.set(`p${n}` as PartnerKey, {
        uid: `${n}-${'x'.repeat(60)}` as PartnerUid,
        expiresMs: nowMs + ((n * 37) % 90) * DAY_MS * 0.1 + 1_000,
      })
    const cookie = writeUids(many) ?? ''
    expect(cookie.length).toBeLessThanOrEqual(LIMITS.uidsCookieChars)
    const kept = readUids(cookie, nowMs).entries
    const oldestKept = Math.min(...[...kept.values()].map(({ expiresMs }) => expiresMs))
    const left = [...many].filter(([key]) => !kept.has(key)).map(([, { expiresMs }]) => expiresMs)
    expect(kept.size).toBeGreaterThan(15)
    expect(left.length).toBe(90 - kept.size)
    expect(Math.max(...left)).toBeLessThan(oldestKept)
    // One more would not have fitted.
    const next = [...many].filter(([key]) => !kept.has(key)).sort(([, a], [, b]) => b.expiresMs - a.expiresMs)[0]
    expect(encodeUids(new Map([...kept, ...(next ? [next] : [])])).length).toBeGreaterThan(LIMITS.uidsCookieChars)
    expect(writeUids(new Map())).toBeUndefined()
  })

  it('remembers who was told our id, and never in the place of an id that they told us', () => {
    const pushed = withPushes({ entries, isOptedOut: false }, [adnxs, 'ttd' as PartnerKey], nowMs)
    expect(Object.fromEntries(pushed)).toEqual({
      adnxs: entry('12345', '2026-12-05T10:00:00Z'),
      ttd: { uid: '', expiresMs: nowMs + 14 * DAY_MS },
    })
    expect(readUids(encodeUids(pushed), nowMs).entries).toEqual(pushed)
  })
})
