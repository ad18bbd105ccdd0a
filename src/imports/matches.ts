// `import matches`: `visitor,partner_id` lines of a file go into the match table, as cookie sync would have put them there. Of a visitor's lines the last
// counts. The same file again says the same once more, and keeps the matches for longer.

import { parseVisitorId, type VisitorId } from '../core/ids.ts'
import type { Store } from '../engine/store.ts'
import { type PartnerKey, type PartnerUid, parsePartnerUid } from '../identity/matches.ts'
import { makeBatches } from '../spool/batches.ts'
import { lineInBatch, matchLine, NOTE_TABLES } from '../spool/row.ts'
import type { ImportResult } from './events.ts'
import { makeRejects } from './rejects.ts'
import { type FileRow, readRows } from './rows.ts'

export type MatchImport = {
  readonly file: string
  readonly partner: PartnerKey
  readonly store: Store
  readonly isOptedOut: (visitor: VisitorId) => boolean
  readonly now: () => number
  readonly rejectsPath?: string | undefined
  readonly onBytes?: (bytes: number) => void
}

const BLOCK_ROWS = 100_000

export async function importMatches(options: MatchImport): Promise<ImportResult> {
  const { file, partner, store, isOptedOut, now, onBytes } = options
  const rejects = makeRejects(options.rejectsPath)
  const nextBatch = makeBatches(now)
  const tsMs = now()
  let read = 0
  let stored = 0
  let block = new Map<VisitorId, PartnerUid>()

  async function flush(): Promise<void> {
    if (block.size === 0) return
    const batch = nextBatch()
    const lines = [...block].map(([visitor, partnerId]) => lineInBatch(matchLine({ tsMs, visitor, partner, partnerId }), batch))
    stored += block.size
    block = new Map()
    await store.insertLines({ owner: 'imports.matches', into: NOTE_TABLES.matches, lines: Buffer.from(lines.join('')) })
  }

  function problemOf(row: FileRow): string | undefined {
    if (row.given === undefined) return row.problem
    const [visitorText, idText] = [row.given['visitor'], row.given['partner_id']].map((cell) => String(cell).trim())
    const visitor = parseVisitorId(visitorText)
    if (!visitor) return 'invalid_field: visitor must be a UUID'
    const partnerId = parsePartnerUid(idText)
    if (!partnerId) return 'invalid_field: partner_id must be an id: not empty, no macro, no word for nobody'
    if (isOptedOut(visitor)) return 'opt_out'
    block.set(visitor, partnerId)
    return undefined
  }

  const columns = ['visitor', 'partner_id']
  try {
    for await (const { rows } of readRows({ file, format: 'csv', needed: columns, headless: columns, onBytes })) {
      for (const row of rows) {
        read++
        const reason = problemOf(row)
        if (reason !== undefined) rejects.add({ line: row.line, reason })
        if (block.size >= BLOCK_ROWS) await flush()
      }
    }
    await flush()
  } catch (error) {
    rejects.discard()
    throw error
  }
  const path = rejects.finish()
  return {
    read,
    stored,
    rejected: rejects.count,
    duplicates: read - rejects.count - stored,
    rejects: rejects.listed,
    ...(path === undefined ? {} : { rejects_file: path }),
  }
}
