// Measured links: what is signed, what may be added, and where nobody is sent.

import { describe, expect, it } from 'vitest'
import { parseQuery } from '../../src/collect/body.ts'
import { type LinkRequest, locationOf, makeLink, signedLink, targetProblem, verifiedTarget } from '../../src/collect/link.ts'

const KEY = 'a key of thirty-two characters..'
const LINK = {
  target: 'https://shop.example/cars?a=1&b=2#top',
  source: 'ads',
  campaign: 'spring',
  creative: 'c 1',
  placement: '',
}
const query = (path: string) => parseQuery(path.slice(path.indexOf('?') + 1))
const signed = (more = '') => query(signedLink(LINK, KEY) + more)

it('leads to its target, whatever is added that is not signed', () => {
  expect(verifiedTarget(signed(), KEY)).toBe(LINK.target)
  expect(verifiedTarget(signed('&gdpr=1&gdpr_consent=C&cb=123&value=0.4&us_privacy=1YNN'), KEY)).toBe(LINK.target)
})

it('leads nowhere when anything signed is another, or the key or the signature is', () => {
  for (const changed of [
    'source=x',
    'campaign=x',
    'creative=',
    'placement=x',
    'url=https://evil.example/',
    'url=https://shop.example/cars',
    'sig=x',
    'sig=',
  ])
    expect(verifiedTarget(signed(`&${changed}`), KEY), changed).toBeUndefined()
  const { sig = '', ...unsigned } = signed()
  expect(verifiedTarget(unsigned, KEY)).toBeUndefined()
  expect(verifiedTarget({ ...unsigned, sig: `${sig}A` }, KEY)).toBeUndefined()
  expect(verifiedTarget({ ...unsigned, sig: sig.slice(1) }, KEY)).toBeUndefined()
  expect(verifiedTarget(signed(), `${KEY}.`)).toBeUndefined()
})

it('is another link when its parts are cut elsewhere', () => {
  const sigOf = (link: Partial<typeof LINK>) => query(signedLink({ ...LINK, ...link }, KEY))['sig']
  expect(sigOf({ campaign: 'ab', creative: 'c' })).not.toBe(sigOf({ campaign: 'a', creative: 'bc' }))
  expect(sigOf({ campaign: 'x', creative: '' })).not.toBe(sigOf({ campaign: '', creative: 'x' }))
  expect(sigOf({ campaign: 'a","b' })).not.toBe(sigOf({ campaign: 'a', creative: 'b' }))
})

describe('a target', () => {
  it.each([
    'https://shop.example',
    'http://shop.example:8080/a?b=c#d',
    'HTTPS://Shop.Example/A',
    'https://shop.example/a@b?e=m@x.example',
    'https://münchen.example/straße?q=ü',
    'https://[2001:db8::1]/a',
  ])('may be %s', (target) => {
    expect(targetProblem(target)).toBeUndefined()
    expect(new URL(locationOf(target)).href).toBe(new URL(target).href)
    expect(locationOf(target)).toMatch(/^[\x21-\x7e]+$/)
  })

  it.each([
    '',
    '/a',
    '//evil.example',
    'shop.example/a',
    'javascript:alert(1)',
    'data:text/html,x',
    'ftp://shop.example/',
    'https:shop.example',
    'https:/shop.example',
    'https:///shop.example',
    'https://',
    'https://?a',
    'https://ok.example@evil.example/',
    'https://@evil.example/',
    'https://a:b@evil.example/',
    'https://evil.example\\@ok.example/',
    '/\\evil.example',
    'https:\\\\evil.example',
    ' https://shop.example/',
    'https://shop.example/\t',
    'ht\ttps://shop.example/',
    'https://shop.example/\r\nset-cookie: a=b',
    'https://shop.example/\0',
    'https://shop.example/\ud800',
    'https://a b.example/',
    'https://999.1.1.1.1/',
    `https://shop.example/${'a'.repeat(8_192)}`,
  ])('may not be %j, not even where we have signed it', (target) => {
    expect(targetProblem(target)).toBeDefined()
    expect(verifiedTarget(query(signedLink({ ...LINK, target }, KEY)), KEY)).toBeUndefined()
  })
})

it('is made for declared sources, with or without where the collector is, and says which field is wrong', () => {
  const sources = new Set(['ads'])
  const make = (asked: Partial<LinkRequest>) => makeLink({ url: LINK.target, source: 'ads', ...asked }, { key: KEY, sources })
  const link = make({ campaign: 'spring', base: 'https://px.example/' })
  expect(link).toMatchObject({
    ok: true,
    url: expect.stringMatching(/^https:\/\/px\.example\/click\?source=ads&campaign=spring&url=/),
  })
  expect(make({})).toMatchObject({ ok: true, url: expect.stringMatching(/^\/click\?source=ads&url=/) })
  expect(make({ url: 'javascript:x' })).toMatchObject({ ok: false, field: 'url' })
  expect(make({ source: 'nobody' })).toMatchObject({ ok: false, field: 'source' })
  expect(make({ campaign: 'x'.repeat(1_025) })).toMatchObject({ ok: false, field: 'campaign' })
  for (const base of ['px.example', 'https://px.example/?a', 'https://a@px.example'])
    expect(make({ base })).toMatchObject({ ok: false, field: 'base' })
})
