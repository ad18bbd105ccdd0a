// Rows of a file, NDJSON or CSV, as mappings of names to values: what a row says is decided elsewhere.

import { MadeleineError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { makeCsvReader } from './csv.ts'
import { type Line, readBytes, readLines } from './lines.ts'
import { isReference } from './people.ts'

export type Given = Readonly<Record<string, unknown>>

/** One row, or why it is none. `line`: of its beginning, from 1. */
export type FileRow = { readonly line: number; readonly chars: number } & (
  | { readonly given: Given }
  | { readonly given: undefined; readonly problem: string }
)

export const FORMATS = ['ndjson', 'csv'] as const
export type Format = (typeof FORMATS)[number]

const BY_NAME: Readonly<Record<string, Format>> = { ndjson: 'ndjson', jsonl: 'ndjson', json: 'ndjson', csv: 'csv' }

/** By the name (`events.csv.gz`), and where that says nothing by the first character. */
export function formatOf(file: string, firstLine: string): Format {
  const ending = /\.([a-z]+)(?:\.gz)?$/i.exec(file)?.[1]?.toLowerCase() ?? ''
  return BY_NAME[ending] ?? (firstLine.trimStart().startsWith('{') ? 'ndjson' : 'csv')
}

function jsonRow({ number: line, text }: Line): FileRow {
  if (text === undefined)
    return { line, chars: 0, given: undefined, problem: `too_long: the line is longer than ${LIMITS.importLineBytes} bytes` }
  const chars = text.length
  let given: unknown
  try {
    given = JSON.parse(text)
  } catch {
    return { line, chars, given: undefined, problem: 'not_json: the line is not JSON' }
  }
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    return { line, chars, given: undefined, problem: 'not_json: the line is no JSON object' }
  return { line, chars, given: given as Given }
}

type Reader = { take(lines: readonly Line[]): FileRow[]; end(): FileRow[] }

const isBlank = ({ text }: Line): boolean => text !== undefined && text.trim() === ''

const jsonReader = (): Reader => ({
  take: (lines) => lines.filter((line) => !isBlank(line)).map(jsonRow),
  end: () => [],
})

/** The names of the columns; throws `usage` where they are not all there, or one is there twice. */
function readHead(file: string, cells: readonly string[] | undefined, needed: readonly string[]): string[] {
  const names = (cells ?? []).map((cell) => cell.trim())
  const missing = needed.filter((name) => !names.includes(name))
  if (missing.length > 0)
    throw new MadeleineError('usage', `${file}:1: the first line must name the columns; \`${missing.join('`, `')}\` is missing`, {
      hint: 'CSV with a head, or NDJSON: one JSON object a line, in a file whose name ends in .ndjson',
    })
  const twice = names.find((name, n) => name !== '' && names.indexOf(name) !== n)
  if (twice !== undefined) throw new MadeleineError('usage', `${file}:1: the column \`${twice}\` is there twice`)
  return names
}

function csvReader({ file, needed, headless }: Pick<RowsOptions, 'file' | 'needed' | 'headless'>): Reader {
  const reader = makeCsvReader()
  let head: readonly string[] | undefined
  const rows = (records: ReturnType<typeof reader.take>): FileRow[] =>
    records.flatMap(({ line, chars, cells, problem }): FileRow[] => {
      if (head === undefined) {
        const isHead = headless === undefined || cells?.some((cell) => needed.includes(cell.trim()))
        head = isHead ? readHead(file, cells, needed) : headless
        if (isHead) return []
      }
      if (cells === undefined) return [{ line, chars, given: undefined, problem }]
      if (cells.length !== head.length)
        return [{ line, chars, given: undefined, problem: `not_csv: ${cells.length} cells, and the head has ${head.length}` }]
      const given: Record<string, string> = Object.create(null)
      for (const [n, name] of head.entries()) if (name !== '') given[name] = cells[n] ?? ''
      return [{ line, chars, given }]
    })
  return { take: (lines) => rows(reader.take(lines)), end: () => rows(reader.end()) }
}

export type RowsOptions = {
  readonly file: string
  /** Absent: by the file's name and beginning. */
  readonly format?: Format | undefined
  /** Columns without which CSV is not what was asked for. */
  readonly needed: readonly string[]
  /** The columns of CSV whose first line names none. */
  readonly headless?: readonly string[] | undefined
  readonly onBytes?: ((bytes: number) => void) | undefined
  /** Hears of the content, unpacked, as it is read. */
  readonly onContent?: ((bytes: Buffer) => void) | undefined
}

/** A mark that some programs put before the first character. */
const withoutMark = (line: Line): Line => (line.text?.startsWith('\uFEFF') ? { ...line, text: line.text.slice(1) } : line)

async function* heard(pieces: AsyncIterable<Buffer>, hear: RowsOptions['onContent']): AsyncGenerator<Buffer> {
  for await (const bytes of pieces) {
    hear?.(bytes)
    yield bytes
  }
}

/** Rows as they come, many at a time, and the form in which their values are written. */
export async function* readRows(options: RowsOptions): AsyncGenerator<{ format: Format; rows: FileRow[] }> {
  const { file, format, onBytes } = options
  let chosen = format
  let reader: Reader | undefined
  for await (const chunk of readLines(heard(readBytes(file, onBytes), options.onContent))) {
    const lines = chunk[0]?.number === 1 ? [withoutMark(chunk[0]), ...chunk.slice(1)] : chunk
    if (reader === undefined) {
      const first = lines.find((line) => !isBlank(line))
      if (first === undefined) continue
      chosen ??= formatOf(file, first.text ?? '')
      reader = chosen === 'csv' ? csvReader(options) : jsonReader()
    }
    yield { format: chosen ?? 'ndjson', rows: reader.take(lines) }
  }
  if (reader) yield { format: chosen ?? 'ndjson', rows: reader.end() }
}

type Rows = { readonly format: Format; readonly rows: FileRow[] }

/** Rows that name visitors by partners' ids, thousands at a time, because those are looked up together; others as they come, while they are young. */
export async function* grouped(pieces: AsyncIterable<Rows>): AsyncGenerator<Rows> {
  let waiting: FileRow[] = []
  let chars = 0
  let last: Format = 'ndjson'
  for await (const { rows, format } of pieces) {
    last = format
    if (waiting.length === 0 && !rows.some(({ given }) => isReference(given?.['visitor']))) {
      yield { format, rows }
      continue
    }
    for (const row of rows) {
      waiting.push(row)
      chars += row.chars
    }
    if (waiting.length < LIMITS.importGroupRows && chars < LIMITS.importBlockBytes) continue
    yield { format, rows: waiting }
    waiting = []
    chars = 0
  }
  if (waiting.length > 0) yield { format: last, rows: waiting }
}
