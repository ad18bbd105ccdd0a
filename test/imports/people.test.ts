// Files that name visitors by a partner's id, CSV, and lists of several in one file, against a real engine.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DAY_MS, RETENTION_MAX_MS } from '../../src/core/duration.ts'
import type { AudienceId, VisitorId } from '../../src/core/ids.ts'
import type { PartnerKey } from '../../src/identity/matches.ts'
import { importEvents } from '../../src/imports/events.ts'
import { importList } from '../../src/imports/list.ts'
import { importMatches } from '../../src/imports/matches.ts'
import { CURRENT_IMPORTS } from '../../src/rules/imported.ts'
import { visitorNumber } from '../support/events.ts'
import { sourcesOf } from '../support/sources.ts'
import { openScratchStore, type ScratchStore } from '../support/store.ts'

const settings = { sources: sourcesOf([{ id: 'crm' }]), retentionMs: RETENTION_MAX_MS }
const now = () => Date.now()
const at = new Date(Date.now() - DAY_MS).toISOString()

let scratch: ScratchStore
beforeAll(async () => {
  scratch = await openScratchStore()
})
afterAll(() => scratch.close())

function write(name: string, lines: readonly string[]): string {
  const path = join(scratch.directory, name)
  writeFileSync(path, lines.join('\n'))
  return path
}
const rejectsPath = () => join(scratch.directory, 'rejects.ndjson')
const events = (path: string, optedOut?: VisitorId) =>
  importEvents({
    file: path,
    store: scratch.store,
    settings,
    isOptedOut: (id) => id === optedOut,
    now,
    rejectsPath: rejectsPath(),
  })
const matches = (lines: readonly string[], partner = 'ttd', optedOut?: VisitorId) =>
  importMatches({
    file: write('matches.csv', lines),
    partner: partner as PartnerKey,
    store: scratch.store,
    isOptedOut: (id) => id === optedOut,
    now,
  })
const list = (lines: readonly string[], id?: string, keepMs = RETENTION_MAX_MS, optedOut?: VisitorId) =>
  importList({
    isOptedOut: (one) => one === optedOut,
    file: write('list.csv', lines),
    list: id as AudienceId | undefined,
    refuse: (one) => (one === 'taken' ? 'is a segment' : undefined),
    store: scratch.store,
    now,
    retentionMs: RETENTION_MAX_MS,
    keepMs,
  })
const rows = <Row>(sql: string) => scratch.store.rows<Row>({ owner: 'test', sql })

describe('CSV', () => {
  it('is read by the names of its head, in any order, with lists, numbers, attributes and quoted lines', async () => {
    const path = write('events.csv', [
      '\uFEFFts,source,event,visitor,category,value,attr.plan,campaign,unknown',
      `${at},crm,csv_event,${visitorNumber(1).toUpperCase()},"1,2",19.90,gold,"two`,
      `""lines""",x`,
      `${Date.parse(at)},crm,csv_event,${visitorNumber(2)},,,,,`,
      `${at},crm,csv_event,${visitorNumber(2)},,a lot,,,`,
      `${at},crm,csv_event`,
      `${at},crm,csv_event,nobody,,,,,`,
      `${at},nowhere,csv_event,${visitorNumber(2)},,,,,`,
      `,crm,csv_event,${visitorNumber(2)},,,,,`,
    ])
    const result = await events(path)
    expect(result).toMatchObject({ read: 7, stored: 2, rejected: 5, duplicates: 0 })
    expect(result.rejects.map(({ line, reason }) => `${line} ${reason}`)).toEqual([
      expect.stringMatching(/^5 invalid_field: value /),
      '6 not_csv: 3 cells, and the head has 9',
      expect.stringMatching(/^7 invalid_field: visitor /),
      expect.stringMatching(/^8 unknown_source: /),
      '9 invalid_field: ts is missing',
    ])
    expect(
      await rows(
        `SELECT toString(visitor) AS v, category, toString(value) AS value, attr['plan'] AS plan, campaign, toUnixTimestamp64Milli(ts) AS ts
         FROM madeleine.events WHERE event = 'csv_event' ORDER BY v`,
      ),
    ).toEqual([
      { v: visitorNumber(1), category: ['1', '2'], value: '19.9', plan: 'gold', campaign: 'two\n"lines"', ts: Date.parse(at) },
      { v: visitorNumber(2), category: [], value: null, plan: '', campaign: '', ts: Date.parse(at) },
    ])
    expect(await events(path)).toMatchObject({ stored: 0, duplicates: 2, rejected: 5 })
  })

  it('writes every reject to a file, and a file that is refused leaves none', async () => {
    const path = write('bad.csv', ['visitor,ts,source', ...Array.from({ length: 1_500 }, () => 'x,y,z')])
    const result = await events(path)
    expect(result).toMatchObject({ rejected: 1_500, rejects_file: rejectsPath() })
    expect(result.rejects).toHaveLength(1_000)
    const written = readFileSync(rejectsPath(), 'utf8').trimEnd().split('\n')
    expect([written.length, JSON.parse(written.at(-1) ?? '')]).toEqual([
      1_500,
      { line: 1_501, reason: 'invalid_field: visitor must be a UUID, or partner:<key>:<id>' },
    ])
    const headless = write('headless.csv', [`${visitorNumber(1)},${at},crm`])
    await expect(events(headless)).rejects.toMatchObject({ code: 'usage', message: expect.stringContaining('`visitor`, `ts`') })
    expect(readdirSync(scratch.directory).filter((name) => name.endsWith('.tmp'))).toEqual([])
    const twice = write('twice.csv', ['visitor,ts,source,source', `${visitorNumber(1)},${at},crm,crm`])
    await expect(events(twice)).rejects.toThrow('`source` is there twice')
  })
})

