// Which rows of a file are stored, each exactly once. A row's identity is the file's content hash and its line. Lines are cut into blocks by their number,
// blocks into the partitions of `events`, in which an insert is stored whole or not at all; each such piece is announced in `imports` with a batch number before it is stored and confirmed after. The same file again finds its
// pieces there and stores nothing; after a kill a piece that was announced and not confirmed is looked for in `events` by its batch.

import { DAY_MS } from '../core/duration.ts'
import type { Store } from '../engine/store.ts'
import { makeBatches } from '../spool/batches.ts'
import { storeOnce } from '../spool/shipper.ts'
import type { WaitingRows } from './waiting-rows.ts'

/** Four weeks of `events` (`fourWeeks` in the migrations): of those weeks whose Mondays lie in the same 28 days since 1970. 1970-01-01 was a Thursday. */
export function weeksOf(tsMs: number): number {
  const days = Math.floor(tsMs / DAY_MS)
  return Math.floor((days - ((days + 3) % 7)) / 28)
}

/** A part of a block that was announced: its lines as ranges (from, to, from, to, ...). */
type Piece = { readonly key: string; readonly batch: bigint; readonly ranges: readonly number[]; readonly isStored: boolean }

/** Pieces of this file that an earlier run announced, by `block number/weeks`. */
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

function rangesOf(numbers: readonly number[]): number[] {
  const ranges: number[] = []
  for (const number of numbers) {
    if (ranges.at(-1) === number - 1) ranges[ranges.length - 1] = number
    else ranges.push(number, number)
  }
  return ranges
}

type Task = { readonly piece: Piece; readonly weeks: number; readonly rows: WaitingRows; readonly maybeSent: boolean }

export type PieceStore = {
  /** A block's rows by their weeks. Resolves with how many were stored now, and how many were before. */
  storeBlock(
    number: number,
    block: ReadonlyMap<number, WaitingRows>,
  ): Promise<{ readonly stored: number; readonly duplicates: number }>
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

  /** What is left to store of a block's lines in some weeks, given what earlier runs announced of it. */
  function tasksOf(place: string, weeks: number, rows: WaitingRows): { tasks: Task[]; duplicates: number } {
    const known = announced.get(place) ?? []
    const tasks: Task[] = []
    let duplicates = 0
    let rest = rows
    for (const piece of known) {
      const { covered, left } = rest.divide(piece.ranges)
      rest = left
      if (piece.isStored) duplicates += covered.numbers.length
      else if (covered.numbers.length > 0) tasks.push({ piece, weeks, rows: covered, maybeSent: true })
    }
    if (rest.numbers.length > 0) {
      const piece = { key: `${place}/${known.length}`, batch: nextBatch(), ranges: rangesOf(rest.numbers), isStored: false }
      tasks.push({ piece, weeks, rows: rest, maybeSent: false })
    }
    return { tasks, duplicates }
  }

  return {
    async storeBlock(number, block) {
      const found = [...block].map(([weeks, rows]) => tasksOf(`${number}/${weeks}`, weeks, rows))
      const tasks = found.flatMap((one) => one.tasks)
      await mark(tasks.flatMap(({ piece, maybeSent }) => (maybeSent ? [] : [piece])))
      for (const { piece, weeks, rows, maybeSent } of tasks) {
        const lines = rows.inBatch(piece.batch)
        // Named by the file and the place in it, so that two imports of one file at once store it once.
        const token = `import-${hash}-${piece.key.replaceAll('/', '-')}`
        // The last of these Mondays' weeks reaches past the 28 days.
        const startMs = weeks * 28 * DAY_MS
        await storeOnce(store, { batch: piece.batch, startMs, endMs: startMs + 35 * DAY_MS, lines, maybeSent, token })
      }
      await mark(tasks.map(({ piece }) => ({ ...piece, isStored: true })))
      return {
        stored: tasks.reduce((sum, { rows }) => sum + rows.numbers.length, 0),
        duplicates: found.reduce((sum, one) => sum + one.duplicates, 0),
      }
    },
  }
}
