// What to do with a file whose rows ClickHouse refuses: part the good lines from the bad.
// The refused file stays until its pieces are complete on disk; removing it is the one moment at which the pieces take its place.

import { readdirSync, readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setAside } from './aside.ts'
import type { NextBatch } from './batches.ts'
import { type Batch, parseSpoolName, type SpoolName, spoolName } from './names.ts'
import { moveLine } from './row.ts'

/**
 * ClickHouse errors that speak about the rows themselves (src/Common/ErrorCodes.cpp): sending the same rows again cannot help. All others are about
 * the server or the statement, and may pass.
 */
export const DATA_ERRORS: ReadonlySet<number> = new Set([
  6, // CANNOT_PARSE_TEXT
  25, // CANNOT_PARSE_ESCAPE_SEQUENCE
  26, // CANNOT_PARSE_QUOTED_STRING
  27, // CANNOT_PARSE_INPUT_ASSERTION_FAILED
  32, // ATTEMPT_TO_READ_AFTER_EOF
  33, // CANNOT_READ_ALL_DATA
  38, // CANNOT_PARSE_DATE
  41, // CANNOT_PARSE_DATETIME
  53, // TYPE_MISMATCH
  69, // ARGUMENT_OUT_OF_BOUND
  70, // CANNOT_CONVERT_TYPE
  72, // CANNOT_PARSE_NUMBER
  117, // INCORRECT_DATA
  130, // CANNOT_READ_ARRAY_FROM_TEXT
  131, // TOO_LARGE_STRING_SIZE
  321, // VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
  349, // CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
  376, // CANNOT_PARSE_UUID
  407, // DECIMAL_OVERFLOW
  469, // VIOLATED_CONSTRAINT
  636, // CANNOT_EXTRACT_TABLE_STRUCTURE
])

const isLineOf = (line: string, batch: Batch): boolean => {
  if (moveLine(line, batch, batch) === undefined) return false
  try {
    return typeof JSON.parse(line) === 'object'
  } catch {
    return false
  }
}

/** Lines that are no rows at all are set aside at once; the rest is halved until the lines that the store refuses stand alone. */
function pieces(
  lines: readonly string[],
  batch: Batch,
  reason: string,
): { parts: string[][]; refused: { reason: string; line: string }[] } {
  const good = lines.filter((line) => isLineOf(line, batch))
  if (good.length < lines.length) {
    const refused = lines
      .filter((line) => !isLineOf(line, batch))
      .map((line) => ({ reason: 'damaged: not a row of this file', line }))
    return { parts: good.length > 0 ? [good] : [], refused }
  }
  if (good.length <= 1) return { parts: [], refused: good.map((line) => ({ reason, line })) }
  const middle = Math.ceil(good.length / 2)
  return { parts: [good.slice(0, middle), good.slice(middle)], refused: [] }
}

/** The names of the files that take the refused one's place: none, one or two. */
export function splitRefused(directory: string, name: SpoolName, reason: string, nextBatch: NextBatch): string[] {
  const path = join(directory, spoolName({ ...name, state: 'ready' }))
  const lines = readFileSync(path, 'utf8').split('\n')
  if (lines.at(-1) === '') lines.pop()
  // What an earlier try left that did not get to its end: it would count once the refused file is gone.
  for (const left of readdirSync(directory)) {
    const state = parseSpoolName(left)?.state
    if (typeof state === 'object' && state.splitOf === name.batch) unlinkSync(join(directory, left))
  }
  const { parts, refused } = pieces(lines, name.batch, reason)
  setAside(directory, spoolName({ ...name, state: 'ready' }), refused)
  const made = parts.map((part) => {
    const batch = nextBatch()
    const piece: SpoolName = { partition: name.partition, batch, state: { splitOf: name.batch } }
    const text = part.map((line) => `${moveLine(line, name.batch, batch) ?? line}\n`).join('')
    writeFileSync(join(directory, spoolName(piece)), text, { mode: 0o600 })
    return piece
  })
  unlinkSync(path)
  return made.map((piece) => {
    const ready = spoolName({ ...piece, state: 'ready' })
    renameSync(join(directory, spoolName(piece)), join(directory, ready))
    return ready
  })
}