describe("partners' ids", () => {
  it('come into the match table, and name visitors in files of events and lists', async () => {
    const given = [
      'visitor,partner_id',
      `${visitorNumber(1)},first`,
      `${visitorNumber(2)},b`,
      `${visitorNumber(1)},a`,
      `${visitorNumber(3)},0`,
      `nobody,c`,
      `${visitorNumber(9)},out`,
      `${visitorNumber(4)}`,
    ]
    const result = await matches(given, 'ttd', visitorNumber(9))
    expect(result).toMatchObject({ read: 7, stored: 2, duplicates: 1, rejected: 4 })
    expect(result.rejects.map(({ line, reason }) => `${line} ${reason.split(':')[0]}`)).toEqual([
      '5 invalid_field',
      '6 invalid_field',
      '7 opt_out',
      '8 not_csv',
    ])
    const line = (visitor: string) => JSON.stringify({ visitor, ts: at, source: 'crm', event: 'matched' })
    const path = write('partners.ndjson', [
      line('partner:ttd:a'),
      line('partner:TTD:b'),
      line('partner:ttd:first'),
      line('partner:other:a'),
      line('partner:ttd:'),
      line(visitorNumber(7)),
    ])
    const stored = await events(path)
    expect(stored).toMatchObject({ read: 6, stored: 3, rejected: 3 })
    expect(stored.rejects.map(({ line: n, reason }) => `${n} ${reason.split(':')[0]}`)).toEqual([
      '3 unknown_match',
      '4 unknown_match',
      '5 invalid_field',
    ])
    // What nobody knew then may be known now: the same file again stores it, and nothing twice.
    await matches([`${visitorNumber(5)},first`])
    expect(await events(path)).toMatchObject({ stored: 1, duplicates: 3, rejected: 2 })
    expect(await rows(`SELECT DISTINCT toString(visitor) AS v FROM madeleine.events WHERE event = 'matched' ORDER BY v`)).toEqual(
      [1, 2, 5, 7].map((n) => ({ v: visitorNumber(n) })),
    )
    expect(await list(['partner:ttd:b', 'partner:ttd:nobody'], 'from-ttd')).toMatchObject({ stored: 1, rejected: 1 })
  })

  it('are looked up by the thousand', async () => {
    const ids = Array.from({ length: 5_000 }, (_, n) => `4f5e9b2c-1111-4222-8333-${String(n).padStart(12, '0')}`)
    await matches(ids.map((id, n) => `${visitorNumber(1_000 + n)},${id}`))
    const rowsOfThem = ids.map((id) => JSON.stringify({ visitor: `partner:ttd:${id}`, ts: at, source: 'crm', event: 'many' }))
    expect(await events(write('many.ndjson', rowsOfThem))).toMatchObject({ stored: 5_000, rejected: 0 })
    expect(await rows(`SELECT uniqExact(visitor) AS n FROM madeleine.events WHERE event = 'many'`)).toEqual([{ n: 5_000 }])
  })

  it('of a visitor who opted out name nobody any more', async () => {
    await matches([`${visitorNumber(8)},h`])
    const path = write('out.ndjson', [JSON.stringify({ visitor: 'partner:ttd:h', ts: at, source: 'crm', event: 'gone' })])
    expect(await events(path, visitorNumber(8))).toMatchObject({ stored: 0, rejects: [{ line: 1, reason: 'opt_out' }] })
  })
})

