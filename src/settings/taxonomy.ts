// config/taxonomy/: official tables that replace ours, nodes of the operator's own, and the rules by which events are classified.

import { isMapping } from '../rules/checker.ts'
import type { ProblemPath } from '../rules/rule.ts'
import { AUDIENCE_ROWS } from '../taxonomy/audience.ts'
import { type Classify, type ClassifyRule, makeClassify } from '../taxonomy/classify.ts'
import { CONTENT_ROWS } from '../taxonomy/content.ts'
import { suggestion } from '../taxonomy/nearest.ts'
import { makeTaxonomy, type Taxonomy, type TaxonomyRow } from '../taxonomy/tree.ts'
import { parseTaxonomyTable } from '../taxonomy/tsv.ts'
import { parseUrlPattern, type UrlPattern } from '../taxonomy/url-pattern.ts'
import type { ConfigError, Document } from './document.ts'
import { type Item, readList } from './items.ts'
import { classifySchema, nodeSchema } from './schema.ts'
import { type Refuses, refuseSensitive } from './sensitive.ts'

export const TAXONOMY_TABLES = ['content.tsv', 'audience.tsv'] as const
/** An official table as the operator dropped it; `text` is undefined where its bytes are no text. */
export type TableFile = { readonly file: string; readonly text: string | undefined }

export type TaxonomyFiles = {
  readonly documents: readonly Document[]
  readonly tables: ReadonlyMap<(typeof TAXONOMY_TABLES)[number], TableFile>
  readonly general: Document | undefined
}
/** What the other files say. */
export type TaxonomyContext = {
  readonly allowSensitive: readonly string[]
  /** Undefined where sources.yaml could not be read: nobody knows then which are declared. */
  readonly sources: ReadonlyMap<string, unknown> | undefined
}

export type Taxonomies = {
  readonly content: Taxonomy
  readonly audience: Taxonomy
  readonly classify: Classify | undefined
  readonly refusesContent: Refuses
  readonly refusesAudience: Refuses
  /** False: some node could not be read, so an id that nobody knows may be its. */
  readonly whole: boolean
}

const KEYS = ['content', 'audience', 'classify'] as const
type Key = (typeof KEYS)[number]

/** Where a row stands; rows of our own tables have no problems and so no place. */
type Place = ((at: 'id' | 'parent', message: string) => ConfigError) | undefined
type Row = TaxonomyRow<Place>

function officialRows(kind: 'content' | 'audience', table: TableFile | undefined, errors: ConfigError[]): readonly Row[] {
  if (!table) return kind === 'content' ? CONTENT_ROWS : AUDIENCE_ROWS
  const { file, text } = table
  if (text === undefined) {
    errors.push({ file, line: 1, column: 1, message: 'is neither UTF-8 nor UTF-16: save it as tab-separated text' })
    return []
  }
  const { rows, problems } = parseTaxonomyTable(text, kind)
  errors.push(...problems.map((problem) => ({ file, ...problem })))
  return rows.map((row) => ({ ...row, place: (at, message) => ({ file, ...row.place[at], message }) }))
}

type Lists = { readonly document: Document; readonly lists: Partial<Record<Key, unknown>> }

/** The lists of one file. Other keys are errors. */
function listsOf(document: Document, errors: ConfigError[]): Lists['lists'] {
  const { value } = document
  if (!document.readable || value === null || value === undefined) return {}
  if (!isMapping(value)) {
    errors.push(document.locate({ path: [], at: 'value', message: `the file must hold lists ${KEYS.join(', ')}` }))
    return {}
  }
  for (const key of Object.keys(value))
    if (!(KEYS as readonly string[]).includes(key))
      errors.push(
        document.locate({ path: [key], at: 'key', message: `unknown key \`${key}\`; a file here holds ${KEYS.join(', ')}` }),
      )
  return value
}

function ownRows(kind: 'content' | 'audience', files: readonly Lists[], errors: ConfigError[]): Row[] {
  return files.flatMap(({ document, lists }) =>
    readList(document, kind, lists[kind], nodeSchema, errors).items.flatMap(({ path, value }): Row[] => {
      const place: Place = (at, message) => document.locate({ path: [...path, at], at: 'value', message })
      return value ? [{ ...value, parent: value.parent, place }] : []
    }),
  )
}

