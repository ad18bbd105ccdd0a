// A file that holds one list (`sources`, `segments`, `destinations`), item by item: a mistake in one hides none in the next.

import type { z } from 'zod'
import { isMapping } from '../rules/checker.ts'
import type { ProblemPath } from '../rules/rule.ts'
import type { ConfigError, Document } from './document.ts'
import { problemsOf } from './problems.ts'

export type Item<T> = {
  readonly path: ProblemPath
  /** As the file has it, for what the schema leaves to others. */
  readonly raw: unknown
  /** Undefined where the item does not fit its schema. */
  readonly value: T | undefined
}

export type Items<T> = {
  readonly items: readonly Item<T>[]
  /** False where the file itself could not be read as such a list. */
  readonly readable: boolean
}

/** Errors go to `errors`. An empty file holds no items. `ids` collects the items' ids over several files: the second of a kind is an error. */
export function readItems<S extends z.ZodType>(
  document: Document,
  key: string,
  schema: S,
  errors: ConfigError[],
  ids: Set<string> = new Set(),
): Items<z.output<S>> {
  if (!document.readable) return { items: [], readable: false }
  if (document.value === null || document.value === undefined) return { items: [], readable: true }
  const report = (path: ProblemPath, at: 'key' | 'value', message: string) => errors.push(document.locate({ path, at, message }))
  if (!isMapping(document.value) || !(key in document.value)) {
    report([], 'value', `the file must hold a list \`${key}\``)
    return { items: [], readable: false }
  }
  for (const other of Object.keys(document.value))
    if (other !== key) report([other], 'key', `unknown key \`${other}\`; this file holds \`${key}\``)
  return readList(document, key, document.value[key], schema, errors, ids)
}

/** The list under `key`, which may be one of several in its file. Without `ids`, whether one is there twice is for others to say. */
export function readList<S extends z.ZodType>(
  document: Document,
  key: string,
  list: unknown,
  schema: S,
  errors: ConfigError[],
  ids?: Set<string>,
): Items<z.output<S>> {
  const report = (path: ProblemPath, at: 'key' | 'value', message: string) => errors.push(document.locate({ path, at, message }))
  if (list === null || list === undefined) return { items: [], readable: true }
  if (!Array.isArray(list)) {
    report([key], 'value', `\`${key}\` must be a list`)
    return { items: [], readable: false }
  }
  const items = list.map((raw: unknown, i): Item<z.output<S>> => {
    const path = [key, i]
    const id = isMapping(raw) ? raw['id'] : undefined
    if (ids && typeof id === 'string') {
      if (ids.has(id)) report([...path, 'id'], 'value', `\`${id}\` is defined twice`)
      ids.add(id)
    }
    const result = schema.safeParse(raw, { reportInput: true })
    if (result.success) return { path, raw, value: result.data }
    for (const problem of problemsOf(result.error)) errors.push(document.locate({ ...problem, path: [...path, ...problem.path] }))
    return { path, raw, value: undefined }
  })
  return { items, readable: true }
}
