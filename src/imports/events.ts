// `import events`: rows of a file become events, each exactly once (pieces.ts). The file is read twice, first for its content hash, and never held: memory is
// bounded by a block of rows.

import { createHash } from 'node:crypto'
import { type DecideSettings, decideEvent } from '../collect/decide.ts'
import { serverEvent } from '../collect/server-event.ts'
import type { ConsentSignal } from '../consent/standing.ts'
import { MadeleineError } from '../core/errors.ts'
import type { VisitorId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import type { Store } from '../engine/store.ts'
import type { Event } from '../event/event.ts'
import { makeBatches } from '../spool/batches.ts'
import { eventLine, lineInBatch, NOTE_TABLES, signalLine } from '../spool/row.ts'
import { readBytes } from './lines.ts'
import { findPeople, type Person } from './people.ts'
import { openPieces, weeksOf } from './pieces.ts'
import { makeRejects, type Reject } from './rejects.ts'
import { type FileRow, type Format, type Given, grouped, readRows } from './rows.ts'
import { makeWaitingRows, type WaitingRows } from './waiting-rows.ts'

export type ImportResult = {
  read: number
  stored: number
  rejected: number
  duplicates: number
  /** The first LIMITS.rejectsListed; `rejected` counts all. */
  rejects: readonly Reject[]
  /** Where all of them are written; absent where there are none, or nobody wants them. */
  rejects_file?: string
}

export type ImportOptions = {
  readonly file: string
  readonly format?: Format | undefined
  readonly store: Store
  readonly settings: DecideSettings
  readonly isOptedOut: (visitor: VisitorId) => boolean
  readonly now: () => number
  readonly rejectsPath?: string | undefined
  /** Bytes of the file passed, of both readings together. */
  readonly onBytes?: (bytes: number) => void
}

/** `signal`: a refusal is no event, and governs those that there are. */
type Parsed = { readonly event: Event } | { readonly reason: string; readonly signal?: ConsentSignal }

function parseRow(given: Given, format: Format, person: Person, { settings, isOptedOut }: ImportOptions, nowMs: number): Parsed {
  if ('problem' in person) return { reason: person.problem }
  const { visitor } = person
  if (given['ts'] === undefined || given['ts'] === null || given['ts'] === '') return { reason: 'invalid_field: ts is missing' }
  const form = format === 'csv' ? 'query' : 'json'
  const decision = decideEvent({ sender: 'import', form, given, referer: undefined, keyed: true, nowMs }, settings)
  if (isOptedOut(visitor) && decision.kind !== 'refused') return { reason: 'opt_out' }
  if (decision.kind === 'drop')
    return decision.refused
      ? { reason: decision.reason, signal: { ...decision.refused, visitor, permissions: 0, receivers: [] } }
      : { reason: decision.reason }
  if (decision.kind === 'refused') return { reason: `${decision.reason}: ${decision.field} ${decision.message}` }
  return { event: serverEvent(decision, visitor) }
}

async function contentHash(file: string, onBytes: (bytes: number) => void): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of readBytes(file, onBytes)) hash.update(chunk)
  return hash.digest('hex')
}

export async function importEvents(options: ImportOptions): Promise<ImportResult> {
  const { file, store, settings, now } = options
  const onBytes = options.onBytes ?? (() => {})
  const hash = await contentHash(file, onBytes)
  const content = createHash('sha256')
  const pieces = await openPieces(store, hash, now)
  const nextBatch = makeBatches(now)
  const nowMs = now()
  const rejects = makeRejects(options.rejectsPath)
  const result = { read: 0, stored: 0, duplicates: 0 }

  let signals: ConsentSignal[] = []
  /** A signal that is stored twice says the same as once. */
  async function storeSignals(): Promise<void> {
    if (signals.length === 0) return
    const batch = nextBatch()
    const lines = signals.map((signal) => lineInBatch(signalLine(signal), batch)).join('')
    signals = []
    await store.insertLines({ owner: 'imports.signals', into: NOTE_TABLES.signals, lines: Buffer.from(lines) })
  }

  let blockNumber = 0
  let block = new Map<number, WaitingRows>()
  let blockRows = 0
  let blockChars = 0
  /** The block before this one, on its way: rows are read while the engine stores those before them. At most one, so that memory stays bounded. */
  let storing: Promise<void> = Promise.resolve()
  async function storeBlock(): Promise<void> {
    await storing
    const number = blockNumber++
    const full = block
    block = new Map()
    blockRows = 0
    blockChars = 0
    storing = (async () => {
      await storeSignals()
      const { stored, duplicates } = await pieces.storeBlock(number, full)
      result.stored += stored
      result.duplicates += duplicates
    })()
    storing.catch(() => {}) // its error is met where it is awaited
  }

  async function takeRows(rows: readonly FileRow[], format: Format): Promise<void> {
    const time = { nowMs, retentionMs: settings.retentionMs }
    const people = await findPeople(
      store,
      rows.map(({ given }) => given?.['visitor']),
      time,
    )
    for (const [n, row] of rows.entries()) {
      // Cut by what is in the file, so that the same file is cut alike every time.
      if (blockRows >= LIMITS.importBlockRows || blockChars >= LIMITS.importBlockBytes) await storeBlock()
      blockRows++
      blockChars += row.chars
      result.read++
      const parsed =
        row.given === undefined ? { reason: row.problem } : parseRow(row.given, format, people[n] as Person, options, nowMs)
      if ('reason' in parsed) {
        if ('signal' in parsed && parsed.signal) signals.push(parsed.signal)
        rejects.add({ line: row.line, reason: parsed.reason })
        continue
      }
      const weeks = weeksOf(parsed.event.ts)
      const waiting = block.get(weeks) ?? makeWaitingRows()
      waiting.add(row.line, eventLine(parsed.event))
      block.set(weeks, waiting)
    }
  }

  try {
    const rows = readRows({
      file,
      format: options.format,
      needed: ['visitor', 'ts'],
      onBytes,
      onContent: (bytes) => content.update(bytes),
    })
    for await (const group of grouped(rows)) await takeRows(group.rows, group.format)
    // Before the last block is: what was stored would be taken for the content that was there at first.
    if (content.digest('hex') !== hash) throw new MadeleineError('usage', `${file} was changed while it was imported`)
    await storeBlock()
    await storing
  } catch (error) {
    await storing.catch(() => {})
    rejects.discard()
    throw error
  }
  const path = rejects.finish()
  const { read, stored, duplicates } = result
  return {
    read,
    stored,
    rejected: rejects.count,
    duplicates,
    rejects: rejects.listed,
    ...(path === undefined ? {} : { rejects_file: path }),
  }
}
