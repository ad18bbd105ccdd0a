import { describe, expect, it } from 'vitest'
import { makeUrlIndex } from '../../src/taxonomy/url-index.ts'
import { parseUrlPattern, type UrlPattern } from '../../src/taxonomy/url-pattern.ts'

function parsed(text: string): UrlPattern {
  const result = parseUrlPattern(text)
  if (!result.ok) throw new Error(`${text}: ${result.message}`)
  return result.pattern
}
function matches(pattern: string, address: string): boolean {
  const url = new URL(address)
  let found = false
  makeUrlIndex([[parsed(pattern), true]])(url.hostname, url.pathname, () => {
    found = true
  })
  return found
}

describe('a pattern for addresses', () => {
  it.each([
    ['news.example', 'https://news.example/'],
    ['news.example', 'https://news.example/any/page'],
    ['news.example/', 'https://news.example/'],
    ['news.example/cars', 'https://news.example/cars'],
    ['news.example/cars', 'https://news.example/cars/'],
    ['news.example/cars/', 'https://news.example/cars'],
    ['news.example/cars/**', 'https://news.example/cars'],
    ['news.example/cars/**', 'https://news.example/cars/suv/the-new-one'],
    ['news.example/cars/*', 'https://news.example/cars/suv'],
    ['news.example/*/electric', 'https://news.example/cars/electric'],
    ['news.example/**/electric/**', 'https://news.example/electric'],
    ['news.example/**/electric/**', 'https://news.example/a/b/electric/c/d'],
    ['news.example/review-*', 'https://news.example/review-of-the-year'],
    ['news.example/*-review', 'https://news.example/car-review/'],
    ['news.example/**/*electric*', 'https://news.example/2026/the-electric-one'],
    ['news.example/a*b*c', 'https://news.example/aXbXbc'],
    ['*.example/*/electric', 'https://www.news.example/cars/electric'],
    ['*/cars/**', 'https://anything.test/cars/1'],
    ['NEWS.example/Cars', 'https://news.example/Cars'],
    ['bücher.example/krimi und mehr/*', 'https://bücher.example/krimi%20und%20mehr/neu'],
    ['news.example/größe/**', 'https://news.example/gr%C3%B6%C3%9Fe/xl'],
    ['news.example:/x'.replace(':', ''), 'http://news.example:8080/x'],
  ])('%s matches %s', (pattern, address) => {
    expect(matches(pattern, address)).toBe(true)
  })

  it.each([
    ['news.example', 'https://www.news.example/'],
    ['news.example', 'https://notnews.example/'],
    ['*.news.example', 'https://news.example/'],
    ['*.news.example', 'https://evilnews.example/'],
    ['news.example/', 'https://news.example/cars'],
    ['news.example/cars', 'https://news.example/cars/suv'],
    ['news.example/cars', 'https://news.example/Cars'],
    ['news.example/cars/*', 'https://news.example/cars'],
    ['news.example/cars/*', 'https://news.example/cars/suv/new'],
    ['news.example/cars/**', 'https://news.example/carsandmore'],
    ['news.example/*/electric', 'https://news.example/electric'],
    ['news.example/review-*', 'https://news.example/review'],
    ['news.example/a*a', 'https://news.example/a'],
    ['news.example/ab*bc', 'https://news.example/abc'],
    ['news.example/*.html', 'https://news.example/x-html'],
  ])('%s does not match %s', (pattern, address) => {
    expect(matches(pattern, address)).toBe(false)
  })

  it.each([
    ['', 'host and path'],
    [' news.example', 'host and path'],
    ['https://news.example/cars', 'no scheme'],
    ['/cars/**', 'is no host'],
    ['news.*/cars', 'stands for a whole host'],
    ['*news.example/cars', 'stands for a whole host'],
    ['*.*.example', 'stands for a whole host'],
    ['*./x', 'is no host'],
    ['news.example:8080/cars', 'no port'],
    ['news.example:80/cars', 'no port'],
    ['user@news.example/cars', 'is no host'],
    ['news example/cars', 'is no host'],
    ['news.example/cars?x=1', 'without query'],
    ['news.example/cars#top', 'without query'],
    ['news.example/a/../b', '`..`'],
    ['news.example/a/%2E/b', '`..`'],
    ['news.example\\cars', 'is no host'],
    ['news.example/a\\b', '`..`'],
    ['news.example/a**/b', '`**` stands alone'],
    ['news.example/***', '`**` stands alone'],
    ['news.example/order/12345678', 'look personal'],
    ['news.example/*@*', 'look personal'],
  ])('refuses %s', (text, message) => {
    expect(parseUrlPattern(text)).toEqual({ ok: false, message: expect.stringContaining(message) })
  })

  it('costs no more for many asterisks: a page that nearly matches is turned down at once', () => {
    const stars = `news.example/${'*a'.repeat(500)}*b`
    const rests = `news.example/${'**/a/'.repeat(200)}b`
    const start = performance.now()
    expect(matches(stars, `https://news.example/${'a'.repeat(8_000)}`)).toBe(false)
    expect(matches(rests, `https://news.example/${'a/'.repeat(2_000)}`)).toBe(false)
    expect(matches(rests, `https://news.example/${'a/'.repeat(2_000)}b`)).toBe(true)
    // A matcher that tried every way would still be at it when the sun goes out.
    expect(performance.now() - start).toBeLessThan(20_000)
  })
})
