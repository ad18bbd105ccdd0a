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

export function parseCells(text: string): Parsed {
  if (!text.includes('"')) return { cells: text.split(',') }
  const cells: string[] = []
  for (let start = 0; ; ) {
    if (text[start] !== '"') {
      const end = text.indexOf(',', start)
      cells.push(text.slice(start, end < 0 ? undefined : end))
      if (end < 0) return { cells }
      start = end + 1
      continue
    }
    let cell = ''
    let from = start + 1
    for (;;) {
      const quote = text.indexOf('"', from)
      if (quote < 0) return { problem: UNCLOSED }
      cell += text.slice(from, quote)
      from = quote + 1
      if (text[from] !== '"') break
      cell += '"'
      from++
    }
    cells.push(cell)
    if (from === text.length) return { cells }
    if (text[from] !== ',') return { problem: STRAY }
    start = from + 1
  }
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

  function record(lines: readonly Line[], isLast: boolean): CsvRecord | undefined {
    const [first] = lines as [Line]
    if (lines.some(({ text }) => text === undefined)) return { line: first.number, chars: 0, cells: undefined, problem: TOO_LONG }
    const text = lines.map((line) => line.text).join('\n')
    const parsed = parseCells(text)
    if ('cells' in parsed) return { line: first.number, chars: text.length, cells: parsed.cells, problem: '' }
    const isFull = lines.length >= LIMITS.csvRecordLines || text.length > LIMITS.importLineBytes
    if (parsed.problem === UNCLOSED && !isLast && !isFull) return undefined
    return { line: first.number, chars: text.length, cells: undefined, problem: parsed.problem }
  }

  /** Every line once; one that opens what nobody closes is given up by itself, and those after it are read anew. */
  function read(lines: readonly Line[], isLast: boolean): CsvRecord[] {
    const records: CsvRecord[] = []
    const queue = [...open, ...lines]
    let first = 0
    let last = Math.max(first, open.length - 1)
    while (last < queue.length) {
      const one = queue[first]
      if (last === first && one?.text !== undefined && one.text.trim() === '') {
        last = ++first
        continue
      }
      const found = record(queue.slice(first, last + 1), isLast && last === queue.length - 1)
      if (found === undefined) {
        last++
        continue
      }
      records.push(found)
      first = found.cells === undefined ? first + 1 : last + 1
      last = first
    }
    open = queue.slice(first)
    return records
  }

  return {
    take: (lines) => read(lines, false),
    end() {
      const records = read([], true)
      open = []
      return records
    },
  }
}
