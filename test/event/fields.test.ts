import { describe, expect, it } from 'vitest'
import { parseFields } from '../../src/event/fields.ts'
import { parsePage } from '../../src/event/page.ts'
import { scrubPath, scrubText } from '../../src/event/scrub.ts'
import { decimal } from '../support/events.ts'

const json = (given: Record<string, unknown>) => parseFields(given, { form: 'json', derived: false })
const query = (given: Record<string, string>) => parseFields(given, { form: 'query', derived: true })
const fieldsOf = (parsed: ReturnType<typeof json>) => {
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problem))
  return parsed.fields
}

describe('fields of an event', () => {
  it('mean the same from a query and from JSON', () => {
    const fromQuery = fieldsOf(
      query({
        event: 'add_to_cart',
        url: 'https://shop.example/a?x=1#y',
        category: '1,2',
        keyword: 'red, shoe',
        value: '19.90',
        'attr.sku': 'x1',
      }),
    )
    const fromJson = fieldsOf(
      json({
        event: 'add_to_cart',
        url: 'https://shop.example/a?x=1#y',
        category: ['1', '2'],
        keyword: ['red', 'shoe'],
        value: 19.9,
        attr: { sku: 'x1' },
      }),
    )
    expect(fromQuery).toEqual(fromJson)
    expect(fromJson).toMatchObject({ url: 'https://shop.example/a', host: 'shop.example', path: '/a', value: decimal('19.9') })
  })

  it('that nobody said are missing, and the event is a page view', () => {
    const { ts: _, ...empty } = { ts: 0, ...fieldsOf(json({ campaign: '', value: null })) }
    expect(empty).toMatchObject({ event: 'page_view', campaign: '', value: null, category: [], attr: {}, url: '' })
  })

  it('that nobody knows are ignored and named; derived ones are never taken from a browser', () => {
    const parsed = query({ colour: 'red', device: 'tv', country: 'DE', path: '/forged', campaign: 'c' })
    expect(parsed).toMatchObject({ ok: true, ignored: ['colour', 'device', 'country', 'path'] })
    expect(fieldsOf(parsed)).toMatchObject({ device: '', country: '', path: '', campaign: 'c' })
    expect(fieldsOf(json({ device: 'tv', country: 'DE' }))).toMatchObject({ device: 'tv', country: 'DE' })
  })

  it.each([
    ['event', { event: 'Page View' }],
    ['url', { url: 'javascript:alert(1)' }],
    ['url', { url: '/relative' }],
    ['value', { value: 'cheap' }],
    ['value', { value: 0.0000001 }],
    ['value', { value: 1e21 }],
    ['campaign', { campaign: 7 }],
    ['campaign', { campaign: 'x'.repeat(2_000) }],
    ['category', { category: { a: 1 } }],
    ['keyword', { keyword: ['ok', 5] }],
    ['device', { device: 'fridge' }],
    ['referrer_host', { referrer_host: 'https://x.example/reset?email=jo@mail.example' }],
    ['referrer_host', { referrer_host: 'X.example:80' }],
    ['attr', { attr: { 'Not A Name': 'x' } }],
  ])('%s of %j is refused by name', (field, given) => {
    expect(json(given)).toMatchObject({ ok: false, problem: { field } })
  })

  it('ill-formed unicode becomes U+FFFD', () => {
    expect(fieldsOf(json({ campaign: 'a\ud800b' })).campaign).toBe('a\ufffdb')
  })
})

describe('scrubbing', () => {
  it.each([
    ['/user/12345678/cart', '/user/-/cart'],
    ['/u/123456/ok', '/u/123456/ok'],
    ['/mail/jo@example.com', '/mail/-'],
    ['/mail/jo%40example.com', '/mail/-'],
    ['/mail/jo%2540example.com', '/mail/-'],
    ['/o/11111111-1111-4111-8111-111111111111', '/o/-'],
    ['/t/abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJ1', '/t/-'],
    ['/t/abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJK', '/t/abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJK'],
    ['/%31%32%33%34%35%36%37', '/-'],
    ['/%E9-jo%2540mail', '/-'],
    ['/', '/'],
  ])('of the path %s gives %s', (path, expected) => {
    expect(scrubPath(path)).toBe(expected)
  })

  it('takes e-mail addresses out of properties and keywords, and leaves the rest', () => {
    expect(scrubText('write to jo.doe+x@mail.example.com now')).toBe('write to - now')
    expect(scrubText('jo%40mail.example')).toBe('-')
    expect(scrubText('jo%2540mail.example')).toBe('-')
    expect(scrubText('12 @ noon')).toBe('12 @ noon')
    expect(fieldsOf(json({ keyword: ['a@b.example', 'car'], attr: { who: 'a@b.example' } }))).toMatchObject({
      keyword: ['-', 'car'],
      attr: { who: '-' },
    })
  })

  it('drops name and password of an address, its query and its fragment', () => {
    expect(parsePage('HTTPS://jo:secret@News.Example:8443/A%20b/?q=1#f')?.url).toBe('https://news.example:8443/A%20b/')
  })
})
