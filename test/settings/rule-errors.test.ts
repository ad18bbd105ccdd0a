// One mistake in a rule, and the line and column at which it is told, with what may have been meant.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ConfigurationError } from '../../src/settings/files.ts'
import { loadSettings } from '../../src/settings/load.ts'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'config-'))
  mkdirSync(join(directory, 'segments'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const BEFORE = '    when: '
/** `column message` of the errors of one rule, counted from the rule's first character; all must stand in its line. */
function mistakes(rule: string): string[] {
  writeFileSync(
    join(directory, 'segments', 'a.yaml'),
    `segments:\n  - id: a\n${BEFORE}${rule}\n  - id: other\n    when: { event: click }\n`,
  )
  try {
    loadSettings(directory, {})
    return []
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error
    expect(error.errors.map(({ line }) => line)).toEqual(error.errors.map(() => 3))
    return error.errors.map(({ column, message }) => `${column - BEFORE.length} ${message}`)
  }
}

describe('a rule', () => {
  it.each([
    '{ event: page_view, days: { gte: 3 }, within: 14d }',
    '{ sessions: { between: [1, 3] } }',
    '{ sum: { field: dwell_ms, gt: 0.5, lte: 100 } }',
    '{ sequence: [{ event: a }, { where: { campaign: x } }], gap: 30m, within: 7d }',
    '{ list: customers }',
    '{ where: { path: { matches: "^/cars/[0-9]+" } } }',
  ])('%s is good', (rule) => expect(mistakes(rule)).toEqual([]))

  it.each([
    ['{ evnt: page_view }', '3 unknown key `evnt` in a rule; did you mean `event`?'],
    ['{ event: page_view, dais: { gte: 1 } }', '21 unknown key `dais` in a rule; did you mean `days`?'],
    ['{ where: { campain: x } }', '12 unknown field `campain`; did you mean `campaign`?'],
    ['{ where: { campaign: { start_with: x } } }', '24 unknown operator `start_with` for campaign; did you mean `starts_with`?'],
    ['{ count: { gtee: 1 } }', '12 unknown comparison `gtee`; did you mean `gte`?'],
    ['{ segment: othr }', '12 unknown segment `othr`; did you mean `other`?'],
    ['{ count: { gte: 1 }, days: { gte: 1 } }', '22 `days` cannot stand beside `count`: a condition measures one thing'],
    ['{ days: { gte: 0 } }', '16 `gte: 0` holds for everybody'],
    ['{ days: { gte: 1.5 } }', '16 `days` is compared with a whole number from 0'],
    ['{ sessions: {} }', '13 `sessions` is empty'],
    ['{ sessions: { between: [3, 1] } }', '24 `between` is reversed: 3 is more than 1'],
    ['{ sum: { gte: 1 } }', '8 `sum` needs a `field`: value or dwell_ms'],
    ['{ sum: { field: cost, gte: 1 } }', '17 only value and dwell_ms can be summed'],
    ['{ sum: { field: value } }', '8 `sum` needs a comparison: gte, gt, lte, lt, eq or between'],
    [
      '{ sum: { field: value, gte: 0.1234567 } }',
      '29 a sum is compared with a decimal of at most 12 digits before and 6 after the point',
    ],
    ['{ sequence: [{ event: a }] }', '13 a sequence has 2 to 8 steps, not 1'],
    ['{ sequence: [] }', '13 `sequence` is empty'],
    ['{ sequence: [{ event: a }, {}] }', '28 a step is empty'],
    ['{ sequence: [{ event: a }, { event: b, within: 1d }] }', '40 unknown key `within` in a step; known: event, where'],
    ['{ sequence: [{ event: a }, { event: b }], gap: 91d }', '48 `gap` is longer than the retention of 90 days'],
    [
      '{ sequence: [{ event: a }, { event: b }], count: { gte: 1 } }',
      '43 `count` cannot stand beside `sequence`; it takes gap and within',
    ],
    ['{ list: Customers }', '9 a list id is lower-case letters, digits and `-`'],
    ['{ list: a, event: b }', '12 `event` cannot stand beside `list`: a rule is exactly one thing'],
  ])('%s', (rule, mistake) => expect(mistakes(rule)).toEqual([mistake]))

  it('with a pattern that RE2 refuses says so', () => {
    for (const pattern of ['(', 'a(?=b)', 'a{1001}', '(?<!a)b', '\\\\1'])
      expect(mistakes(`{ where: { path: { matches: "${pattern}" } } }`), pattern).toEqual([
        expect.stringMatching(/^29 `matches` of path: /),
      ])
  })
})
