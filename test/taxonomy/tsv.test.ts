import { describe, expect, it } from 'vitest'
import { parseTaxonomyTable, type TaxonomyTable } from '../../src/taxonomy/tsv.ts'

const CONTENT =
  'Relational ID System\t\t\tContent Taxonomy v9\t\t\t\tExtension\nUnique ID\tParent\tName\tTier 1\tTier 2\tTier 3\tTier 4\t\n'
const AUDIENCE = '\tUnique ID\tParent ID\tCondensed Name (1st, 2nd, Last Tier)\tTier 1\tTier 2\tTier 3\t*Extension Notes\n'
const nodes = ({ rows, problems }: TaxonomyTable) => {
  expect(problems).toEqual([])
  return rows.map(({ id, parent = '', name, sensitive }) => `${id}|${parent}|${name}${sensitive ? '|!' : ''}`)
}
const problems = (text: string, kind: 'content' | 'audience' = 'content') =>
  parseTaxonomyTable(text, kind).problems.map(({ line, column, message }) => `${line}:${column} ${message}`)

describe('an official table', () => {
  it('of contents has two header rows, its names in a column, and flags in the extension', () => {
    const text = `${CONTENT}1\t\tCars\tCars\t\t\t\t\nX9\t1\tSecret Cars\tCars\tOther tier\t\t\tSCD\n`
    expect(nodes(parseTaxonomyTable(text, 'content'))).toEqual(['1||Cars', 'X9|1|Secret Cars|!'])
  })

  it('of audiences has one, an empty first column, and its names in the last tier', () => {
    const text = `${AUDIENCE}\t1\t\tAge\tAge\t\t\t\n\t2\t1\tAge | 0 |\tAge\tYears\t$0\tSee *Purchase Intent Classification* Extension\n`
    expect(nodes(parseTaxonomyTable(text, 'audience'))).toEqual(['1||Age', '2|1|$0'])
  })

  it('may have its columns in another order, CRLF or CR, no line end at the last row, spaces, empty rows, short rows and quoted cells', () => {
    const text =
      'name\tEXTENSION\tunique id\tParent ID\r\n"Cars, ""old""\tand\r\nnew"\tSCD\t 1\t\r\n\t\t\t\r\n\r\nVans\t\t2\t"1"\rBikes\t\t3'
    expect(nodes(parseTaxonomyTable(text, 'content'))).toEqual(['1||Cars, "old" and new|!', '2|1|Vans', '3||Bikes'])
  })

  it('reports what is wrong with a row at its line and column, and reads the others', () => {
    const text = `${CONTENT}1\t\tCars\n\t1\tNo id\n2 3\t1\tBad id\n4\t1\t\n5\t1\t"a" b\n6\t1\tVans\n7\t"1\tnever closed\n`
    expect(problems(text)).toEqual([
      '7:8 text behind a closing quotation mark',
      '9:3 the quotation mark is never closed',
      '4:1 the row has no unique id',
      '5:1 `2 3` is no id',
      '6:5 `4` has no name',
      '9:1 `7` has no name',
    ])
    expect(parseTaxonomyTable(text, 'content').rows.map(({ id }) => id)).toEqual(['1', '5', '6'])
  })

  it('counts lines and columns as an editor does, over quoted line breaks and behind a byte order mark', () => {
    const { rows } = parseTaxonomyTable(`${CONTENT}1\t\t"two\r\nlines"\n22\t1\tVans\n`, 'content')
    expect(rows[1]?.place).toEqual({
      id: expect.objectContaining({ line: 5, column: 1 }),
      parent: expect.objectContaining({ line: 5, column: 4 }),
    })
  })

  it.each([
    ['', 'content', 'none of the first rows has a column `Unique ID`'],
    ['id\tname\n1\tx\n', 'content', 'none of the first rows has a column `Unique ID`'],
    ['Unique ID\tName\n1\tx\n', 'content', 'there is no column `Parent`'],
    ['Unique ID\tParent\n1\t\n', 'content', 'there is no column `Name` or `Tier 1`'],
    [CONTENT, 'content', 'the table has no rows'],
    [`${AUDIENCE}\t1\t\tAge\tAge\n`, 'content', 'call the file audience.tsv'],
    [`${CONTENT}1\t\tCars\n`, 'audience', 'call the file content.tsv'],
  ] as const)('that is none is refused whole: %j as %s', (text, kind, message) => {
    const found = problems(text, kind)
    expect(found).toHaveLength(1)
    expect(found[0]).toContain('1:1 ')
    expect(found[0]).toContain(message)
  })
})
