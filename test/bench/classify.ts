// What classification costs an event: the index beside asking one pattern after another (as compiled regular expressions) on the same rules and events in
// the same run. Both must give the same categories.
//   node --import tsx test/bench/classify.ts

import { type Classify, type ClassifyRule, makeClassify } from '../../src/taxonomy/classify.ts'
import { parseUrlPattern } from '../../src/taxonomy/url-pattern.ts'

type Written = { readonly category: string; readonly url?: string; readonly keyword?: string }
type Seen = { readonly host: string; readonly path: string; readonly keywords: readonly string[] }

/** mulberry32: the same rules and events in every run. */
function random(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) % below
  }
}

const word = (n: number): string => {
  let text = ''
  for (let rest = n * 7919 + 17; rest > 0; rest = Math.floor(rest / 20)) text += 'bcdfghklmnprstvaeiou'[rest % 20]
  return text
}

/** Rules as a network of many sites has them: sections, hosts below a domain, words in slugs, keywords. */
function manySites(count: number): Written[] {
  const pick = random(1)
  return Array.from({ length: count }, (_, n): Written => {
    const category = String(n)
    const host = `${word(pick(Math.max(3, count / 5)))}.example`
    const topic = word(pick(500))
    switch (n % 10) {
      case 0:
        return { category, url: `*.${host}/${topic}/**` }
      case 1:
        return { category, url: `${host}/*/${topic}` }
      case 2:
      case 3:
        return { category, url: `${host}/**/*${topic}*` }
      case 4:
        return { category, url: `*/${word(n)}-*/**` }
      case 5:
        return { category, keyword: word(n) }
      case 6:
        return { category, url: `${host}/**`, keyword: topic }
      default:
        return { category, url: `${host}/${topic}/**` }
    }
  })
}
/** The worst that is of use: every rule looks for a word in the slugs of one site. */
const oneSite = (count: number): Written[] =>
  Array.from({ length: count }, (_, n) => ({ category: String(n), url: `news.example/**/*${word(n)}*` }))

function events(rules: readonly Written[]): Seen[] {
  const pick = random(2)
  const hosts = [...new Set(rules.flatMap(({ url }) => (url ? [url.slice(0, url.indexOf('/'))] : [])))].map((host) =>
    host === '*' ? 'else.example' : host.replace('*', 'www'),
  )
  return Array.from({ length: 2_000 }, () => {
    const slug = `${word(pick(500))}-${word(pick(rules.length * 2))}-${word(pick(500))}`
    return {
      host: hosts[pick(hosts.length)] ?? 'else.example',
      path: `/${word(pick(500))}/${word(pick(500))}/${slug}`,
      keywords: [word(pick(rules.length * 2)), word(pick(500))],
    }
  })
}

function indexed(rules: readonly Written[]): Classify {
  const compiled = rules.map(({ category, url, keyword }): ClassifyRule => {
    const parsed = url === undefined ? undefined : parseUrlPattern(url)
    if (parsed && !parsed.ok) throw new Error(`${url}: ${parsed.message}`)
    return {
      category,
      urls: parsed && [parsed.pattern],
      keywords: keyword === undefined ? undefined : [keyword],
      sources: undefined,
    }
  })
  return makeClassify(compiled) as Classify
}

function oneByOne(rules: readonly Written[]): Classify {
  const escaped = (text: string) => text.replace(/[.+?^${}()|[\]\\]/g, '\\$&')
  const expression = (url: string): RegExp => {
    const slash = url.indexOf('/')
    const host = url.slice(0, slash)
    const segments = url.slice(slash + 1).split('/')
    const path = segments.map((segment) => (segment === '**' ? '(?:/[^/]+)*' : `/${escaped(segment).replaceAll('*', '[^/]*')}`))
    return new RegExp(`^${host === '*' ? '[^/]+' : escaped(host).replace('*', '[^/]+')}${path.join('')}/?$`)
  }
  const compiled = rules.map(({ category, url, keyword }) => ({ category, keyword, url: url && expression(url) }))
  return ({ host, path }, keywords) => {
    const address = host + path
    const words = keywords.map((keyword) => keyword.toLowerCase())
    return compiled.flatMap(({ category, url, keyword }) =>
      (!url || url.test(address)) && (keyword === undefined || words.includes(keyword)) ? [category] : [],
    )
  }
}

let kept = 0
/** Median microseconds an event over `batches` batches. */
function medianUs(classify: Classify, seen: readonly Seen[], batches: number): number {
  const times: number[] = []
  for (let batch = 0; batch < batches; batch++) {
    const start = process.hrtime.bigint()
    for (const event of seen) kept += classify(event, event.keywords, 's').length
    times.push(Number(process.hrtime.bigint() - start) / 1_000 / seen.length)
  }
  return times.sort((a, b) => a - b)[batches >> 1] ?? Number.NaN
}

const column = (text: string | number) => (typeof text === 'number' ? text.toFixed(2) : text).padStart(12)
console.log(
  `${'microseconds an event, median'.padEnd(32)}${['rules', 'index', 'one by one', 'ratio', 'categories', 'compile ms'].map(column).join('')}`,
)
for (const [name, make] of [
  ['many sites', manySites],
  ['words in slugs of one site', oneSite],
] as const)
  for (const count of [10, 1_000, 10_000]) {
    const rules = make(count)
    const seen = events(rules)
    const start = performance.now()
    const index = indexed(rules)
    const compileMs = performance.now() - start
    const naive = oneByOne(rules)
    let categories = 0
    const compared = seen.slice(0, count > 10 ? 200 : seen.length)
    for (const event of compared) {
      const found = index(event, event.keywords, 's')
      categories += found.length
      if (JSON.stringify(found) !== JSON.stringify(naive(event, event.keywords, 's')))
        throw new Error(`index and loop differ on ${event.host}${event.path}`)
    }
    const indexUs = medianUs(index, seen, 41)
    const naiveUs = medianUs(naive, seen.slice(0, count < 1_000 ? 2_000 : 100_000 / count), count < 1_000 ? 41 : 7)
    console.log(
      `${name.padEnd(32)}${[String(count), indexUs, naiveUs, naiveUs / indexUs, categories / compared.length, compileMs].map(column).join('')}`,
    )
  }
if (kept < 0) console.log(kept)
