// Imports against a real engine: each row exactly once, whatever happened before.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { RETENTION_MAX_MS } from '../../src/core/duration.ts'
import { StoreRefused } from '../../src/core/errors.ts'
import { ALL_PERMISSIONS, permissionSet } from '../../src/core/permissions.ts'
import { fourWeeks } from '../../src/engine/migrations/migration.ts'
import type { Store } from '../../src/engine/store.ts'
import { importEvents } from '../../src/imports/events.ts'
import { readLines } from '../../src/imports/lines.ts'
import { weeksOf } from '../../src/imports/pieces.ts'
import { visitorNumber } from '../support/events.ts'
import { sourcesOf } from '../support/sources.ts'
import { openScratchStore, type ScratchStore } from '../support/store.ts'

const sources = sourcesOf(
  [
    { id: 'crm', hosts: ['shop.example'], permissions: ALL_PERMISSIONS },
    { id: 'feed', hosts: undefined, permissions: permissionSet(['store', 'profile']) },
    { id: 'shut', hosts: undefined, permissions: 0 },
  ],
  { noSignal: 'deny' },
)
const settings = { sources, retentionMs: RETENTION_MAX_MS } as const

let scratch: ScratchStore
let files = 0
let event = ''
beforeAll(async () => {
  scratch = await openScratchStore()
})
afterAll(() => scratch.close())
beforeEach(() => {
  event = `imported_${++files}` // a name of its own for each test, in one store
})

const now = () => Date.now()
const row = (n: number, more: Record<string, unknown> = {}) =>
  JSON.stringify({ visitor: visitorNumber(n), ts: new Date(now() - 86_400_000 * n).toISOString(), source: 'crm', event, ...more })
function file(lines: readonly string[], name = `f${files}.ndjson`): string {
  const path = join(scratch.directory, name)
  const text = `${lines.join('\n')}\n`
  writeFileSync(path, name.endsWith('.gz') ? gzipSync(text) : text)
  return path
}
const run = (path: string, store: Store = scratch.store) =>
  importEvents({ file: path, store, settings, isOptedOut: () => false, now })
const stored = async () =>
  (
    await scratch.store.rows<{ n: number }>({
      owner: 'test',
      sql: 'SELECT count() AS n FROM madeleine.events WHERE event = {event:String}',
      values: { event },
    })
  )[0]?.n

