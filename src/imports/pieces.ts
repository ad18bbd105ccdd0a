// Which rows of a file are stored, each exactly once. A row's identity is the file's content hash and its line. Lines are cut into blocks by their number,
// blocks into the partitions of `events`, in which an insert is stored whole or not at all; each such piece is announced in `imports` with a batch number before it is stored and confirmed after. The same file again finds its
// pieces there and stores nothing; after a kill a piece that was announced and not confirmed is looked for in `events` by its batch.

import { DAY_MS } from '../core/duration.ts'
import { MadeleineError } from '../core/errors.ts'
import type { Store } from '../engine/store.ts'
import { makeBatches } from '../spool/batches.ts'
import { storedRows, storeOnce } from '../spool/shipper.ts'
import type { WaitingRows } from './waiting-rows.ts'

/** Four weeks of `events` (`fourWeeks` in the migrations): of those weeks whose Mondays lie in the same 28 days since 1970. 1970-01-01 was a Thursday. */
export function weeksOf(tsMs: number): number {
  const days = Math.floor(tsMs / DAY_MS)
  return Math.floor((days - ((days + 3) % 7)) / 28)
}

/**
 * A part of a block that was announced: its lines as ranges (from, to, from, to, ...). Two imports of one file at once announce pieces of one `place`, of
 * which the token lets one be stored.
 */
type Piece = {
  /** `block/weeks/number`. */
  readonly place: string
  readonly batch: bigint
  readonly ranges: readonly number[]
  readonly isStored: boolean
}

