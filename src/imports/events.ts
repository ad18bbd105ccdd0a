// `import events`: rows of a file become events, each exactly once.
// A row's identity is the file's content hash and its line. Lines are cut into blocks by their number, blocks into partitions; each such piece is
// announced in `imports` with a batch number before it is stored and confirmed after. The same file again finds its pieces there and stores nothing; after a
// kill a piece that was announced and not confirmed is looked for in `events` by its batch.

import { createHash } from 'node:crypto'
import { type DecideSettings, decideEvent } from '../collect/decide.ts'
import { serverEvent } from '../collect/request.ts'
import { parseVisitorId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import type { Store } from '../engine/store.ts'
import type { Event } from '../event/event.ts'
import { makeBatches } from '../spool/batches.ts'
import { partitionOf } from '../spool/names.ts'
import { eventLine, lineInBatch } from '../spool/row.ts'
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
  readonly now: () => number
  /** Bytes of the file passed, of both readings together. */
  readonly onBytes?: (bytes: number) => void
}

type Parsed = { readonly event: Event } | { readonly reason: string }

export function parseImportLine(text: string | undefined, settings: DecideSettings, nowMs: number): Parsed {
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
  if (decision.kind === 'drop') return { reason: decision.reason }
  if (decision.kind === 'refused') return { reason: `${decision.reason}: ${decision.field} ${decision.message}` }
  return { event: serverEvent(decision, visitor) }
}

async function contentHash(file: string, onBytes: (bytes: number) => void): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of readBytes(file, onBytes)) hash.update(chunk)
  return hash.digest('hex')
}

type Announced = { readonly block: string; readonly batch: string; readonly stored: number }

/** Pieces of this file that an earlier run announced, by `block number/partition`. */
async function readAnnounced(store: Store, hash: string): Promise<Map<string, Announced>> {
  const rows = await store.rows<Announced>({
    owner: 'imports.announced',
    sql: `SELECT block, toString(argMax(batch, imports.stored)) AS batch, max(imports.stored) AS stored FROM madeleine.imports
          WHERE file = {file:String} AND at > now64(3) - INTERVAL 97 DAY GROUP BY block`,
    values: { file: hash },
  })
  return new Map(rows.map((row) => [row.block, row]))
}

export async function importEvents(options: ImportOptions): Promise<ImportResult> {
  const { file, store, settings, now } = options
  const onBytes = options.onBytes ?? (() => {})
  const result: ImportResult = { read: 0, stored: 0, rejected: 0, duplicates: 0, rejects: [] }
  const hash = await contentHash(file, onBytes)
  const announced = await readAnnounced(store, hash)
  const nextBatch = makeBatches(now)
  const nowMs = now()

  async function mark(pieces: readonly { key: string; batch: bigint; rows: number }[], stored: 0 | 1): Promise<void> {
    const lines = pieces.map(({ key, batch, rows }) =>
      JSON.stringify({ file: hash, block: key, batch: String(batch), rows, stored, at: now() }),
    )
    if (lines.length > 0)
      await store.insertLines({
        owner: 'imports.mark',
        into: 'madeleine.imports (file, block, batch, rows, stored, at)',
        lines: Buffer.from(`${lines.join('\n')}\n`),
      })
  }

  async function storeBlock(number: number, rows: ReadonlyMap<string, readonly string[]>): Promise<void> {
    const pieces = [...rows].map(([partition, lines]) => {
      const key = `${number}/${partition}`
      const before = announced.get(key)
      return { key, partition, lines, rows: lines.length, before, batch: before ? BigInt(before.batch) : nextBatch() }
    })
    for (const { before, rows: n } of pieces) if (before?.stored) result.duplicates += n
    const open = pieces.filter(({ before }) => !before?.stored)
    await mark(
      open.filter(({ before }) => !before),
      0,
    )
    for (const { partition, batch, lines, before, rows: n } of open) {
      const block = Buffer.from(lines.map((line) => lineInBatch(line, batch)).join(''))
      // Named by the file and the place in it, so that two imports of one file at once store it once.
      await storeOnce(store, {
        partition,
        batch,
        lines: block,
        maybeSent: before !== undefined,
        token: `import-${hash}-${number}-${partition}`,
      })
      result.stored += n
    }
    await mark(open, 1)
  }

  let blockNumber = 0
  let block = new Map<string, string[]>()
  for await (const lines of readLines(readBytes(file, onBytes))) {
    for (const { number, text } of lines) {
      const at = Math.floor((number - 1) / LIMITS.importBlockRows)
      if (at !== blockNumber) {
        await storeBlock(blockNumber, block)
        blockNumber = at
        block = new Map()
      }
      if (text !== undefined && text.trim() === '') continue
      result.read++
      const parsed = parseImportLine(text, settings, nowMs)
      if ('reason' in parsed) {
        result.rejected++
        if (result.rejects.length < LIMITS.rejectsListed) result.rejects.push({ line: number, reason: parsed.reason })
        continue
      }
      const partition = partitionOf(parsed.event.ts)
      const piece = block.get(partition) ?? []
      piece.push(eventLine(parsed.event, nowMs))
      block.set(partition, piece)
    }
  }
  await storeBlock(blockNumber, block)
  return result
}
