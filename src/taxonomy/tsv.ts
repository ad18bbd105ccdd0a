// IAB Tech Lab's taxonomies as they are published: tab-separated, one header row (Audience) or two (Content), with columns that move from version to
// version. Columns are found by their names. Every row that cannot be read is a problem at its line and column.

import { TAXONOMY_ID, type TaxonomyRow } from './tree.ts'

export type Position = { readonly line: number; readonly column: number }
export type TsvProblem = Position & { readonly message: string }
type Cell = Position & { readonly text: string }

/** Where each of a row's cells that matter stands. */
export type TsvPlace = { readonly id: Position; readonly parent: Position }
export type TaxonomyTable = { readonly rows: readonly TaxonomyRow<TsvPlace>[]; readonly problems: readonly TsvProblem[] }

const ENDS = /[\t\r\n]/g

/** Cells of tab-separated text. A cell that begins with a quotation mark ends with one, may hold tabs and line breaks, and has `""` for one. */
function readCells(text: string): { rows: Cell[][]; problems: TsvProblem[] } {
  const rows: Cell[][] = []
  const problems: TsvProblem[] = []
  let row: Cell[] = []
  let line = 1
  let lineStart = 0
  let at = 0
  const position = (): Position => ({ line, column: at - lineStart + 1 })
  /** Over a line break, one or two characters. */
  const nextLine = () => {
    at += text[at] === '\r' && text[at + 1] === '\n' ? 2 : 1
    line++
    lineStart = at
  }
  function quoted(start: Position): string {
    let value = ''
    for (at++; ; ) {
      const char = text[at]
      if (char === undefined) {
        problems.push({ ...start, message: 'the quotation mark is never closed' })
        return value
      }
      if (char === '"' && text[at + 1] === '"') {
        value += '"'
        at += 2
      } else if (char === '"') {
        at++
        return value
      } else if (char === '\r' || char === '\n') {
        nextLine()
        value += '\n'
      } else {
        value += char
        at++
      }
    }
  }
  function plain(): string {
    ENDS.lastIndex = at
    const end = ENDS.exec(text)?.index ?? text.length
    const value = text.slice(at, end)
    at = end
    return value
  }
  while (at <= text.length) {
    const start = position()
    const value = text[at] === '"' ? quoted(start) : plain()
    const rest = position()
    if (plain() !== '') problems.push({ ...rest, message: 'text behind a closing quotation mark' })
    row.push({ ...start, text: value.replace(/\s+/g, ' ').trim() })
    const end = text[at]
    if (end === '\t') {
      at++
      continue
    }
    rows.push(row)
    row = []
    if (end === undefined) break
    nextLine()
  }
  return { rows, problems }
}

const HEADER_ROWS_MAX = 10
const isId = ({ text }: Cell): boolean => /^unique id$/i.test(text)

type Columns = {
  readonly id: number
  readonly parent: number
  /** Undefined: the last tier is the name, because the condensed one leaves tiers out and so can be another. */
  readonly name: number | undefined
  readonly tiers: readonly number[]
  readonly extension: number | undefined
}

/** The columns, and the number of header rows; undefined where no row says `Unique ID`. */
function readHeader(rows: readonly Cell[][]): { columns: Columns; headers: number; missing: string | undefined } | undefined {
  const last = rows.slice(0, HEADER_ROWS_MAX).findIndex((row) => row.some(isId))
  const header = rows[last]
  if (!header) return undefined
  const find = (pattern: RegExp): number => header.findIndex(({ text }) => pattern.test(text))
  const name = find(/^name$/i)
  const tiers = header.flatMap(({ text }, n) => (/^tier \d+$/i.test(text) ? [n] : []))
  // Content has it in the row above its column names.
  const extension = rows
    .slice(0, last + 1)
    .map((row) => row.findIndex(({ text }) => /^\*?extension\b/i.test(text)))
    .find((n) => n >= 0)
  const parent = find(/^parent( id)?$/i)
  const missing = parent < 0 ? '`Parent`' : name < 0 && tiers.length === 0 ? '`Name` or `Tier 1`' : undefined
  const columns = { id: header.findIndex(isId), parent, name: name < 0 ? undefined : name, tiers, extension }
  return { columns, headers: last + 1, missing }
}

/** The rows of an official table. `kind` is what the file's name says it is: the two are easily mistaken for each other. */
export function parseTaxonomyTable(text: string, kind: 'content' | 'audience'): TaxonomyTable {
  const { rows: cells, problems } = readCells(text)
  const header = readHeader(cells)
  const wrong = (message: string): TaxonomyTable => ({ rows: [], problems: [...problems, { line: 1, column: 1, message }] })
  if (!header) return wrong('no taxonomy of IAB Tech Lab: none of the first rows has a column `Unique ID`')
  if (header.missing !== undefined) return wrong(`no taxonomy of IAB Tech Lab: there is no column ${header.missing}`)
  const { columns, headers } = header
  const heading = cells
    .slice(0, headers)
    .flat()
    .map(({ text }) => text)
    .join(' ')
  if (kind === 'content' && /condensed name/i.test(heading))
    return wrong('this is an audience taxonomy: call the file audience.tsv')
  if (kind === 'audience' && /content taxonomy/i.test(heading))
    return wrong('this is a content taxonomy: call the file content.tsv')

  const rows: TaxonomyRow<TsvPlace>[] = []
  for (const row of cells.slice(headers)) {
    if (row.every(({ text }) => text === '')) continue
    const first = row[0] as Cell
    const cell = (n: number | undefined): Cell => (n === undefined ? undefined : row[n]) ?? { ...first, text: '' }
    const id = cell(columns.id)
    const parent = cell(columns.parent)
    const tier = columns.tiers.map((n) => cell(n).text).findLast((text) => text !== '')
    const name = cell(columns.name).text || tier || ''
    const report = ({ line, column }: Position, message: string) => problems.push({ line, column, message })
    if (id.text === '') report(id, 'the row has no unique id')
    else if (!TAXONOMY_ID.test(id.text)) report(id, `\`${id.text.slice(0, 80)}\` is no id`)
    else if (name === '') report(cell(columns.name ?? columns.tiers[0]), `\`${id.text}\` has no name`)
    else
      rows.push({
        id: id.text,
        parent: parent.text === '' ? undefined : parent.text,
        name,
        sensitive: /\bSCD\b/.test(cell(columns.extension).text),
        place: { id, parent },
      })
  }
  if (rows.length === 0 && problems.length === 0) return wrong('the table has no rows')
  return { rows, problems }
}