/** Pieces of one block of this file that were announced, by `block/weeks`, each a list of places with their pieces. */
async function readAnnounced(store: Store, hash: string, block: number): Promise<Map<string, Piece[][]>> {
  const rows = await store.rows<{ block: string; ranges: number[]; isStored: number }>({
    owner: 'imports.announced',
    sql: `SELECT block, argMax(lines, imports.stored) AS ranges, max(imports.stored) AS isStored FROM madeleine.imports
          WHERE file = {file:String} AND startsWith(block, {prefix:String}) AND at > now64(3) - INTERVAL 97 DAY GROUP BY block ORDER BY block`,
    values: { file: hash, prefix: `${block}/` },
  })
  const found = new Map<string, Piece[][]>()
  for (const { block: key, ranges, isStored } of rows) {
    const [number = '', weeks = '', index = '', batch = ''] = key.split('/')
    const places = found.get(`${number}/${weeks}`) ?? []
    const own = places[Number(index)] ?? []
    places[Number(index)] = own
    own.push({ place: `${number}/${weeks}/${index}`, batch: BigInt(batch), ranges, isStored: isStored === 1 })
    found.set(`${number}/${weeks}`, places)
  }
  return found
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

/** Another import of the file may come first with the same piece; then what it left is looked at again. */
const ROUNDS_MAX = 5

/** Moments of `weeks`: the last of these Mondays' weeks reaches past the 28 days. */
const spanOf = (weeks: number) => ({ startMs: weeks * 28 * DAY_MS, endMs: (weeks * 28 + 35) * DAY_MS })

/** `hash`: of the file's content. */
export async function openPieces(store: Store, hash: string, now: () => number): Promise<PieceStore> {
  const nextBatch = makeBatches(now)
  const [known] = await store.rows<{ n: number }>({
    owner: 'imports.announced',
    sql: 'SELECT count() AS n FROM madeleine.imports WHERE file = {file:String} AND at > now64(3) - INTERVAL 97 DAY',
    values: { file: hash },
  })
  const isNew = (known?.n ?? 0) === 0

  async function mark(pieces: readonly Piece[]): Promise<void> {
    const lines = pieces.map(({ place, batch, ranges, isStored }) =>
      JSON.stringify({
        file: hash,
        block: `${place}/${batch}`,
        batch: String(batch),
        lines: ranges,
        stored: isStored ? 1 : 0,
        at: now(),
      }),
    )
    if (lines.length > 0)
      await store.insertLines({
        owner: 'imports.mark',
        into: 'madeleine.imports (file, block, batch, lines, stored, at)',
        lines: Buffer.from(`${lines.join('\n')}\n`),
      })
  }

  /** What is left to store of a block's lines in some weeks, given what was announced of it. */
  async function tasksOf(
    key: string,
    weeks: number,
    rows: WaitingRows,
    places: readonly (readonly Piece[])[],
  ): Promise<{ tasks: Task[]; duplicates: number }> {
    const tasks: Task[] = []
    let duplicates = 0
    let rest = rows
    for (const announced of places) {
      // What ended without a line was beaten by another one, and says nothing.
      const pieces = announced.filter(({ isStored, ranges }) => !isStored || ranges.length > 0)
      let stored = pieces.filter(({ isStored }) => isStored)
      // Of pieces of one place one at the most is stored, whoever of them was cut off: all are looked for before one is sent again.
      for (const piece of stored.length > 0 ? [] : pieces)
        if ((await storedRows(store, { batch: piece.batch, ...spanOf(weeks) })) > 0) stored = [...stored, piece]
      await mark(stored.flatMap((piece) => (piece.isStored ? [] : [{ ...piece, isStored: true }])))
      for (const { ranges } of stored) {
        const { covered, left } = rest.divide(ranges)
        rest = left
        duplicates += covered.numbers.length
      }
      const [again] = pieces
      if (stored.length > 0 || !again) continue
      const { covered, left } = rest.divide(again.ranges)
      rest = left
      if (covered.numbers.length > 0) tasks.push({ piece: again, weeks, rows: covered, maybeSent: true })
    }
    if (rest.numbers.length > 0) {
      const piece = { place: `${key}/${places.length}`, batch: nextBatch(), ranges: rangesOf(rest.numbers), isStored: false }
      tasks.push({ piece, weeks, rows: rest, maybeSent: false })
    }
    return { tasks, duplicates }
  }

  /** The piece as it is to be confirmed; undefined where somebody else's rows of this place are stored, and not these. */
  async function send({ piece, weeks, rows, maybeSent }: Task): Promise<Piece | undefined> {
    const { batch } = piece
    // Named by the file and the place in it, so that two imports of one file at once store it once.
    const token = `import-${hash}-${piece.place.replaceAll('/', '-')}`
    await storeOnce(store, { batch, ...spanOf(weeks), lines: rows.inBatch(batch), maybeSent, token })
    const found = await storedRows(store, { batch, ...spanOf(weeks) })
    if (found === 0) return undefined
    // Fewer than were announced where some are rejected now: those may be good later.
    return { ...piece, isStored: true, ranges: found === rows.numbers.length ? rangesOf(rows.numbers) : piece.ranges }
  }

  return {
    async storeBlock(number, block) {
      let left = [...block]
      let [stored, duplicates] = [0, 0]
      for (let round = 0; left.length > 0; round++) {
        if (round === ROUNDS_MAX) throw new MadeleineError('locked', 'another import of this file is under way', { retry: true })
        const announced = isNew && round === 0 ? new Map<string, Piece[][]>() : await readAnnounced(store, hash, number)
        const found = []
        for (const [weeks, rows] of left) {
          const key = `${number}/${weeks}`
          found.push({ weeks, rows, ...(await tasksOf(key, weeks, rows, announced.get(key) ?? [])) })
        }
        await mark(found.flatMap(({ tasks }) => tasks.flatMap(({ piece, maybeSent }) => (maybeSent ? [] : [piece]))))
        const again: typeof left = []
        for (const { weeks, rows, tasks, duplicates: before } of found) {
          let own = 0
          let isBeaten = false
          for (const task of tasks) {
            const confirmed = await send(task)
            // What was beaten ends: it must never be sent again.
            await mark([confirmed ?? { ...task.piece, ranges: [], isStored: true }])
            if (confirmed) own += task.rows.numbers.length
            else isBeaten = true
          }
          stored += own
          // Of these weeks everything is looked at again, and what is there by now, our own too, is found there.
          if (isBeaten) {
            stored -= own
            again.push([weeks, rows])
          } else duplicates += before
        }
        left = again
      }
      return { stored, duplicates }
    },
  }
}
