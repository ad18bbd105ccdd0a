// Which rows of a file are stored, each exactly once. A row's identity is the file's content hash and its line. Lines are cut into blocks by their number,
// blocks into partitions; each such piece is announced in `imports` with a batch number before it is stored and confirmed after. The same file again finds its
// pieces there and stores nothing; after a kill a piece that was announced and not confirmed is looked for in `events` by its batch.

import type { Store } from '../engine/store.ts'
import { makeBatches } from '../spool/batches.ts'
import { lineInBatch } from '../spool/row.ts'
import { storeOnce } from '../spool/shipper.ts'

/** Rows as the engine reads them, without their batch, by the number of their line, in order. */
export type Lines = ReadonlyMap<number, string>

/** A part of a block that was announced: its lines as ranges (from, to, from, to, ...). */
type Piece = { readonly key: string; readonly batch: bigint; readonly ranges: readonly number[]; readonly isStored: boolean }

/** Pieces of this file that an earlier run announced, by `block number/partition`. */
async function readAnnounced(store: Store, hash: string): Promise<Map<string, Piece[]>> {
  const rows = await store.rows<{ block: string; batch: string; ranges: number[]; isStored: number }>({
    owner: 'imports.announced',
    sql: `SELECT block, toString(argMax(batch, imports.stored)) AS batch, argMax(lines, imports.stored) AS ranges, max(imports.stored) AS isStored
          FROM madeleine.imports WHERE file = {file:String} AND at > now64(3) - INTERVAL 97 DAY GROUP BY block ORDER BY block`,
    values: { file: hash },
  })
  const pieces = new Map<string, Piece[]>()
  for (const { block, batch, ranges, isStored } of rows) {
    const place = block.split('/').slice(0, 2).join('/')
    pieces.set(place, [...(pieces.get(place) ?? []), { key: block, batch: BigInt(batch), ranges, isStored: isStored === 1 }])
  }
  return pieces
}

function rangesOf(numbers: Iterable<number>): number[] {
  const ranges: number[] = []
  for (const number of numbers) {
    if (ranges.at(-1) === number - 1) ranges[ranges.length - 1] = number
    else ranges.push(number, number)
  }
  return ranges
}

/** The lines that a piece covers. By look-up: rows in no order of time make nearly a range of each line. */
function within(lines: Lines, { ranges }: Piece): Map<number, string> {
  const covered = new Map<number, string>()
  for (let i = 0; i < ranges.length; i += 2) {
    for (let number = ranges[i] ?? 0; number <= (ranges[i + 1] ?? -1); number++) {
      const line = lines.get(number)
      if (line !== undefined) covered.set(number, line)
    }
  }
  return covered
}

type Task = { readonly piece: Piece; readonly partition: string; readonly lines: Lines; readonly maybeSent: boolean }

export type PieceStore = {
  /** A block's rows by partition. Resolves with how many were stored now, and how many were before. */
  storeBlock(number: number, rows: ReadonlyMap<string, Lines>): Promise<{ readonly stored: number; readonly duplicates: number }>
}

/** `hash`: of the file's content. */
export async function openPieces(store: Store, hash: string, now: () => number): Promise<PieceStore> {
  const announced = await readAnnounced(store, hash)
  const nextBatch = makeBatches(now)

  async function mark(pieces: readonly Piece[]): Promise<void> {
    const lines = pieces.map(({ key, batch, ranges, isStored }) =>
      JSON.stringify({ file: hash, block: key, batch: String(batch), lines: ranges, stored: isStored ? 1 : 0, at: now() }),
    )
    if (lines.length > 0)
      await store.insertLines({
        owner: 'imports.mark',
        into: 'madeleine.imports (file, block, batch, lines, stored, at)',
        lines: Buffer.from(`${lines.join('\n')}\n`),
      })
  }

  /** What is left to store of a block's lines in one partition, given what earlier runs announced of it. */
  function tasksOf(place: string, partition: string, lines: Lines): { tasks: Task[]; duplicates: number } {
    const known = announced.get(place) ?? []
    const tasks: Task[] = []
    let duplicates = 0
    const left = new Map(lines)
    for (const piece of known) {
      const covered = within(left, piece)
      for (const number of covered.keys()) left.delete(number)
      if (piece.isStored) duplicates += covered.size
      else if (covered.size > 0) tasks.push({ piece, partition, lines: covered, maybeSent: true })
    }
    if (left.size > 0) {
      const piece = { key: `${place}/${known.length}`, batch: nextBatch(), ranges: rangesOf(left.keys()), isStored: false }
      tasks.push({ piece, partition, lines: left, maybeSent: false })
    }
    return { tasks, duplicates }
  }

  return {
    async storeBlock(number, rows) {
      const found = [...rows].map(([partition, lines]) => tasksOf(`${number}/${partition}`, partition, lines))
      const tasks = found.flatMap((one) => one.tasks)
      await mark(tasks.flatMap(({ piece, maybeSent }) => (maybeSent ? [] : [piece])))
      for (const { piece, partition, lines, maybeSent } of tasks) {
        const block = Buffer.from([...lines.values()].map((line) => lineInBatch(line, piece.batch)).join(''))
        // Named by the file and the place in it, so that two imports of one file at once store it once.
        const token = `import-${hash}-${piece.key.replaceAll('/', '-')}`
        await storeOnce(store, { partition, batch: piece.batch, lines: block, maybeSent, token })
      }
      await mark(tasks.map(({ piece }) => ({ ...piece, isStored: true })))
      return {
        stored: tasks.reduce((sum, { lines }) => sum + lines.size, 0),
        duplicates: found.reduce((sum, one) => sum + one.duplicates, 0),
      }
    },
  }
}
