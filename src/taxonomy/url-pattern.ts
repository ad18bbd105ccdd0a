// A pattern for page addresses: a host and a path, such as `news.example/cars/**`.
//
// Host: `news.example` is that host alone; `*.news.example` every host below it, at any depth, and not itself; `*` any host.
// Path: compared segment by segment, upper and lower case apart, with or without a slash at the end. `*` stands for any characters inside a segment, `**`
// alone in its segment for any number of whole segments, none included. Without a path, every page of the host.

import { scrubPath } from '../event/scrub.ts'

/** Texts between the asterisks of one segment: the first begins it, the last ends it, those between follow one another. */
export type SegmentGlob = { readonly prefix: string; readonly inner: readonly string[]; readonly suffix: string }
export type PathStep =
  | { readonly step: 'text'; readonly text: string }
  | { readonly step: 'glob'; readonly glob: SegmentGlob }
  | { readonly step: 'any' }
  | { readonly step: 'rest' }

export type UrlPattern = {
  /** `below`: the hosts under it; `any`: whatever the host. */
  readonly match: 'host' | 'below' | 'any'
  readonly host: string
  readonly path: readonly PathStep[]
}

/** Segments of a path. An empty one at the end is dropped: `/cars/` and `/cars` are one page to a reader. */
export function segmentsOf(path: string): string[] {
  const segments = path.split('/')
  if (segments[0] === '') segments.shift()
  if (segments.at(-1) === '') segments.pop()
  return segments
}

/** From left to right, each text at its first place: one pass, whatever the number of asterisks. */
export function matchesGlob({ prefix, inner, suffix }: SegmentGlob, segment: string): boolean {
  const end = segment.length - suffix.length
  if (end < prefix.length || !segment.startsWith(prefix) || !segment.endsWith(suffix)) return false
  let at = prefix.length
  for (const text of inner) {
    const found = segment.indexOf(text, at)
    if (found < 0) return false
    at = found + text.length
  }
  return at <= end
}

function parseStep(segment: string): PathStep {
  if (segment === '**') return { step: 'rest' }
  if (segment === '*') return { step: 'any' }
  if (!segment.includes('*')) return { step: 'text', text: segment }
  const texts = segment.split('*')
  return {
    step: 'glob',
    glob: {
      prefix: texts[0] ?? '',
      inner: texts.slice(1, -1).filter((text) => text !== ''),
      suffix: texts.at(-1) ?? '',
    },
  }
}

type Parsed = { readonly ok: true; readonly pattern: UrlPattern } | { readonly ok: false; readonly message: string }
const wrong = (message: string): Parsed => ({ ok: false, message })

/** As an address would show it (punycode, lower case), or undefined where it is none. */
function shownHost(text: string): string | undefined {
  if (!URL.canParse(`http://${text}/`)) return undefined
  const url = new URL(`http://${text}/`)
  return url.host === url.hostname && url.username === '' && url.pathname === '/' ? url.hostname : undefined
}

export function parseUrlPattern(text: string): Parsed {
  if (text.trim() !== text || text === '') return wrong('a pattern is host and path, such as news.example/cars/**')
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return wrong('a pattern has no scheme: begin with the host')
  if (/[?#]/.test(text)) return wrong('a pattern has no `?` or `#`: pages are known without query and fragment')
  const slash = text.indexOf('/')
  const written = slash < 0 ? text : text.slice(0, slash)
  const path = slash < 0 ? '/**' : text.slice(slash)

  const match = written === '*' ? 'any' : written.startsWith('*.') ? 'below' : 'host'
  const bare = match === 'any' ? '' : match === 'below' ? written.slice(2) : written
  if (bare.includes('*')) return wrong('`*` stands for a whole host, or in `*.` before one')
  if (/:\d*$/.test(bare)) return wrong('a pattern has no port')
  const host = match === 'any' ? '' : shownHost(bare)
  if (host === undefined) return wrong(`\`${bare.slice(0, 80)}\` is no host`)

  const segments = segmentsOf(path)
  if (path.includes('\\') || segments.some((segment) => /^(\.|%2e){1,2}$/i.test(segment)))
    return wrong('no page has `\\`, `.` or `..` in its path')
  // As addresses have it: spaces and letters beyond ASCII percent-encoded. `*` is left as it is.
  const encoded = new URL(`http://host${path}`).pathname
  if (scrubPath(encoded) !== encoded)
    return wrong('no page has such a path: segments that look personal are replaced by `-` before they are stored')
  const steps: PathStep[] = []
  for (const segment of segmentsOf(encoded)) {
    if (segment !== '**' && segment.includes('**')) return wrong('`**` stands alone between slashes')
    const step = parseStep(segment)
    // `**/**` is `**`.
    if (step.step !== 'rest' || steps.at(-1)?.step !== 'rest') steps.push(step)
  }
  return { ok: true, pattern: { match, host, path: steps } }
}
