// `import list`: visitor ids of a file become a list, or several of `visitor,list` lines. A second import of a list replaces it: the new one counts from the
// moment its row in `list_imports` does, written last, so that a reader sees the old list or the new one and never a half. A list ends as a whole, when it says so.

import { MadeleineError } from '../core/errors.ts'
import { type AudienceId, parseAudienceId, type VisitorId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import type { Store } from '../engine/store.ts'
import type { ImportResult } from './events.ts'
import { findPeople } from './people.ts'
import { makeRejects } from './rejects.ts'
import { type FileRow, grouped, readRows } from './rows.ts'

export type ListImport = {
  readonly file: string
  /** Absent: each line names its list. */
  readonly list: AudienceId | undefined
  /** Why an id cannot be a list's; undefined where it can. */
  readonly refuse: (id: AudienceId) => string | undefined
  readonly isOptedOut: (visitor: VisitorId) => boolean
  readonly store: Store
  readonly now: () => number
  readonly retentionMs: number
  /** How long the lists hold from now. */
  readonly keepMs: number
  readonly rejectsPath?: string | undefined
  readonly onBytes?: (bytes: number) => void
}

/** Rows of one insert, and rows of all lists together that wait for theirs. */
const BLOCK_ROWS = 100_000

export async function lastGeneration(store: Store): Promise<number> {
  const [row] = await store.rows<{ last: number }>({
    owner: 'imports.generation',
    sql: 'SELECT max(generation) AS last FROM (SELECT generation FROM madeleine.list_members UNION ALL SELECT generation FROM madeleine.list_imports)',
  })
  return row?.last ?? 0
}

/** Imports of the list before this one, and what of any import never came to its end. */
export async function dropOld(store: Store, list: AudienceId, generation: number): Promise<void> {
  const old = await store.rows<{ generation: number }>({
    owner: 'imports.sweep',
    sql: 'SELECT DISTINCT generation FROM madeleine.list_members WHERE list = {list:String} AND generation < {generation:UInt64}',
    values: { list, generation },
  })
  for (const { generation: gone } of old) {
    // Two imports at once may have drawn the same number: then it is not this list's alone.
    const [row] = await store.rows<{ lists: number }>({
      owner: 'imports.sweep',
      sql: 'SELECT uniqExact(list) AS lists FROM madeleine.list_members WHERE generation = {gone:UInt64}',
      values: { gone },
    })
    await store.run(
      row?.lists === 1
        ? { owner: 'imports.sweep', sql: `ALTER TABLE madeleine.list_members DROP PARTITION ${BigInt(gone)}` }
        : {
            owner: 'imports.sweep',
            sql: 'DELETE FROM madeleine.list_members WHERE list = {list:String} AND generation = {gone:UInt64}',
            values: { list, gone },
          },
    )
  }
}

type Incoming = { readonly generation: number; waiting: VisitorId[] }

/** Of the file's ids each once in each list; `duplicates` are those that came again. */
export async function importList(options: ListImport): Promise<ImportResult> {
  const { file, store, now, retentionMs, onBytes } = options
  const rejects = makeRejects(options.rejectsPath)
  const at = now()
  const expires = at + options.keepMs
  // Generations are numbered by their moment; a clock that went back must not put a new import behind an old one. Each list has its own, which is its partition.
  let generation = Math.max(at, (await lastGeneration(store)) + 1)
  const lists = new Map<AudienceId, Incoming>()
  let read = 0
  let waiting = 0

  async function flush(list: AudienceId, incoming: Incoming): Promise<void> {
    if (incoming.waiting.length === 0) return
    const { generation: own } = incoming
    const rows = incoming.waiting.map((visitor) => `${JSON.stringify({ list, generation: own, visitor, at, expires })}\n`)
    waiting -= rows.length
    incoming.waiting = []
    const into = 'madeleine.list_members (list, generation, visitor, at, expires)'
    await store.insertLines({ owner: 'imports.list', into, lines: Buffer.from(rows.join('')) })
  }

  /** The list of a row, or why it has none. */
  function listOf(given: unknown): AudienceId | { readonly problem: string } {
    if (options.list) return options.list
    const id = parseAudienceId(typeof given === 'string' ? given.trim() : given)
    if (!id) return { problem: 'invalid_field: list must be lower-case letters, digits and `-`, at most 64' }
    if (lists.has(id)) return id
    const refused = options.refuse(id)
    if (refused !== undefined) return { problem: `invalid_field: list ${refused}` }
    return lists.size < LIMITS.importLists ? id : { problem: `too_many_lists: more than ${LIMITS.importLists} in one file` }
  }

  async function takeRows(rows: readonly FileRow[]): Promise<void> {
    const texts = rows.map(({ given }) => (typeof given?.['visitor'] === 'string' ? given['visitor'].trim() : undefined))
    const people = await findPeople(store, texts, { nowMs: at, retentionMs })
    for (const [n, row] of rows.entries()) {
      read++
      const reject = (reason: string) => rejects.add({ line: row.line, reason })
      if (row.given === undefined) {
        reject(row.problem)
        continue
      }
      const person = people[n] ?? { problem: '' }
      if ('problem' in person) {
        reject(person.problem)
        continue
      }
      if (options.isOptedOut(person.visitor)) {
        reject('opt_out')
        continue
      }
      const list = listOf(row.given['list'])
      if (typeof list !== 'string') {
        reject(list.problem)
        continue
      }
      const incoming = lists.get(list) ?? { generation: generation++, waiting: [] }
      lists.set(list, incoming)
      incoming.waiting.push(person.visitor)
      waiting++
    }
    const isFull = waiting >= BLOCK_ROWS
    for (const [list, incoming] of lists) if (isFull || incoming.waiting.length >= BLOCK_ROWS) await flush(list, incoming)
  }

  const needed = options.list === undefined ? ['visitor', 'list'] : ['visitor']
  const headless = options.list === undefined ? undefined : needed
  try {
    for await (const { rows } of grouped(readRows({ file, format: 'csv', needed, headless, onBytes }))) await takeRows(rows)
    for (const [list, incoming] of lists) await flush(list, incoming)
  } catch (error) {
    rejects.discard()
    throw error
  }
  if (read === 0) throw new MadeleineError('usage', `${file} holds no visitor: the list stays as it was`)
  // Nothing but rejects is the wrong file rather than an empty list.
  const sizes = lists.size === 0 ? new Map<AudienceId, number>() : await readSizes(store, lists)
  const commits = [...lists].map(([list, own]) => {
    const size = sizes.get(list) ?? 0
    return `${JSON.stringify({ list, generation: own.generation, size, at, expires })}\n`
  })
  if (commits.length > 0)
    await store.insertLines({
      owner: 'imports.commit',
      into: 'madeleine.list_imports (list, generation, size, at, expires)',
      lines: Buffer.from(commits.join('')),
    })
  for (const [list, own] of lists) await dropOld(store, list, own.generation)
  const path = rejects.finish()
  const stored = [...sizes.values()].reduce((sum, size) => sum + size, 0)
  return {
    read,
    stored,
    rejected: rejects.count,
    duplicates: read - rejects.count - stored,
    rejects: rejects.listed,
    ...(path === undefined ? {} : { rejects_file: path }),
  }
}

async function readSizes(store: Store, lists: ReadonlyMap<AudienceId, Incoming>): Promise<Map<AudienceId, number>> {
  const generations = [...lists.values()].map(({ generation }) => generation)
  const rows = await store.rows<{ list: AudienceId; generation: number; n: number }>({
    owner: 'imports.count',
    sql: `SELECT list, generation, uniqExact(visitor) AS n FROM madeleine.list_members
          WHERE generation >= {first:UInt64} AND generation <= {last:UInt64} GROUP BY list, generation`,
    values: { first: generations[0] ?? 0, last: generations.at(-1) ?? 0 },
  })
  return new Map(rows.flatMap(({ list, generation, n }) => (lists.get(list)?.generation === generation ? [[list, n]] : [])))
}
