// Patterns and rules by their definition, one after another and character by character: slow, and written without a look at the index.

export type NaiveRule = {
  readonly category: string
  readonly url?: readonly string[]
  readonly keyword?: readonly string[]
  readonly source?: readonly string[]
}

function glob(pattern: string, text: string): boolean {
  if (pattern === '') return text === ''
  if (pattern[0] === '*') return glob(pattern.slice(1), text) || (text !== '' && glob(pattern, text.slice(1)))
  return pattern[0] === text[0] && glob(pattern.slice(1), text.slice(1))
}

function path(want: readonly string[], have: readonly string[]): boolean {
  const [first, ...rest] = want
  if (first === undefined) return have.length === 0
  if (first === '**') return path(rest, have) || (have.length > 0 && path(want, have.slice(1)))
  return have[0] !== undefined && glob(first, have[0]) && path(rest, have.slice(1))
}

const cut = (text: string): string[] => {
  const segments = text.slice(1).split('/')
  return segments.at(-1) === '' ? segments.slice(0, -1) : segments
}

function hosts(want: string, have: string): boolean {
  if (have === '') return false
  if (want === '*') return true
  return want.startsWith('*.') ? have.endsWith(want.slice(1)) && have !== want.slice(1) : have === want
}

export function naivelyMatches(pattern: string, host: string, page: string): boolean {
  const slash = pattern.indexOf('/')
  if (slash < 0) return hosts(pattern, host)
  return hosts(pattern.slice(0, slash), host) && path(cut(pattern.slice(slash)), cut(page))
}

export function naiveCategories(
  rules: readonly NaiveRule[],
  host: string,
  page: string,
  keywords: readonly string[],
  source: string,
): string[] {
  const added: string[] = []
  for (const rule of rules) {
    if (rule.url && !rule.url.some((pattern) => naivelyMatches(pattern, host, page))) continue
    if (rule.keyword && !rule.keyword.some((word) => keywords.some((k) => k.toLowerCase() === word.toLowerCase()))) continue
    if (rule.source && !rule.source.includes(source)) continue
    if (!added.includes(rule.category)) added.push(rule.category)
  }
  return added
}