describe('an import of events', () => {
  it('stores every row, also two equal ones, and the same file again stores nothing, packed or not', async () => {
    const lines = [row(1), row(2), row(40), row(1)]
    lines[3] = lines[0] ?? ''
    expect(await run(file(lines))).toEqual({ read: 4, stored: 4, rejected: 0, duplicates: 0, rejects: [] })
    expect(await run(file(lines))).toMatchObject({ read: 4, stored: 0, duplicates: 4 })
    expect(await run(file(lines, 'again.ndjson.gz'))).toMatchObject({ stored: 0, duplicates: 4 })
    expect(await stored()).toBe(4)
  })

  it('rejects line by line, with the reason, and stores the rest', async () => {
    const lines = [
      row(1),
      'no json',
      '[]',
      '',
      row(2, { visitor: 'jo@example.com' }),
      row(2, { ts: undefined }),
      row(2, { ts: '2026-11-20T10:00:00' }),
      row(2, { ts: now() - RETENTION_MAX_MS - 1_000 }),
      row(2, { ts: now() + 3_600_000 }),
      row(2, { source: 'unknown' }),
      row(2, { source: 'shut' }),
      row(2, { value: 'a lot' }),
      row(3, { device: 'mobile', country: 'DE', colour: 'ignored' }),
    ]
    const result = await run(file(lines))
    expect(result).toMatchObject({ read: 12, stored: 2, rejected: 10, duplicates: 0 })
    expect(result.rejects.map(({ line, reason }) => `${line} ${reason.split(':')[0]}`)).toEqual([
      '2 not_json',
      '3 not_json',
      '5 invalid_field',
      '6 invalid_field',
      '7 invalid_field',
      '8 too_old',
      '9 in_future',
      '10 unknown_source',
      '11 no_store',
      '12 invalid_field',
    ])
    expect(await stored()).toBe(2)
  })

  it('stores on a second import what was rejected at the first and is good now, and nothing twice', async () => {
    const path = file([row(1), row(2, { source: 'later' }), row(3), row(4, { source: 'later' })])
    expect(await run(path)).toMatchObject({ stored: 2, rejected: 2 })
    const later = new Map([...sources, ...sourcesOf([{ id: 'later' }])])
    const again = () =>
      importEvents({ file: path, store: scratch.store, settings: { ...settings, sources: later }, isOptedOut: () => false, now })
    expect(await again()).toMatchObject({ stored: 2, duplicates: 2, rejected: 0 })
    expect(await again()).toMatchObject({ stored: 0, duplicates: 4 })
    expect(await stored()).toBe(4)
  })

  it('knows again the rows of a file in no order of time', async () => {
    const days = Array.from({ length: 400 }, (_, n) => ((n * 37) % 80) + 1)
    const path = file(days.map((day, n) => row(n + 1, { ts: new Date(now() - day * 86_400_000).toISOString() })))
    expect(await run(path)).toMatchObject({ stored: 400, duplicates: 0 })
    expect(await run(path)).toMatchObject({ stored: 0, duplicates: 400 })
    expect(await stored()).toBe(400)
  })

  it('gives rows the permissions of their source', async () => {
    await run(file([row(1), row(2, { source: 'feed' })]))
    const rows = await scratch.store.rows<{ permissions: number }>({
      owner: 'test',
      sql: 'SELECT permissions FROM madeleine.events WHERE event = {event:String} ORDER BY visitor',
      values: { event },
    })
    expect(rows.map((one) => one.permissions)).toEqual([ALL_PERMISSIONS, permissionSet(['store', 'profile'])])
  })

  it('cut off at any statement, and run again, stores every row once', async () => {
    const lines = Array.from({ length: 6 }, (_, n) => row(n * 14 + 1)) // three or four blocks
    const path = file(lines)
    let runs = 0
    for (let statements = 1; ; statements++) {
      let left = statements
      const dying: Store = {
        ...scratch.store,
        async insertLines(insert) {
          if (left-- <= 0) throw new StoreRefused(999, 'killed')
          await scratch.store.insertLines(insert)
          if (left === 0) throw new StoreRefused(999, 'killed after it was stored')
        },
      }
      runs++
      const done = await run(path, dying).then(
        () => true,
        () => false,
      )
      if (done) break
    }
    expect(runs).toBeGreaterThan(2)
    expect(await stored()).toBe(6)
    expect(await run(path)).toMatchObject({ stored: 0, duplicates: 6 })
  })
})

