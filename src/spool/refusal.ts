// What to do with a file whose rows ClickHouse refuses: part the good lines from the bad.
// The refused file stays until its pieces are complete on disk; removing it is the one moment at which the pieces take its place.

import { readdirSync, renameSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { type Refused, setAside } from './aside.ts'
import type { NextBatch } from './batches.ts'
import { syncDirectory, writeDurable } from './disk.ts'
import { parseSpoolName, type SpoolName, spoolName } from './names.ts'
import { makeSeal, unsealed } from './seal.ts'

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

/** Halved until the lines that the store refuses stand alone. */
function pieces(rows: readonly string[], reason: string): { parts: string[][]; refused: Refused[] } {
  if (rows.length <= 1) return { parts: [], refused: rows.map((line) => ({ reason, line })) }
  const middle = Math.ceil(rows.length / 2)
  return { parts: [rows.slice(0, middle), rows.slice(middle)], refused: [] }
}

export type Split = { readonly made: readonly { readonly file: string; readonly bytes: number }[]; readonly refused: number }

/** Puts two files in the place of the refused one, or its only line aside. `rows`: what of it was sent. */
export function splitRefused(
  directory: string,
  { name, rows, reason }: { readonly name: SpoolName; readonly rows: readonly string[]; readonly reason: string },
  nextBatch: NextBatch,
): Split {
  const path = join(directory, spoolName({ ...name, state: 'ready' }))
  // What an earlier try left that did not get to its end: it would count once the refused file is gone.
  for (const left of readdirSync(directory)) {
    const state = parseSpoolName(left)?.state
    if (typeof state === 'object' && state.splitOf === name.batch) unlinkSync(join(directory, left))
  }
  const { parts, refused } = pieces(rows, reason)
  setAside(directory, spoolName({ ...name, state: 'ready' }), refused)
  const written = parts.map((part) => {
    const batch = nextBatch()
    const piece: SpoolName = { partition: name.partition, batch, state: { splitOf: name.batch } }
    const seal = makeSeal(piece)
    const text = part.map((row, ordinal) => seal(unsealed(row, name.batch), ordinal)).join('')
    writeDurable(join(directory, spoolName(piece)), text)
    return { piece, bytes: Buffer.byteLength(text) }
  })
  // A power cut must not find the refused file gone and its pieces not yet there.
  syncDirectory(directory)
  unlinkSync(path)
  const made = written.map(({ piece, bytes }) => {
    const file = spoolName({ ...piece, state: 'ready' })
    renameSync(join(directory, spoolName(piece)), join(directory, file))
    return { file, bytes }
  })
  return { made, refused: refused.length }
}
