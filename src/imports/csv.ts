// Records of CSV (RFC 4180) out of numbered lines. Written here and not taken from a library, because of what a damaged file must not do: a quote that is
// never closed costs the line it stands in, and not the rest of the file.

import { LIMITS } from '../core/limits.ts'
import type { Line } from './lines.ts'

/** `cells` is undefined where the record is none; its number is that of its first line. */
export type CsvRecord = {
  readonly line: number
  readonly chars: number
  readonly cells: readonly string[] | undefined
  readonly problem: string
}

const TOO_LONG = `too_long: the line is longer than ${LIMITS.importLineBytes} bytes`
const UNCLOSED = 'not_csv: a quote is not closed'
const STRAY = 'not_csv: text stands beside the quotes of a cell'

type Parsed = { readonly cells: readonly string[] } | { readonly problem: typeof UNCLOSED | typeof STRAY }

/** A record line by line: what was read of it is not read again when its quote goes on over the end of a line. */
type Reading = {
  readonly cells: string[]
  open: string | undefined
  problem: Extract<Parsed, { problem: string }>['problem'] | undefined
}

function readLine(reading: Reading, text: string): void {
  const { cells } = reading
  let start = 0
  if (reading.open === undefined && !text.includes('"')) {
    for (const cell of text.split(',')) cells.push(cell)
    return
  }
  let cell = reading.open === undefined ? undefined : `${reading.open}\n`
  reading.open = undefined
  for (;;) {
    if (cell === undefined && text[start] !== '"') {
      const end = text.indexOf(',', start)
      cells.push(text.slice(start, end < 0 ? undefined : end))
      if (end < 0) return
      start = end + 1
      continue
    }
    let from = cell === undefined ? start + 1 : start
    cell ??= ''
    for (;;) {
      const quote = text.indexOf('"', from)
      if (quote < 0) {
        reading.open = cell + text.slice(from)
        return
      }
      cell += text.slice(from, quote)
      from = quote + 1
      if (text[from] !== '"') break
      cell += '"'
      from++
    }
    cells.push(cell)
    cell = undefined
    if (from === text.length) return
    if (text[from] !== ',') {
      reading.problem = STRAY
      return
    }
    start = from + 1
  }
}

const newReading = (): Reading => ({ cells: [], open: undefined, problem: undefined })

export function parseCells(text: string): Parsed {
  const reading = newReading()
  for (const line of text.split('\n')) readLine(reading, line)
  if (reading.problem) return { problem: reading.problem }
  return reading.open === undefined ? { cells: reading.cells } : { problem: UNCLOSED }
}

export type CsvReader = {
  /** The records that are whole with these lines. */
  take(lines: readonly Line[]): CsvRecord[]
  /** The records of what is left at the end of the file. */
  end(): CsvRecord[]
}

export function makeCsvReader(): CsvReader {
  /** Lines of a record whose quote is still open. */
  let open: Line[] = []

  /** The record that begins with a line, and the number of its lines; undefined where the lines end before it does. */
  function readRecord(lines: readonly Line[], first: number, isEnd: boolean): { record: CsvRecord; lines: number } | undefined {
    const { number: line, text: firstText } = lines[first] as Line
    const fails = (problem: string) => ({ record: { line, chars: firstText?.length ?? 0, cells: undefined, problem }, lines: 1 })
    const reading = newReading()
    let chars = 0
    for (let n = first; n < lines.length; n++) {
      const { text } = lines[n] as Line
      if (text === undefined) return fails(n === first ? TOO_LONG : UNCLOSED)
      chars += text.length
      readLine(reading, text)
      if (reading.problem) return fails(reading.problem)
      if (reading.open === undefined) return { record: { line, chars, cells: reading.cells, problem: '' }, lines: n - first + 1 }
      if (n - first + 1 >= LIMITS.csvRecordLines || chars > LIMITS.importLineBytes) return fails(UNCLOSED)
    }
    return isEnd ? fails(UNCLOSED) : undefined
  }

  /** Every line once; one that opens what nobody closes is given up by itself, and those after it are read anew. */
  function read(lines: readonly Line[], isEnd: boolean): CsvRecord[] {
    const records: CsvRecord[] = []
    const queue = open.length === 0 ? lines : [...open, ...lines]
    let first = 0
    while (first < queue.length) {
      const { text } = queue[first] as Line
      if (text !== undefined && text.trim() === '') {
        first++
        continue
      }
      const found = readRecord(queue, first, isEnd)
      if (found === undefined) break
      records.push(found.record)
      first += found.lines
    }
    open = queue.slice(first)
    return records
  }

  return { take: (lines) => read(lines, false), end: () => read([], true) }
}
