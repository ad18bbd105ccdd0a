// What is allowed and hardly meant: warnings with their place, never errors.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { findUnseen } from '../../src/insight/unseen.ts'
import { loadSettings, type Settings } from '../../src/settings/load.ts'
import { anEvent, storeEvents } from '../support/events.ts'
import { openScratchStore } from '../support/store.ts'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'config-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

function load(when: string): Settings {
  mkdirSync(join(directory, 'segments'))
  writeFileSync(join(directory, 'segments', 'a.yaml'), `segments:\n  - id: a\n    when: ${when}\n`)
  return loadSettings(directory, {})
}
const warnings = (when: string): string[] =>
  load(when).warnings.map(({ line, column, message }) => `${line}:${column} ${message}`)

describe('a rule that nobody can satisfy', () => {
  it.each([
    ['{ days: { gte: 9 }, within: 7d }', '3:19 `days` cannot be reached: the window holds at most 8'],
    ['{ days: { gt: 8 }, within: 7d }', '3:19 `days` cannot be reached: the window holds at most 8'],
    ['{ days: { eq: 92 } }', '3:19 `days` cannot be reached: the window holds at most 91'],
    ['{ sessions: { gte: 2 }, within: 30m }', '3:23 `sessions` cannot be reached: the window holds at most 1'],
    ['{ sessions: { gte: 3 }, within: 1h }', '3:23 `sessions` cannot be reached: the window holds at most 2'],
    ['{ event: click, count: { gte: 5, lt: 5 } }', '3:34 no number satisfies all of `count`'],
    ['{ sum: { field: value, gt: 0.5, lte: 0.5 } }', '3:18 no number satisfies all of `sum`'],
    [
      '{ sequence: [{ event: a }, { event: b }], gap: 1d, within: 1d }',
      '3:58 `gap` is as long as the window: it excludes nothing',
    ],
  ])('%s is warned of', (when, message) => {
    expect(warnings(when)).toEqual([message])
  })

  it.each([
    '{ days: { gte: 8 }, within: 7d }',
    '{ days: { gte: 2 }, within: 1m }',
    '{ sessions: { gte: 2 }, within: 31m }',
    '{ event: click, count: { gte: 5, lte: 5 } }',
    '{ sum: { field: value, gt: 0.5, lt: 0.500002 } }',
    '{ sequence: [{ event: a }, { event: b }], gap: 23h, within: 1d }',
  ])('%s is not: it can just be reached', (when) => {
    expect(warnings(when)).toEqual([])
  })
})

describe('an event name that never came in', () => {
  it('is told with its place and what may be meant, once something has come in', async () => {
    const { named, retentionMs } = load('{ all: [{ event: [page_view, clik] }, { event: purchase }] }')
    const scratch = await openScratchStore()
    const unseen = async () =>
      (await findUnseen(scratch.store, named, retentionMs, Date.now())).map(
        ({ line, column, message }) => `${line}:${column} ${message}`,
      )
    expect(await unseen()).toEqual([])
    await storeEvents(scratch.store, [anEvent({ ts: Date.now() }), anEvent({ ts: Date.now(), event: 'click' })])
    expect(await unseen()).toEqual([
      '3:40 no event called `clik` has come in; did you mean `click`?',
      '3:58 no event called `purchase` has come in',
    ])
    await scratch.close()
  })
})
