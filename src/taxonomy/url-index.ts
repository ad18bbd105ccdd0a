// Thousands of url patterns looked up at once. Hosts are a map; under each a trie of path segments, walked as a set of places, so that no pattern is asked
// about by itself and no combination of asterisks costs more than segments times places. A look-up ends before the next begins, so places may keep notes.

import { matchesGlob, type SegmentGlob, segmentsOf, type UrlPattern } from './url-pattern.ts'

/** Called with the value of each pattern that matches; with the same value more than once where several of its patterns do. */
export type UrlIndex<T> = (host: string, path: string, found: (value: T) => void) => void

type GlobEdge<T> = { readonly glob: SegmentGlob; readonly to: Place<T> }

/** Globs under a text that each of them must show, and the lengths of those texts: the only ones worth cutting out of a segment. */
type Buckets<T> = { readonly under: Map<string, GlobEdge<T>[]>; readonly lengths: Set<number> }

/** Segment globs, each in one bucket: by what it begins with, by what it ends with, or by characters of the longest text inside. */
type Globs<T> = {
  readonly known: Map<string, Place<T>>
  readonly prefix: Buckets<T>
  readonly suffix: Buckets<T>
  readonly inner: Buckets<T>
}

/** One segment of one walk; itself and nothing else. */
type Step = object

type Place<T> = {
  /** Values of the patterns that end here. */
  readonly values: T[]
  readonly texts: Map<string, Place<T>>
  any: Place<T> | undefined
  /** Where `**` leads: there one stays, whatever the segment. */
  rest: Place<T> | undefined
  readonly stays: boolean
  globs: Globs<T> | undefined
  entered: Step | undefined
}

const INNER_KEY_MAX = 6
const newPlace = <T>(stays: boolean): Place<T> => ({
  values: [],
  texts: new Map(),
  any: undefined,
  rest: undefined,
  stays,
  globs: undefined,
  entered: undefined,
})
const newBuckets = <T>(): Buckets<T> => ({ under: new Map(), lengths: new Set() })

/** From here on a bucket is too full to be asked one glob after another, if there is another bucket. */
const BUCKET_FULL = 8

/** The emptiest of the buckets a glob may lie in: thousands may begin alike and end differently. */
function bucketFor<T>(globs: Globs<T>, { prefix, inner, suffix }: SegmentGlob): readonly [Buckets<T>, string] {
  const longest = inner.reduce((a, b) => (b.length > a.length ? b : a), '').slice(0, INNER_KEY_MAX)
  const choices = [
    [globs.prefix, prefix],
    [globs.suffix, suffix],
    [globs.inner, longest],
  ] as const
  const possible = choices.filter(([, key]) => key !== '')
  const size = ([buckets, key]: (typeof choices)[number]) => buckets.under.get(key)?.length ?? 0
  const roomy = possible.find((choice) => size(choice) < BUCKET_FULL)
  return roomy ?? possible.reduce((a, b) => (size(b) < size(a) ? b : a))
}

/** The place behind the glob, made where there is none yet. */
function behindGlob<T>(globs: Globs<T>, glob: SegmentGlob): Place<T> {
  const written = [glob.prefix, ...glob.inner, glob.suffix].join('*')
  const known = globs.known.get(written)
  if (known) return known
  const to = newPlace<T>(false)
  const [{ under, lengths }, key] = bucketFor(globs, glob)
  const edges = under.get(key)
  if (edges) edges.push({ glob, to })
  else under.set(key, [{ glob, to }])
  lengths.add(key.length)
  globs.known.set(written, to)
  return to
}

function behind<T>(place: Place<T>, step: UrlPattern['path'][number]): Place<T> {
  switch (step.step) {
    case 'text': {
      const known = place.texts.get(step.text)
      if (known) return known
      const made = newPlace<T>(false)
      place.texts.set(step.text, made)
      return made
    }
    case 'any':
      place.any ??= newPlace(false)
      return place.any
    case 'rest':
      place.rest ??= newPlace(true)
      return place.rest
    case 'glob':
      place.globs ??= { known: new Map(), prefix: newBuckets(), suffix: newBuckets(), inner: newBuckets() }
      return behindGlob(place.globs, step.glob)
  }
}

/** A place is entered once a step, however many ways lead there: it remembers the step by which it was entered last. */
function enter<T>(places: Place<T>[], place: Place<T>, step: Step): void {
  if (place.entered === step) return
  place.entered = step
  places.push(place)
  if (place.rest) enter(places, place.rest, step)
}

function enterMatching<T>(edges: readonly GlobEdge<T>[] | undefined, segment: string, into: Place<T>[], step: Step): void {
  if (edges) for (const { glob, to } of edges) if (matchesGlob(glob, segment)) enter(into, to, step)
}

function enterGlobs<T>({ prefix, suffix, inner }: Globs<T>, segment: string, into: Place<T>[], step: Step): void {
  for (const length of prefix.lengths)
    if (length <= segment.length) enterMatching(prefix.under.get(segment.slice(0, length)), segment, into, step)
  for (const length of suffix.lengths)
    if (length <= segment.length) enterMatching(suffix.under.get(segment.slice(-length)), segment, into, step)
  for (const length of inner.lengths)
    for (let at = 0; at + length <= segment.length; at++)
      enterMatching(inner.under.get(segment.slice(at, at + length)), segment, into, step)
}

function walk<T>(root: Place<T>, segments: readonly string[], found: (value: T) => void): void {
  let places: Place<T>[] = []
  enter(places, root, {})
  for (const segment of segments) {
    const next: Place<T>[] = []
    const step: Step = {}
    for (const place of places) {
      if (place.stays) enter(next, place, step)
      const text = place.texts.get(segment)
      if (text) enter(next, text, step)
      if (place.any) enter(next, place.any, step)
      if (place.globs) enterGlobs(place.globs, segment, next, step)
    }
    if (next.length === 0) return
    places = next
  }
  for (const place of places) for (const value of place.values) found(value)
}

export function makeUrlIndex<T>(patterns: Iterable<readonly [UrlPattern, T]>): UrlIndex<T> {
  const hosts = new Map<string, Place<T>>()
  const below = new Map<string, Place<T>>()
  let everywhere: Place<T> | undefined
  const rootOf = (roots: Map<string, Place<T>>, host: string): Place<T> => {
    const known = roots.get(host)
    if (known) return known
    const made = newPlace<T>(false)
    roots.set(host, made)
    return made
  }
  for (const [pattern, value] of patterns) {
    everywhere ??= pattern.match === 'any' ? newPlace(false) : undefined
    const roots = pattern.match === 'host' ? hosts : below
    let place = pattern.match === 'any' ? (everywhere as Place<T>) : rootOf(roots, pattern.host)
    for (const step of pattern.path) place = behind(place, step)
    place.values.push(value)
  }
  return (host, path, found) => {
    if (host === '') return
    let segments: string[] | undefined
    const look = (root: Place<T> | undefined) => {
      if (!root) return
      segments ??= segmentsOf(path)
      walk(root, segments, found)
    }
    look(hosts.get(host))
    if (below.size > 0)
      for (let dot = host.indexOf('.'); dot >= 0; dot = host.indexOf('.', dot + 1)) look(below.get(host.slice(dot + 1)))
    look(everywhere)
  }
}
