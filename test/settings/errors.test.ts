// A broken configuration: every mistake at its line and column, all at once.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { DAY_MS } from '../../src/core/duration.ts'
import { ConfigurationError } from '../../src/settings/files.ts'
import { loadSettings } from '../../src/settings/load.ts'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'config-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

function write(files: Record<string, string>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true })
    writeFileSync(join(directory, name), text)
  }
}
/** `line:column message` of every error. */
function errors(files: Record<string, string>, environment: Record<string, string> = {}): string[] {
  write(files)
  try {
    loadSettings(directory, environment)
    return []
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error
    return error.errors.map(({ line, column, message }) => `${line}:${column} ${message}`)
  }
}
const segment = (when: string, more = '') => ({ 'segments/a.yaml': `segments:\n  - id: a\n    when: ${when}\n${more}` })

describe('a configuration', () => {
  it('may be empty: every file may be absent', () => {
    expect(errors({})).toEqual([])
    expect(errors({ 'sources.yaml': '', 'segments/empty.yaml': '# nothing yet\n' })).toEqual([])
  })

  it('takes its defaults from the contract', () => {
    expect(loadSettings(directory, {})).toMatchObject({ retentionMs: 90 * DAY_MS, noSignal: 'deny', destinations: [] })
  })

  it('says when the spool reaches the disk, and how large it may become', () => {
    expect(loadSettings(directory, {}).spool).toEqual({ sync: { everyMs: 1_000 }, maxBytes: 20 * 2 ** 30 })
    const spool = (text: string) => ({ 'settings.yaml': `spool: ${text}\n` })
    for (const [text, read] of [
      ['batch', 'batch'],
      ['never', 'never'],
      ['200ms', { everyMs: 200 }],
      ['10s', { everyMs: 10_000 }],
    ] as const) {
      expect(errors(spool(`{ sync: ${text}, max_size: 16MiB }`))).toEqual([])
      expect(loadSettings(directory, {}).spool).toEqual({ sync: read, maxBytes: 16 * 2 ** 20 })
    }
    for (const text of ['always', '5ms', '11s', '1m', '0s'])
      expect(errors(spool(`{ sync: ${text} }`)), text).toEqual([expect.stringContaining('1:16 `sync`: `batch`')])
    expect(errors(spool('{ max_size: 15MiB }'))).toEqual(['1:20 `max_size`: at least 16MiB'])
  })

  it('that does not exist is an error', () => {
    expect(() => loadSettings(join(directory, 'nowhere'), {})).toThrow(/no such configuration directory/)
  })

  it('reports all mistakes of all files together', () => {
    const found = errors({
      'settings.yaml': 'retention: 91d\nconsnet: { no_signal: allow }\n',
      'sources.yaml': 'sources:\n  - id: News\n  - id: ok\n  - id: ok\n',
      ...segment('{ event: page_view, count: { gte: 0 } }'),
    })
    expect(found).toEqual([
      '3:45 `gte: 0` holds for everybody',
      '1:12 `retention`: retention is at most 90d',
      '2:1 unknown key `consnet`',
      expect.stringContaining('2:9 `id`: a source id is'),
      '4:9 `ok` is defined twice',
    ])
  })

  it.each([
    ['{}', '3:11 a rule is empty'],
    ['[]', '3:11 a rule must be a mapping, not a list'],
    ['{ all: [] }', '3:18 `all` is empty'],
    ['{ any: { event: a } }', '3:18 `any` must be a list, not a mapping'],
    ['{ all: [{ event: a }], within: 1d }', '3:34 `within` cannot stand beside `all`: a rule is exactly one thing'],
    ['{ segment: other }', '3:22 unknown segment `other`'],
    ['{ segment: a }', '3:22 cycle: a -> a'],
    ['{ evnt: page_view }', '3:13 unknown key `evnt`'],
    ['{ event: Page }', '3:20 an event name is'],
    ['{ event: [] }', '3:20 `event` is empty'],
    ['{ where: {} }', '3:20 `where` is empty'],
    ['{ where: { categry: "1" } }', '3:22 unknown field `categry`'],
    ['{ where: { category: 1 } }', '3:32 category is text: write "1" in quotes'],
    ['{ where: { campaign: "" } }', '3:32 campaign is empty'],
    ['{ where: { campaign: [] } }', '3:32 `in` is empty'],
    ['{ where: { campaign: {} } }', '3:32 the matcher of campaign is empty'],
    ['{ where: { campaign: { equals: x } } }', '3:34 unknown operator `equals`'],
    ['{ where: { campaign: { gt: 5 } } }', '3:34 unknown operator `gt`'],
    ['{ where: { cost: { gt: 5 } } }', '3:30 `gt` exists for value, dwell_ms and attr.* only'],
    ['{ where: { value: "5" } }', '3:29 value is a number'],
    ['{ where: { value: 0.0000001 } }', '3:29 value holds decimals'],
    ['{ where: { attr.Price: x } }', '3:22 unknown field `attr.Price`'],
    ['{ where: { keyword: { exists: 1 } } }', '3:41 `exists` must be true or false'],
    ['{ event: a, within: 91d }', '3:31 `within` is longer than the retention of 90 days'],
    ['{ event: a, within: 2 weeks }', '3:31 a duration is'],
    ['{ event: a, within: 0d }', '3:31 a duration is'],
    ['{ event: a, count: {} }', '3:30 `count` is empty'],
    ['{ event: a, count: 3 }', '3:30 `count` must be a mapping'],
    ['{ event: a, count: { gte: 1.5 } }', '3:37 a count is compared with a whole number'],
    ['{ event: a, count: { atleast: 1 } }', '3:32 unknown comparison `atleast`'],
    ['{ event: a, count: { between: [5, 2] } }', '3:41 `between` is reversed'],
    ['{ event: a, count: { between: [5] } }', '3:41 `between` takes two numbers'],
  ])('refuses the rule %s', (when, expected) => {
    const found = errors(segment(when))
    expect(found).toHaveLength(1)
    expect(found[0]).toContain(expected)
  })

  it('refuses a cycle over several segments once at each', () => {
    const found = errors({
      'segments/a.yaml': 'segments:\n  - { id: a, when: { segment: b } }\n  - { id: b, when: { not: { segment: a } } }\n',
    })
    expect(found).toHaveLength(2)
    expect(found[0]).toContain('cycle: a -> b -> a')
  })

  it('does not call a segment unknown whose own file cannot be read', () => {
    const found = errors({
      'segments/a.yaml': 'segments:\n  - { id: a, when: { segment: b } }\n',
      'segments/b.yaml': 'segments: [\n',
    })
    expect(found.length).toBeGreaterThan(0)
    for (const message of found) expect(message).not.toContain('unknown segment')
  })

  it('names the place of a mistake in YAML itself', () => {
    expect(errors({ 'sources.yaml': 'sources:\n  - id: a\n   name: b\n' })[0]).toMatch(/^3:/)
    expect(errors({ 'sources.yaml': 'sources: []\nsources: []\n' })[0]).toMatch(/^2:1 /)
  })

  it('refuses tests of a segment that cannot run', () => {
    const test = (event: string, more: string) => `    tests:\n      - name: t\n        events: [${event}]\n${more}`
    const at = '        at: 2026-11-21T12:00:00Z\n        expect: in\n'
    expect(errors(segment('{ event: a }', test('{ ts: yesterday }', at)))).toEqual([
      expect.stringContaining('6:24 `ts` is a moment'),
    ])
    expect(errors(segment('{ event: a }', test('{ ts: 2026-11-21T10:00:00Z, colour: red }', at)))).toEqual([
      expect.stringContaining('unknown field `colour`'),
    ])
    expect(errors(segment('{ event: a }', test('', '        expect: in\n')))).toEqual([
      expect.stringContaining('`at` is a moment'),
    ])
    expect(errors(segment('{ event: a }', test('', '        at: 2026-11-21T12:00:00Z\n        expect: maybe\n')))).toHaveLength(1)
  })

  it('refuses destinations of unknown audiences, connectors and formats', () => {
    const destination = (text: string) => ({
      ...segment('{ event: a }'),
      'destinations/d.yaml': `destinations:\n  - id: d\n${text}`,
    })
    const good = '    connector: file\n    settings: { path: out }\n    audiences: [{ audience: a }]\n'
    expect(errors(destination(good))).toEqual([])
    expect(errors(destination(good.replace('audience: a', 'audience: b')))).toEqual(['5:29 unknown audience `b`'])
    const listed = { ...destination(good.replace('audience: a', 'audience: crm-list')), ...segment('{ list: crm-list }') }
    expect(errors(listed)).toEqual([]) // a list that some rule names
    const mistaken = { ...destination(good.replace('audience: a', 'audience: crm-lst')), ...segment('{ list: crm-list }') }
    expect(errors(mistaken)).toEqual(['5:29 unknown audience `crm-lst`; did you mean `crm-list`?'])
    expect(errors(destination(good.replace('file', 'ftp')))).toEqual([expect.stringMatching(/^3:16 .*connector/)])
    expect(errors(destination(good.replace('audience: a', 'audience: a, as: ../up')))).toEqual([
      expect.stringMatching(/^5:36 .*`as`/),
    ])
    expect(errors(destination(good.replace('path: out', 'path: out, format: parquet')))).toEqual([
      expect.stringMatching(/^4:36 .*format/),
    ])
  })

  it('replaces variables from the environment, and names the one that is not set', () => {
    const files = {
      ...segment('{ event: a }'),
      'destinations/d.yaml': `destinations:\n  - id: d\n    connector: file\n    settings: { path: "$\{OUT}/x" }\n    audiences: [{ audience: a }]\n`,
    }
    expect(errors(files)).toEqual(['4:23 environment variable OUT is not set'])
    write(files)
    expect(loadSettings(directory, { OUT: '/srv' }).destinations[0]?.path).toBe('/srv/x')
  })

  it('refuses files that this version does not know', () => {
    expect(errors({ 'setings.yaml': 'retention: 30d\n' })).toEqual([expect.stringContaining('unknown file')])
  })
})
