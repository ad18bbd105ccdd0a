// What a page is about, by the operator's rules: categories that are added to those an event came with. Pure; made once from all rules, because thousands of
// them are asked of every event.

import type { Page } from '../event/event.ts'
import { makeUrlIndex, type UrlIndex } from './url-index.ts'
import type { UrlPattern } from './url-pattern.ts'

/** Everything that is there must hold; of a list, one. At least one of the three is there. */
export type ClassifyRule = {
  readonly category: string
  readonly urls: readonly UrlPattern[] | undefined
  /** Whole keywords, whatever their case: "SUV" and "suv" are one topic, and senders are not consistent. */
  readonly keywords: readonly string[] | undefined
  readonly sources: readonly string[] | undefined
}

/** The categories of the rules that hold, in the rules' order and each once. */
export type Classify = (page: Pick<Page, 'host' | 'path'>, keywords: readonly string[], source: string) => readonly string[]

const NONE: readonly string[] = []

/** A rule by its number, with what is still to be asked once it has been found. */
type Candidate = {
  readonly rule: number
  readonly sources: ReadonlySet<string> | undefined
  readonly urls: UrlIndex<true> | undefined
}

function push<V>(map: Map<string, V[]>, key: string, value: V): void {
  const values = map.get(key)
  if (values) values.push(value)
  else map.set(key, [value])
}

/** Undefined without rules, so that whoever has none pays nothing. */
export function makeClassify(rules: readonly ClassifyRule[]): Classify | undefined {
  if (rules.length === 0) return undefined
  // Each rule is found by what says most: a keyword, else an address, else a source.
  const byKeyword = new Map<string, Candidate[]>()
  const bySource = new Map<string, number[]>()
  const byUrl: [UrlPattern, Candidate][] = []
  for (const [rule, { urls, keywords, sources }] of rules.entries()) {
    const from = sources && new Set(sources)
    if (keywords) {
      const within = urls && makeUrlIndex(urls.map((pattern) => [pattern, true] as const))
      for (const keyword of new Set(keywords.map((word) => word.toLowerCase())))
        push(byKeyword, keyword, { rule, sources: from, urls: within })
    } else if (urls) for (const pattern of urls) byUrl.push([pattern, { rule, sources: from, urls: undefined }])
    else for (const source of from ?? []) push(bySource, source, rule)
  }
  const urlIndex = byUrl.length > 0 ? makeUrlIndex(byUrl) : undefined

  return ({ host, path }, keywords, source) => {
    let hits: number[] | undefined
    const hit = (rule: number) => {
      if (hits) hits.push(rule)
      else hits = [rule]
    }
    const consider = ({ rule, sources }: Candidate) => {
      if (!sources || sources.has(source)) hit(rule)
    }
    urlIndex?.(host, path, consider)
    if (byKeyword.size > 0)
      for (const keyword of keywords)
        for (const candidate of byKeyword.get(keyword.toLowerCase()) ?? [])
          if (!candidate.urls) consider(candidate)
          else {
            let isThere = false
            candidate.urls(host, path, () => {
              isThere = true
            })
            if (isThere) consider(candidate)
          }
    for (const rule of bySource.get(source) ?? []) hit(rule)
    if (!hits) return NONE
    if (hits.length === 1) return [rules[hits[0] as number]?.category as string]
    return [...new Set(hits.sort((a, b) => a - b).map((rule) => rules[rule]?.category as string))]
  }
}

/** `category` with what classification adds; the same list where it adds nothing. */
export function withCategories(category: readonly string[], added: readonly string[]): readonly string[] {
  const missing = added.filter((id) => !category.includes(id))
  return missing.length === 0 ? category : [...category, ...missing]
}
