// CSV out of lines: what RFC 4180 says, and what a damaged file may cost.

import { describe, expect, it } from 'vitest'
import { LIMITS } from '../../src/core/limits.ts'
import { makeCsvReader, parseCells } from '../../src/imports/csv.ts'

/** `line:cells joined by |`, or `line!problem`, whatever the pieces in which the lines come. */
function recordsOf(text: string, atOnce: number): string[] {
  const lines = text.split('\n').map((line, n) => ({ number: n + 1, text: line }))
  const reader = makeCsvReader()
  const found = []
  for (let first = 0; first < lines.length; first += atOnce) found.push(...reader.take(lines.slice(first, first + atOnce)))
  found.push(...reader.end())
  return found.map(({ line, cells, problem }) => (cells ? `${line}:${cells.join('|')}` : `${line}!${problem.split(':')[0]}`))
}

describe('the cells of a record', () => {
  it.each([
    ['a,b,c', ['a', 'b', 'c']],
    ['', ['']],
    [',', ['', '']],
    ['"a"', ['a']],
    ['"a,b",c', ['a,b', 'c']],
    ['"say ""hello""",', ['say "hello"', '']],
    ['"",""', ['', '']],
    ['"two\nlines",x', ['two\nlines', 'x']],
    ['a"b,c', ['a"b', 'c']],
    [' "a",b', [' "a"', 'b']],
  ])('%j', (text, cells) => {
    expect(parseCells(text)).toEqual({ cells })
  })
  it.each(['"a', '"a""', 'x,"'])('%j is not closed', (text) => {
    expect(parseCells(text)).toEqual({ problem: 'not_csv: a quote is not closed' })
  })
  it.each(['"a"b,c', 'x,"a" '])('%j has text beside its quotes', (text) => {
    expect(parseCells(text)).toMatchObject({ problem: expect.stringContaining('beside') })
  })
})

describe.each([1, 2, 1_000])('records of a file in pieces of %d lines', (atOnce) => {
  it('may go over lines, and blank lines between them are none', () => {
    expect(recordsOf('a,b\n"1\n2\n\n3",c\n\n \nd,e\n', atOnce)).toEqual(['1:a|b', '2:1\n2\n\n3|c', '8:d|e'])
  })
  it('a quote that nobody closes costs its own line', () => {
    const good = Array.from({ length: 300 }, (_, n) => `x${n},y`)
    expect(recordsOf(`a,b\n"open,c\n${good.join('\n')}`, atOnce)).toEqual([
      '1:a|b',
      '2!not_csv',
      ...good.map((line, n) => `${n + 3}:${line.replace(',', '|')}`),
    ])
  })
  it('as does one at the end of the file, and text beside quotes', () => {
    expect(recordsOf('a,b\n"c"d,e\nf,g\n"open', atOnce)).toEqual(['1:a|b', '2!not_csv', '3:f|g', '4!not_csv'])
  })
})

it('a line that is too long is one record that is none', () => {
  const reader = makeCsvReader()
  const found = reader.take([
    { number: 1, text: undefined },
    { number: 2, text: 'a,b' },
  ])
  expect(found).toMatchObject([
    { line: 1, cells: undefined, problem: expect.stringContaining(`${LIMITS.importLineBytes}`) },
    { line: 2 },
  ])
})
