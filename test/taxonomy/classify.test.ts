import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decideEvent, type EventInput } from '../../src/collect/decide.ts'
import { DAY_MS } from '../../src/core/duration.ts'
import { type ClassifyRule, makeClassify, withCategories } from '../../src/taxonomy/classify.ts'
import { parseUrlPattern } from '../../src/taxonomy/url-pattern.ts'
import { sourcesOf } from '../support/sources.ts'
import { type NaiveRule, naiveCategories } from './naive.ts'

const compiled = (rules: readonly NaiveRule[]) =>
  makeClassify(
    rules.map(
      ({ category, url, keyword, source }): ClassifyRule => ({
        category,
        urls: url?.map((text) => {
          const parsed = parseUrlPattern(text)
          if (!parsed.ok) throw new Error(`${text}: ${parsed.message}`)
          return parsed.pattern
        }),
        keywords: keyword,
        sources: source,
      }),
    ),
  )
const page = (host: string, path: string) => ({ host, path })
const nowhere = page('', '')

describe('classification', () => {
  it('is nothing at all without rules', () => {
    expect(makeClassify([])).toBeUndefined()
  })

  it('adds what every condition of a rule allows, of a list any', () => {
    const classify = compiled([
      { category: '1', url: ['news.example/cars/**', '*.motors.example'], source: ['news', 'motors'] },
      { category: '22', url: ['news.example/**'], keyword: ['electric', 'E-Auto'] },
    ])
    expect(classify?.(page('news.example', '/cars/x'), [], 'news')).toEqual(['1'])
    expect(classify?.(page('www.motors.example', '/'), [], 'motors')).toEqual(['1'])
    expect(classify?.(page('news.example', '/cars/x'), [], 'other')).toEqual([])
    expect(classify?.(page('news.example', '/cars/x'), ['Electric'], 'news')).toEqual(['1', '22'])
    expect(classify?.(page('news.example', '/tech'), ['e-auto'], 'other')).toEqual(['22'])
    expect(classify?.(page('other.example', '/tech'), ['electric'], 'other')).toEqual([])
  })

  it('takes keywords whole and in any case', () => {
    const classify = compiled([{ category: '6', keyword: ['SUV'] }])
    expect(classify?.(nowhere, ['suv'], 's')).toEqual(['6'])
    expect(classify?.(nowhere, ['suvs', 'my suv'], 's')).toEqual([])
  })

  it('by source alone, by the order of the rules, each category once', () => {
    const classify = compiled([
      { category: 'b', source: ['s'] },
      { category: 'a', keyword: ['k'] },
      { category: 'b', url: ['*'] },
      { category: 'c', url: ['h.example'] },
    ])
    expect(classify?.(page('h.example', '/'), ['k', 'k'], 's')).toEqual(['b', 'a', 'c'])
    expect(classify?.(page('h.example', '/'), [], 'other')).toEqual(['b', 'c'])
  })

  it('by address says nothing of an event without a page', () => {
    expect(compiled([{ category: '1', url: ['*', '*/**'] }])?.(nowhere, [], 's')).toEqual([])
  })

  it('comes behind the categories of the event and repeats none', () => {
    expect(withCategories(['9', '1'], ['1', '2', '3'])).toEqual(['9', '1', '2', '3'])
    const own = ['1', '1']
    expect(withCategories(own, ['1'])).toBe(own)
  })
})

const segment = fc.constantFrom('a', 'b', 'ab', 'ba', 'aab', 'abab', 'bbabb', '')
const piece = fc.constantFrom('a', 'b', 'ab', '*', '*', 'bab', 'é')
const wanted = fc.oneof(
  segment,
  fc.constantFrom('*', '**', '**'),
  fc.array(piece, { minLength: 1, maxLength: 6 }).map((pieces) => pieces.join('').replaceAll(/\*+/g, '*')),
)
const HOSTS = ['a.example', 'b.a.example', 'c.b.a.example', 'example', 'xa.example', 'a.test']
const pattern = fc
  .tuple(
    fc.constantFrom(...HOSTS, '*', '*.a.example', '*.example', '*.b.a.example'),
    fc.option(fc.array(wanted, { maxLength: 5 }), { nil: undefined }),
    fc.boolean(),
  )
  .map(([host, path, slash]) => (path ? `${host}/${path.join('/')}${slash ? '/' : ''}` : host))
const words = fc.array(fc.constantFrom('suv', 'SUV', 'Golf', 'golf', 'x', 'İ'), { maxLength: 3 })
const address = fc.tuple(
  fc.constantFrom('', ...HOSTS),
  fc.array(fc.oneof(segment, fc.constant('%C3%A9')), { maxLength: 6 }),
  fc.boolean(),
  words,
  fc.constantFrom('s', 't', 'u'),
)
const some = <T>(values: fc.Arbitrary<T>) =>
  fc.option(fc.array(values, { minLength: 1, maxLength: 3 }), { nil: undefined, freq: 2 })
