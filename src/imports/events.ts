// `import events`: rows of a file become events, each exactly once.
// A row's identity is the file's content hash and its line. Lines are cut into blocks by their number, blocks into partitions; each such piece is
// announced in `imports` with a batch number before it is stored and confirmed after. The same file again finds its pieces there and stores nothing; after a
// kill a piece that was announced and not confirmed is looked for in `events` by its batch.

import { createHash } from 'node:crypto'
import { type DecideSettings, decideEvent } from '../collect/decide.ts'
import { serverEvent } from '../collect/server-event.ts'
import type { ConsentSignal } from '../consent/standing.ts'
import { parseVisitorId, type VisitorId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import type { Store } from '../engine/store.ts'
import type { Event } from '../event/event.ts'
import { makeBatches } from '../spool/batches.ts'
import { partitionOf } from '../spool/names.ts'
import { eventLine, lineInBatch, NOTE_TABLES, signalLine } from '../spool/row.ts'
import { storeOnce } from '../spool/shipper.ts'
import { readBytes, readLines } from './lines.ts'

export type Reject = { readonly line: number; readonly reason: string }
export type ImportResult = {
  read: number
  stored: number
  rejected: number
  duplicates: number
  /** The first LIMITS.rejectsListed; `rejected` counts all. */
  rejects: Reject[]
}

export type ImportOptions = {
  readonly file: string
  readonly store: Store
  readonly settings: DecideSettings
  readonly isOptedOut: (visitor: VisitorId) => boolean
  readonly now: () => number
  /** Bytes of the file passed, of both readings together. */
  readonly onBytes?: (bytes: number) => void
}

/** `signal`: a refusal is no event, and governs those that there are. */
type Parsed = { readonly event: Event } | { readonly reason: string; readonly signal?: ConsentSignal }

export function parseImportLine(
  text: string | undefined,
  settings: DecideSettings,
  isOptedOut: ImportOptions['isOptedOut'],
  nowMs: number,
): Parsed {
  if (text === undefined) return { reason: `too_long: the line is longer than ${LIMITS.importLineBytes} bytes` }
  let given: unknown
  try {
    given = JSON.parse(text)
  } catch {
    return { reason: 'not_json: the line is not JSON' }
  }
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    return { reason: 'not_json: the line is no JSON object' }
  const row = given as Readonly<Record<string, unknown>>
  const visitor = parseVisitorId(row['visitor'])
  if (!visitor) return { reason: 'invalid_field: visitor must be a UUID' }
  if (row['ts'] === undefined || row['ts'] === null || row['ts'] === '') return { reason: 'invalid_field: ts is missing' }
  const decision = decideEvent({ sender: 'import', form: 'json', given: row, referer: undefined, keyed: true, nowMs }, settings)
  if (decision.kind === 'drop')
    return decision.refused
      ? { reason: decision.reason, signal: { ...decision.refused, visitor, permissions: 0, receivers: [] } }
      : { reason: decision.reason }
  if (isOptedOut(visitor)) return { reason: 'opt_out' }
  if (decision.kind === 'refused') return { reason: `${decision.reason}: ${decision.field} ${decision.message}` }
  return { event: serverEvent(decision, visitor) }
}

async function contentHash(file: string, onBytes: (bytes: number) => void): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of readBytes(file, onBytes)) hash.update(chunk)
  return hash.digest('hex')
}

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

/** Lines by their number, in order. */
type Lines = ReadonlyMap<number, string>

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

export async function importEvents(options: ImportOptions): Promise<ImportResult> {
  const { file, store, settings, now } = options
  const onBytes = options.onBytes ?? (() => {})
  const result: ImportResult = { read: 0, stored: 0, rejected: 0, duplicates: 0, rejects: [] }
  const hash = await contentHash(file, onBytes)
  const announced = await readAnnounced(store, hash)
  const nextBatch = makeBatches(now)
  const nowMs = now()

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

  type Task = { readonly piece: Piece; readonly partition: string; readonly lines: Lines; readonly maybeSent: boolean }

  /** What is left to store of a block's lines in one partition, given what earlier runs announced of it. */
  function tasksOf(place: string, partition: string, lines: Lines): Task[] {
    const known = announced.get(place) ?? []
    const tasks: Task[] = []
    const left = new Map(lines)
    for (const piece of known) {
      const covered = within(left, piece)
      for (const number of covered.keys()) left.delete(number)
      if (piece.isStored) result.duplicates += covered.size
      else if (covered.size > 0) tasks.push({ piece, partition, lines: covered, maybeSent: true })
    }
    if (left.size > 0) {
      const piece = { key: `${place}/${known.length}`, batch: nextBatch(), ranges: rangesOf(left.keys()), isStored: false }
      tasks.push({ piece, partition, lines: left, maybeSent: false })
    }
    return tasks
  }

  let signals: ConsentSignal[] = []
  /** A signal that is stored twice says the same as once. */
  async function storeSignals(): Promise<void> {
    if (signals.length === 0) return
    const batch = nextBatch()
    const lines = signals.map((signal) => lineInBatch(signalLine(signal), batch)).join('')
    signals = []
    await store.insertLines({ owner: 'imports.signals', into: NOTE_TABLES.signals, lines: Buffer.from(lines) })
  }

  async function storeBlock(number: number, rows: ReadonlyMap<string, Lines>): Promise<void> {
    await storeSignals()
    const tasks = [...rows].flatMap(([partition, lines]) => tasksOf(`${number}/${partition}`, partition, lines))
    await mark(tasks.flatMap(({ piece, maybeSent }) => (maybeSent ? [] : [piece])))
    for (const { piece, partition, lines, maybeSent } of tasks) {
      const block = Buffer.from([...lines.values()].map((line) => lineInBatch(line, piece.batch)).join(''))
      // Named by the file and the place in it, so that two imports of one file at once store it once.
      await storeOnce(store, {
        partition,
        batch: piece.batch,
        lines: block,
        maybeSent,
        token: `import-${hash}-${piece.key.replaceAll('/', '-')}`,
      })
      result.stored += lines.size
    }
    await mark(tasks.map(({ piece }) => ({ ...piece, isStored: true })))
  }

  let blockNumber = 0
  let block = new Map<string, Map<number, string>>()
  let blockLines = 0
  let blockBytes = 0
  for await (const lines of readLines(readBytes(file, onBytes))) {
    for (const { number, text } of lines) {
      // Cut by what is in the file, so that the same file is cut alike every time.
      if (blockLines >= LIMITS.importBlockRows || blockBytes >= LIMITS.importBlockBytes) {
        await storeBlock(blockNumber, block)
        blockNumber++
        block = new Map()
        blockLines = 0
        blockBytes = 0
      }
      blockLines++
      blockBytes += text?.length ?? 0
      if (text !== undefined && text.trim() === '') continue
      result.read++
      const parsed = parseImportLine(text, settings, options.isOptedOut, nowMs)
      if ('reason' in parsed) {
        result.rejected++
        if (parsed.signal) signals.push(parsed.signal)
        if (result.rejects.length < LIMITS.rejectsListed) result.rejects.push({ line: number, reason: parsed.reason })
        continue
      }
      const partition = partitionOf(parsed.event.ts)
      const piece = block.get(partition) ?? new Map<number, string>()
      piece.set(number, eventLine(parsed.event))
      block.set(partition, piece)
    }
  }
  await storeBlock(blockNumber, block)
  return result
}