describe('lists', () => {
  const members = (id: string) =>
    rows<{ v: string }>(
      `SELECT DISTINCT toString(visitor) AS v FROM madeleine.list_members WHERE list = '${id}' AND (list, generation) IN (${CURRENT_IMPORTS}) ORDER BY v`,
    ).then((found) => found.map(({ v }) => v))

  it('may be several in one file, each replaced by itself', async () => {
    const both = ['visitor,list', `${visitorNumber(1)},gold`, `${visitorNumber(2)},gold`, `${visitorNumber(2)},silver`]
    const result = await list([...both, `${visitorNumber(2)},gold`, `${visitorNumber(3)},Not an id`, `${visitorNumber(3)},taken`])
    expect(result).toMatchObject({ read: 6, stored: 3, duplicates: 1, rejected: 2 })
    expect(result.rejects.map(({ line }) => line)).toEqual([6, 7])
    await list([visitorNumber(4)], 'gold')
    expect([await members('gold'), await members('silver')]).toEqual([[visitorNumber(4)], [visitorNumber(2)]])
  })

  it('without a name, and without names in the file, are refused; a file of nothing but rejects leaves the list as it was', async () => {
    await expect(list([visitorNumber(1)])).rejects.toMatchObject({ code: 'usage' })
    await list([visitorNumber(1)], 'kept')
    expect(await list(['nobody', 'nothing'], 'kept')).toMatchObject({ stored: 0, rejected: 2 })
    expect(await members('kept')).toEqual([visitorNumber(1)])
  })

  it('hold nobody who opted out', async () => {
    const result = await list([visitorNumber(1), visitorNumber(2)], 'mixed', RETENTION_MAX_MS, visitorNumber(2))
    expect(result).toMatchObject({ stored: 1, rejects: [{ line: 2, reason: 'opt_out' }] })
    expect(await members('mixed')).toEqual([visitorNumber(1)])
  })

  it('that drew the same number at once do not end each other', async () => {
    const at = Date.now()
    const rows = ['one', 'other'].map(
      (id, n) => `${JSON.stringify({ list: id, generation: at, visitor: visitorNumber(n), at })}\n`,
    )
    const insert = (into: string, lines: string) => scratch.store.insertLines({ owner: 'test', into, lines: Buffer.from(lines) })
    await insert('madeleine.list_members (list, generation, visitor, at)', rows.join(''))
    const done = ['one', 'other'].map((id) => `${JSON.stringify({ list: id, generation: at, size: 1, at })}\n`)
    await insert('madeleine.list_imports (list, generation, size, at)', done.join(''))
    await list([visitorNumber(5)], 'one')
    expect([await members('one'), await members('other')]).toEqual([[visitorNumber(5)], [visitorNumber(1)]])
  })

  it('end when they say so, and an older import does not come back', async () => {
    await list([visitorNumber(1)], 'short')
    expect(await members('short')).toEqual([visitorNumber(1)])
    await list([visitorNumber(2)], 'short', 1)
    const isOver = async () =>
      (await rows<{ n: number }>(`SELECT toUnixTimestamp64Milli(now64(3)) > ${Date.now()} AS n`))[0]?.n === 1
    while (!(await isOver()));
    expect(await members('short')).toEqual([])
  })
})