const rule = fc
  .record({
    category: fc.constantFrom('1', '2', '3', '4', '5', '6', '7', '8'),
    url: some(pattern),
    keyword: some(fc.constantFrom('suv', 'Suv', 'golf', 'y', 'i̇')),
    source: some(fc.constantFrom('s', 't')),
  })
  .filter(({ url, keyword, source }) => url !== undefined || keyword !== undefined || source !== undefined)
  .map(
    ({ category, url, keyword, source }): NaiveRule => ({
      category,
      ...(url && { url }),
      ...(keyword && { keyword }),
      ...(source && { source }),
    }),
  )

/** The naive matcher does not encode; this is the one letter of the patterns that addresses encode. */
const encoded = (rules: readonly NaiveRule[]): NaiveRule[] =>
  rules.map((each) => (each.url ? { ...each, url: each.url.map((text) => text.replaceAll('é', '%C3%A9')) } : each))

describe('the index', () => {
  it('finds what asking every pattern finds (generated patterns and addresses)', () => {
    let matched = 0
    let asked = 0
    fc.assert(
      fc.property(
        fc.array(rule, { minLength: 1, maxLength: 30 }),
        fc.array(address, { minLength: 5, maxLength: 20 }),
        (rules, pages) => {
          const classify = compiled(rules)
          const naive = encoded(rules)
          for (const [host, segments, slash, keywords, source] of pages) {
            const path = host === '' ? '' : `/${segments.join('/')}${slash && segments.length > 0 ? '/' : ''}`
            const expected = naiveCategories(naive, host, path, keywords, source)
            asked++
            if (expected.length > 0) matched++
            expect(classify?.({ host, path }, keywords, source)).toEqual(expected)
          }
        },
      ),
      { numRuns: 1_500 },
    )
    // Neither all nor none: a generator that never matches would prove nothing.
    expect(matched / asked).toBeGreaterThan(0.1)
    expect(matched / asked).toBeLessThan(0.95)
  })

  it('asks none of ten thousand patterns by itself: a look-up among them costs about what it costs among ten', () => {
    const rules = (count: number) =>
      compiled(Array.from({ length: count }, (_, n) => ({ category: String(n), url: [`h.example/**/*-w${n}x-*`] })))
    const few = rules(10)
    const many = rules(10_000)
    const seen = page('h.example', '/2026/the-w7x-of-the-year')
    const microseconds = (classify: typeof few): number => {
      const runs = 2_000
      let best = Number.POSITIVE_INFINITY
      for (let batch = 0; batch < 7; batch++) {
        const start = performance.now()
        for (let n = 0; n < runs; n++) classify?.(seen, [], 's')
        best = Math.min(best, ((performance.now() - start) * 1_000) / runs)
      }
      return best
    }
    expect(many?.(seen, [], 's')).toEqual(['7'])
    expect(few?.(seen, [], 's')).toEqual(['7'])
    // Asked one by one they would cost a thousand times as much.
    expect(microseconds(many)).toBeLessThan(microseconds(few) * 60)
  })
})

describe('at collection', () => {
  const nowMs = Date.UTC(2026, 10, 21, 12)
  const classify = compiled([
    { category: '1', url: ['news.example/cars/**'] },
    { category: '22', keyword: ['ev'] },
    { category: '483', source: ['feed'] },
  ])
  const settings = { sources: sourcesOf([{ id: 'news' }, { id: 'feed' }]), retentionMs: 90 * DAY_MS }
  const input = (given: Record<string, unknown>, more: Partial<EventInput> = {}): EventInput => ({
    sender: 'browser',
    form: 'json',
    given: { source: 'news', ...given },
    referer: undefined,
    keyed: false,
    nowMs,
    ...more,
  })
  const categories = (sent: EventInput) => {
    const decision = decideEvent(sent, { ...settings, classify })
    return decision.kind === 'event' ? decision.fields.category : decision
  }

  it.each([
    ['browser', 'json'],
    ['browser', 'query'],
    ['server', 'json'],
    ['import', 'json'],
  ] as const)('an event of a %s (%s) has its own categories and then those of the rules', (sender, form) => {
    const given = { url: 'https://news.example/cars/x?utm=1', keyword: form === 'query' ? 'EV,x' : ['EV', 'x'], category: '9' }
    expect(categories(input(given, { sender, form }))).toEqual(['9', '1', '22'])
    expect(categories(input({ ...given, category: '22' }, { sender, form }))).toEqual(['22', '1'])
  })

  it('an address that came as the Referer is classified as well, and a source by itself', () => {
    expect(categories(input({}, { referer: 'https://news.example/cars/' }))).toEqual(['1'])
    expect(categories(input({ source: 'feed' }, { sender: 'server' }))).toEqual(['483'])
  })

  it('without rules an event keeps what it came with', () => {
    const given = { url: 'https://news.example/cars/x', category: ['9'] }
    expect(decideEvent(input(given), { ...settings, classify: undefined })).toMatchObject({ fields: { category: ['9'] } })
    expect(decideEvent(input(given), settings)).toMatchObject({ kind: 'event', fields: { category: ['9'] } })
  })

  it('what is refused is not classified', () => {
    expect(categories(input({ source: 'nobody', url: 'https://news.example/cars/x' }))).toMatchObject({ kind: 'refused' })
  })
})