describe('an import that is not alone, or was cut off', () => {
  const only = (...ids: string[]) => ({ ...settings, sources: new Map([...sources, ...sourcesOf(ids.map((id) => ({ id })))]) })
  const importAs = (path: string, known: typeof settings, store: Store = scratch.store) =>
    importEvents({ file: path, store, settings: known, isOptedOut: () => false, now })
  /** Each visitor's rows. */
  const counted = async () =>
    scratch.store.rows<{ n: number }>({
      owner: 'test',
      sql: 'SELECT count() AS n FROM madeleine.events WHERE event = {event:String} GROUP BY visitor ORDER BY visitor',
      values: { event },
    })
  const dyingAt = (statement: number, isAfter: boolean): Store => {
    let left = statement
    return {
      ...scratch.store,
      async insertLines(insert) {
        if (left-- <= 0 && !isAfter) throw new StoreRefused(999, 'killed')
        await scratch.store.insertLines(insert)
        if (left < 0) throw new StoreRefused(999, 'killed after it was stored')
      },
    }
  }

  it('loses no row that was announced, rejected at the second run and good at the third', async () => {
    const path = file([row(1), row(2), row(3, { source: 'later' }), row(4, { source: 'later' })])
    await expect(importAs(path, only('later'), dyingAt(1, false))).rejects.toThrow('killed')
    expect(await importAs(path, settings)).toMatchObject({ stored: 2, rejected: 2 })
    expect(await importAs(path, only('later'))).toMatchObject({ stored: 2, duplicates: 2, rejected: 0 })
    expect(await counted()).toEqual(Array(4).fill({ n: 1 }))
  })

  it('beside another one that takes more of the file loses none of it', async () => {
    const path = file([row(1), row(2), row(3, { source: 'later' }), row(50, { source: 'later' })])
    const both = await Promise.all([importAs(path, settings), importAs(path, only('later'))])
    expect(both.map(({ stored, duplicates }) => stored + duplicates)).toEqual([2, 4])
    expect(await importAs(path, only('later'))).toMatchObject({ rejected: 0 })
    expect(await counted()).toEqual(Array(4).fill({ n: 1 }))
  })

  it('two at once, each cut off anywhere, and a third: every row once', async () => {
    for (let trial = 0; trial < 24; trial++) {
      event = `cut_${files}_${trial}`
      const path = file(
        [row(1), row(2), row(3, { source: 'later' }), row(40), row(41, { source: 'later' })],
        `cut-${trial}.ndjson`,
      )
      const first = importAs(path, trial % 3 === 0 ? settings : only('later'), dyingAt(trial % 5, trial % 2 === 0))
      const second = importAs(path, trial % 4 === 1 ? settings : only('later'), dyingAt((trial * 3) % 7, trial % 3 === 1))
      await Promise.allSettled([first, second])
      expect(await importAs(path, only('later')), `trial ${trial}`).toMatchObject({ rejected: 0 })
      expect(
        (await counted()).map(({ n }) => n),
        `trial ${trial}`,
      ).toEqual(Array(5).fill(1))
    }
  })

  it('of a file that changes under it fails, and says so', async () => {
    const path = file(Array.from({ length: 10 }, (_, n) => row(n + 1)))
    let isFirst = true
    const changing = importEvents({
      file: path,
      store: scratch.store,
      settings,
      isOptedOut: () => false,
      now() {
        if (isFirst) file([row(1), row(2, { device: 'tv' })])
        isFirst = false
        return Date.now()
      },
    })
    await expect(changing).rejects.toThrow('was changed while it was imported')
    expect(await counted()).toEqual([])
  })
})

it('blocks are cut as the engine cuts its partitions, on every day', async () => {
  const days = await scratch.store.rows<{ ts: number; weeks: number }>({
    owner: 'test',
    sql: `SELECT number * 86400000 AS ts, ${fourWeeks("fromUnixTimestamp64Milli(toInt64(ts), 'UTC')")} AS weeks FROM numbers(20000, 1000)`,
  })
  expect(days).toHaveLength(1_000)
  for (const { ts, weeks } of days) expect([weeksOf(ts), weeksOf(ts + 86_399_999)]).toEqual([weeks, weeks])
})

describe('lines of a file', () => {
  async function linesOf(chunks: readonly string[], max = 10) {
    const bytes = (async function* () {
      for (const chunk of chunks) yield Buffer.from(chunk)
    })()
    const all = []
    for await (const lines of readLines(bytes, max)) all.push(...lines)
    return all.map(({ number, text }) => `${number}:${text}`)
  }

  it('are found across pieces, with either line end, and without a last one', async () => {
    expect(await linesOf(['a\nb', 'c\r\n', '\n', 'd'])).toEqual(['1:a', '2:bc', '3:', '4:d'])
  })

  it('that are too long are named and not kept in memory, and the next one is read', async () => {
    expect(await linesOf(['12345', '67890', '12345', '\nok\n', 'x'.repeat(50)])).toEqual(['1:undefined', '2:ok', '3:undefined'])
  })
})
