// Reading one untyped YAML value after another, and collecting every problem with its place instead of stopping at the first.

import { nearest } from '../core/nearest.ts'
import type { Problem, ProblemPath } from './rule.ts'

export type Mapping = Readonly<Record<string, unknown>>

export const isMapping = (value: unknown): value is Mapping =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const kindOf = (value: unknown): string =>
  value === null || value === undefined
    ? 'nothing'
    : Array.isArray(value)
      ? 'a list'
      : typeof value === 'object'
        ? 'a mapping'
        : `${JSON.stringify(value)}`

export class Checker {
  readonly problems: Problem[] = []
  /** What is allowed and yet hardly meant. */
  readonly warnings: Problem[] = []

  /** Event names that rules ask for, where they stand. */
  readonly named: { readonly path: ProblemPath; readonly name: string }[] = []

  unlikely(path: ProblemPath, message: string): void {
    this.warnings.push({ path, at: 'value', message })
  }

  value(path: ProblemPath, message: string): undefined {
    this.problems.push({ path, at: 'value', message })
    return undefined
  }

  key(path: ProblemPath, message: string): undefined {
    this.problems.push({ path, at: 'key', message })
    return undefined
  }

  /** A mapping with at least one key. */
  mapping(value: unknown, path: ProblemPath, what: string): Mapping | undefined {
    if (!isMapping(value)) return this.value(path, `${what} must be a mapping, not ${kindOf(value)}`)
    if (Object.keys(value).length === 0) return this.value(path, `${what} is empty`)
    return value
  }

  list(value: unknown, path: ProblemPath, what: string): readonly unknown[] | undefined {
    if (!Array.isArray(value)) return this.value(path, `${what} must be a list, not ${kindOf(value)}`)
    if (value.length === 0) return this.value(path, `${what} is empty`)
    return value
  }

  text(value: unknown, path: ProblemPath, what: string): string | undefined {
    if (typeof value === 'number') return this.value(path, `${what} is text: write "${value}" in quotes`)
    if (typeof value !== 'string') return this.value(path, `${what} must be text, not ${kindOf(value)}`)
    if (value === '') return this.value(path, `${what} is empty`)
    return value.toWellFormed()
  }

  unknownKeys(mapping: Mapping, path: ProblemPath, known: readonly string[], what: string): void {
    for (const key of Object.keys(mapping))
      if (!known.includes(key)) this.key([...path, key], `unknown key \`${key}\` in ${what}${this.nearest(key, known)}`)
  }

  /** The end of a message about an unknown name: what may have been meant, or else all that there is. */
  nearest(written: string, known: readonly string[]): string {
    const meant = nearest(written, known)
    return meant === undefined ? `; known: ${known.join(', ')}` : `; did you mean \`${meant}\`?`
  }
}
