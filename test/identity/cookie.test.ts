import { describe, expect, it } from 'vitest'
import { DAY_MS } from '../../src/core/duration.ts'
import { makeSigner, newVisitor, readCookies, visitorCookie } from '../../src/identity/cookie.ts'

const now = Date.UTC(2026, 10, 21, 12)
const signer = makeSigner('a key of thirty-two characters..')

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
    for (const text of [...forged, makeSigner('another key').sign(visitor, now)])
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

  it('stands beside an opt-out cookie, which is seen', () => {
    expect(readCookies('a=b; __Host-mid=x; __Host-midp=y; __Host-mopt=1')).toEqual({
      visitor: 'x',
      partitioned: 'y',
      optedOut: true,
    })
    expect(readCookies('__Host-mid=x')).toEqual({ visitor: 'x', partitioned: undefined, optedOut: false })
    expect(readCookies(undefined)).toEqual({ visitor: undefined, partitioned: undefined, optedOut: false })
  })
})
