import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { DAY_MS } from '../../src/core/duration.ts'
import { makeSigner, newVisitor, readCookies, visitorCookie } from '../../src/identity/cookie.ts'
import { cookieKeys, rotated } from '../../src/identity/key.ts'

const now = Date.UTC(2026, 10, 21, 12)
const signer = makeSigner(() => ['a key of thirty-two characters..'])

describe('the visitor cookie', () => {
  it('begins with the UUID and a dot, and is recognised', () => {
    const visitor = newVisitor()
    const value = signer.sign(visitor, now)
    expect(value.startsWith(`${visitor}.`)).toBe(true)
    expect(signer.verify(value, now)).toEqual({ kind: 'known', visitor, refresh: false })
  })

  it('is renewed once a day', () => {
    const value = signer.sign(newVisitor(), now)
    expect(signer.verify(value, now + 60_000)).toMatchObject({ refresh: false })
    expect(signer.verify(value, now + DAY_MS)).toMatchObject({ refresh: true })
  })

  it('is foreign when any part of it was changed, or another key signed it, also after the true one was seen', () => {
    const visitor = newVisitor()
    const value = signer.sign(visitor, now)
    signer.verify(value, now)
    const [, day = '', signature = ''] = value.split('.')
    const forged = [
      `${newVisitor()}.${day}.${signature}`,
      `${visitor}.zz.${signature}`,
      `${visitor}.${day}.${'A'.repeat(22)}`,
      `${visitor}.${day}.`,
      visitor,
      `${visitor}.`,
      '',
    ]
    for (const text of [...forged, makeSigner(() => ['another key']).sign(visitor, now)])
      expect(signer.verify(text, now), text).toEqual({ kind: 'foreign' })
  })

  it('carries the attributes of the contract', () => {
    const attributes = visitorCookie('v', false).split('; ').slice(1)
    expect(new Set(attributes.map((attribute) => attribute.toLowerCase()))).toEqual(
      new Set(['max-age=7776000', 'path=/', 'httponly', 'secure', 'samesite=none']),
    )
    expect(visitorCookie('v', false)).toMatch(/^__Host-mid=v;/)
    expect(visitorCookie('v', true)).toMatch(/^__Host-midp=v;.*; Partitioned/)
  })

  it('is known while any key of the ring verifies it, and is signed again with the newest', () => {
    const keys = ['the key of last month, 32 letters', 'the key of the month before that']
    const turning = makeSigner(() => keys)
    const value = turning.sign(newVisitor(), now)
    expect(turning.verify(value, now)).toMatchObject({ kind: 'known', refresh: false })
    keys.unshift('the key of this month, 32 letters')
    expect(turning.verify(value, now)).toMatchObject({ kind: 'known', refresh: true })
    keys.splice(1)
    expect(makeSigner(() => keys).verify(value, now)).toEqual({ kind: 'foreign' })
  })

  it('is not known for longer than the cookie that it was set with', () => {
    const value = signer.sign(newVisitor(), now)
    expect(signer.verify(value, now + 90 * DAY_MS)).toMatchObject({ kind: 'known' })
    expect(signer.verify(value, now + 91 * DAY_MS)).toEqual({ kind: 'foreign' })
  })

  it('stands beside opt-out cookies, which are seen', () => {
    const none = { visitor: undefined, partitioned: undefined, optedOut: undefined, siteOptedOut: undefined }
    expect(readCookies('a=b; __Host-mid=x; __Host-midp=y; __Host-mopt=1')).toEqual({
      ...none,
      visitor: 'x',
      partitioned: 'y',
      optedOut: '1',
    })
    expect(readCookies('__Host-mid=x; __Host-moptp=')).toEqual({ ...none, visitor: 'x', siteOptedOut: '' })
    expect(readCookies(undefined)).toEqual(none)
  })
})

describe('the ring of keys', () => {
  it('turns every 30 days, and a key goes when no cookie of it can live', () => {
    let ring = rotated([], 100, () => 'k100')
    for (let day = 101; day <= 400; day++) ring = rotated(ring, day, () => `k${day}`)
    expect(ring.map(({ key }) => key)).toEqual(['k400', 'k370', 'k340', 'k310', 'k280'])
    expect(rotated(ring, 429).map(({ key }) => key)).toEqual(['k400', 'k370', 'k340', 'k310'])
  })

  it('is kept in the data directory, and a file of the one key of earlier versions still verifies', () => {
    const data = mkdtempSync(join(tmpdir(), 'keys-'))
    writeFileSync(join(data, 'cookie.key'), 'k'.repeat(43))
    const [newest, old] = cookieKeys(data, undefined, now)
    expect(old).toBe('k'.repeat(43))
    expect(cookieKeys(data, undefined, now)).toEqual([newest, old])
    expect(statSync(join(data, 'cookie.key')).mode & 0o777).toBe(0o600)
    rmSync(data, { recursive: true })
  })
})
