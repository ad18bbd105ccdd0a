// The lists that trainings write. As an import's, the row in `list_imports` comes last: until then the members before count.

import type { AudienceId } from '../core/ids.ts'
import type { Store } from '../engine/store.ts'
import { dropOld, lastGeneration } from '../imports/list.ts'
import { trainedList } from '../settings/lookalikes.ts'
import { type Choice, chosenSql, chosenValues, type Scored } from './choose.ts'

export type Commit = { readonly generation: number; readonly atMs: number; readonly retentionMs: number }

/** A number beyond every number that was used. */
export const nextGeneration = async (store: Store, atMs: number): Promise<number> => {
  const [row] = await store.rows<{ last: number }>({
    owner: 'lookalike.generation',
    sql: 'SELECT max(generation) AS last FROM madeleine.trainings',
  })
  return Math.max(atMs, (await lastGeneration(store)) + 1, (row?.last ?? 0) + 1)
}

export async function writeMembers(
  store: Store,
  scored: Scored,
  choice: Choice,
  list: string,
  { generation, atMs, retentionMs }: Commit,
): Promise<void> {
  await store.run({
    owner: 'lookalike.members',
    sql: `INSERT INTO madeleine.list_members (list, generation, visitor, at, expires, score)
          SELECT {into:String}, {generation:UInt64}, visitor, fromUnixTimestamp64Milli({at:Int64}, 'UTC'), fromUnixTimestamp64Milli({expires:Int64}, 'UTC'), score
          FROM (${chosenSql(scored, choice)})`,
    values: { ...chosenValues(scored), into: list, generation, at: atMs, expires: atMs + retentionMs },
    settings: { log_queries: 0 },
  })
}

export async function commitList(
  store: Store,
  list: string,
  size: number,
  { generation, atMs, retentionMs }: Commit,
): Promise<void> {
  await store.insertLines({
    owner: 'lookalike.commit',
    into: 'madeleine.list_imports (list, generation, size, at, expires)',
    lines: Buffer.from(`${JSON.stringify({ list, generation, size, at: atMs, expires: atMs + retentionMs })}\n`),
  })
}

/** The lists before this one, and what of any training never came to its end. */
export const dropBefore = (store: Store, lookalike: AudienceId, generation: number): Promise<void> =>
  dropOld(store, trainedList(lookalike), generation)