function readTree(kind: 'content' | 'audience', table: TableFile | undefined, files: readonly Lists[], errors: ConfigError[]) {
  const rows = [...officialRows(kind, table, errors), ...ownRows(kind, files, errors)]
  const { taxonomy, problems } = makeTaxonomy(rows)
  errors.push(...problems.flatMap(({ place, at, message }) => place?.(at, message) ?? []))
  return taxonomy
}

type RawClassify = ReturnType<typeof classifySchema.parse>
type Text = readonly [text: string, path: ProblemPath]
const textsOf = (value: string | readonly string[], path: ProblemPath): readonly Text[] =>
  typeof value === 'string' ? [[value, path]] : value.map((text, n) => [text, [...path, n]])

/** One rule; undefined with its problems reported. */
function classifyRule(
  { path, value }: Item<RawClassify>,
  report: (path: ProblemPath, message: string) => void,
  trees: Omit<Taxonomies, 'classify'>,
  { sources }: TaxonomyContext,
): ClassifyRule | undefined {
  if (!value) return undefined
  const { category, url, keyword, source } = value
  if (url === undefined && keyword === undefined && source === undefined)
    report(path, 'a rule needs `url`, `keyword` or `source`: without one it would hold for every event')
  if (trees.whole && !trees.content.nodes.has(category))
    report([...path, 'category'], `unknown category \`${category}\`${suggestion(trees.content, category)}`)
  const refusal = trees.refusesContent(category)
  if (refusal !== undefined) report([...path, 'category'], refusal)
  const urls = url === undefined ? undefined : textsOf(url, [...path, 'url'])
  const patterns = urls?.flatMap(([text, at]): UrlPattern[] => {
    const parsed = parseUrlPattern(text)
    if (parsed.ok) return [parsed.pattern]
    report(at, parsed.message)
    return []
  })
  const keywords = keyword === undefined ? undefined : textsOf(keyword, [...path, 'keyword'])
  for (const [text, at] of keywords ?? [])
    if (text.trim() !== text) report(at, 'no keyword of an event begins or ends with a space')
  const from = source === undefined ? undefined : textsOf(source, [...path, 'source'])
  for (const [text, at] of from ?? []) if (sources && !sources.has(text)) report(at, `unknown source \`${text}\``)
  return { category, urls: patterns, keywords: keywords?.map(([text]) => text), sources: from?.map(([text]) => text) }
}

function unknownAllowed(
  general: Document | undefined,
  allowed: readonly string[],
  { content, audience }: Pick<Taxonomies, 'content' | 'audience'>,
): ConfigError[] {
  return allowed.flatMap((id, n) => {
    if (!general || content.nodes.has(id) || audience.nodes.has(id)) return []
    const message = `neither taxonomy has \`${id}\`${suggestion(content, id)}`
    return [general.locate({ path: ['taxonomy', 'allow_sensitive', n], at: 'value', message })]
  })
}

export function readTaxonomies(
  { documents, tables, general }: TaxonomyFiles,
  context: TaxonomyContext,
  errors: ConfigError[],
): Taxonomies {
  const before = errors.length
  const files = documents.map((document) => ({ document, lists: listsOf(document, errors) }))
  const content = readTree('content', tables.get('content.tsv'), files, errors)
  const audience = readTree('audience', tables.get('audience.tsv'), files, errors)
  const whole = errors.length === before && documents.every(({ readable }) => readable)
  const allowed = new Set(context.allowSensitive)
  const trees = {
    content,
    audience,
    whole,
    refusesContent: refuseSensitive(content, allowed),
    refusesAudience: refuseSensitive(audience, allowed),
  }
  if (whole) errors.push(...unknownAllowed(general, context.allowSensitive, trees))
  const rules = files.flatMap(({ document, lists }) => {
    const report = (path: ProblemPath, message: string) => errors.push(document.locate({ path, at: 'value', message }))
    const { items } = readList(document, 'classify', lists.classify, classifySchema, errors)
    return items.flatMap((item) => classifyRule(item, report, trees, context) ?? [])
  })
  return { ...trees, classify: makeClassify(rules) }
}
