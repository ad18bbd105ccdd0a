// `import list`: visitor ids of a file become a list. A second import of the list replaces it: the new one counts from the moment its row in
// `list_imports` does, written last, so that a reader sees the old list or the new one and never a half.

import { MadeleineError } from '../core/errors.ts'
import { type AudienceId, parseVisitorId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import type { Store } from '../engine/store.ts'
import type { ImportResult } from './events.ts'
import { readBytes, readLines } from './lines.ts'

export type ListImport = {
  readonly file: string
  readonly list: AudienceId
  readonly store: Store
  readonly now: () => number
  readonly onBytes?: (bytes: number) => void
}

/** Rows of one insert. */
const BLOCK_ROWS = 100_000

async function lastGeneration(store: Store): Promise<number> {
  const [row] = await store.rows<{ last: number }>({
    owner: 'imports.generation',
    sql: 'SELECT max(generation) AS last FROM (SELECT generation FROM madeleine.list_members UNION ALL SELECT generation FROM madeleine.list_imports)',
  })
  return row?.last ?? 0
}

/** Imports of the list before this one, and what of any import never came to its end. */
async function dropOld(store: Store, list: AudienceId, generation: number): Promise<void> {
  const old = await store.rows<{ generation: number }>({
    owner: 'imports.sweep',
    sql: 'SELECT DISTINCT generation FROM madeleine.list_members WHERE list = {list:String} AND generation < {generation:UInt64}',
    values: { list, generation },
  })
  for (const { generation: gone } of old)
    await store.run({ owner: 'imports.sweep', sql: `ALTER TABLE madeleine.list_members DROP PARTITION ${BigInt(gone)}` })
}

/** Of the file's ids each once; `duplicates` are those that came again. */
export async function importList({ file, list, store, now, onBytes = () => {} }: ListImport): Promise<ImportResult> {
  const result: ImportResult = { read: 0, stored: 0, rejected: 0, duplicates: 0, rejects: [] }
  const at = now()
  // Generations are numbered by their moment; a clock that went back must not put a new import behind an old one.
  const generation = Math.max(at, (await lastGeneration(store)) + 1)
  let block: string[] = []
  const flush = async (): Promise<void> => {
    if (block.length === 0) return
    const lines = Buffer.from(block.join(''))
    block = []
    await store.insertLines({ owner: 'imports.list', into: 'madeleine.list_members (list, generation, visitor, at)', lines })
  }
  for await (const lines of readLines(readBytes(file, onBytes))) {
    for (const { number, text } of lines) {
      if (text !== undefined && text.trim() === '') continue
      if (number === 1 && text?.trim() === 'visitor') continue // the head of a CSV file of one column
      result.read++
      const visitor = parseVisitorId(text?.trim())
      if (visitor) block.push(`${JSON.stringify({ list, generation, visitor, at })}\n`)
      else {
        result.rejected++
        if (result.rejects.length < LIMITS.rejectsListed)
          result.rejects.push({ line: number, reason: 'invalid_field: visitor must be a UUID' })
      }
      if (block.length >= BLOCK_ROWS) await flush()
    }
  }
  await flush()
  if (result.read === 0) throw new MadeleineError('usage', `${file} holds no visitor: the list stays as it was`)
  const [counted] = await store.rows<{ n: number }>({
    owner: 'imports.count',
    sql: 'SELECT uniqExact(visitor) AS n FROM madeleine.list_members WHERE list = {list:String} AND generation = {generation:UInt64}',
    values: { list, generation },
  })
  result.stored = counted?.n ?? 0
  result.duplicates = result.read - result.rejected - result.stored
  await store.insertLines({
    owner: 'imports.commit',
    into: 'madeleine.list_imports (list, generation, size, at)',
    lines: Buffer.from(`${JSON.stringify({ list, generation, size: result.stored, at })}\n`),
  })
  await dropOld(store, list, generation)
  return result
}
