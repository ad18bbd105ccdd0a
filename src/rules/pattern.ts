// Patterns of `matches`: RE2, as ClickHouse's `match` runs it. In memory by a port of RE2 and never by RegExp, which reads some patterns otherwise and
// can be kept busy for years by others.

import { LRUCache } from 'lru-cache'
import { RE2JS } from 're2js'
import { messageOf } from '../core/errors.ts'

/** A rule's patterns are asked for with every event. */
const compiled = new LRUCache<string, RE2JS>({ max: 5_000 })

function compile(pattern: string): RE2JS {
  const known = compiled.get(pattern)
  if (known) return known
  const made = RE2JS.compile(pattern, RE2JS.DOTALL)
  compiled.set(pattern, made)
  return made
}

/** Why the pattern is none; undefined where it is one. */
export function patternFault(pattern: string): string | undefined {
  try {
    compile(pattern)
    return undefined
  } catch (error) {
    return messageOf(error).replace(/^error parsing regexp: /, '')
  }
}

/** Anywhere in the text. */
export const patternMatches = (pattern: string, text: string): boolean => compile(pattern).matcher(text).find()
