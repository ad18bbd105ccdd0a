// Known damage, of a spool that is left behind and shipped by the next process: good lines are stored once, the others lie in `aside/` with a reason, and nothing keeps the spool
// from opening.

import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parseSpoolName, spoolName } from '../../src/spool/names.ts'
import { openSpool, type Spool } from '../../src/spool/spool.ts'
import { anEvent, visitorNumber } from '../support/events.ts'
import { type MemoryServer, memoryServer } from '../support/memory-store.ts'

const TS = Date.parse('2026-11-20T12:00:00Z')
const WEEK_MS = 7 * 86_400_000

let data: string
let server: MemoryServer
beforeEach(() => {
  data = mkdtempSync(join(tmpdir(), 'damage-'))
  server = memoryServer()
})
afterEach(() => rmSync(data, { recursive: true, force: true }))

const open = (on = server): Promise<Spool> =>
  openSpool({ data, store: on.connect().store, now: () => TS, prepare: async () => {}, sync: 'never', maxBytes: 2 ** 30 })
const spool = (name = '') => join(data, 'spool', name)
const names = () => readdirSync(spool()).filter((name) => parseSpoolName(name) !== undefined)

/** Events of visitors 1 to `count` in the week of `ts`, left in one closed file. Its name. */
async function left(count: number, ts = TS): Promise<string> {
  const before = new Set(names1())
  const writing = await open(memoryServer(() => 'away'))
  await writing.append(Array.from({ length: count }, (_, i) => anEvent({ ts, visitor: visitorNumber(i + 1) })))
  await writing.close(0)
  const [name = ''] = names().filter((one) => !before.has(one))
  expect(parseSpoolName(name)?.state).toBe('ready')
  return name
}
const names1 = () => {
  try {
    return names()
  } catch {
    return []
  }
}
/** Opens the spool, ships it, and says who is stored (in order) and what was set aside. */
async function shipped() {
  const opened = await open()
  await opened.ship()
  const counts = opened.counts
  await opened.close(0)
  expect(counts.bytesWaiting).toBe(0)
  const stored = server.stored.map(({ row }) => Number.parseInt(String(row['visitor']).slice(0, 8), 16)).sort((a, b) => a - b)
  return { stored, aside: aside(), linesAside: counts.linesAside }
}
function aside(): { reason: string; line: string }[] {
  const directory = readdirSync(spool()).includes('aside') ? readdirSync(spool('aside')).sort() : []
  return directory.flatMap((name) => {
    if (name.endsWith('.reason')) return [{ reason: readFileSync(spool(`aside/${name}`), 'utf8').trim(), line: '' }]
    if (!name.endsWith('.ndjson')) return []
    const lines = readFileSync(spool(`aside/${name}`), 'utf8')
      .trim()
      .split('\n')
    return lines.map((text) => JSON.parse(text) as { reason: string; line: string })
  })
}
const reasons = (of: readonly { reason: string }[]) => of.map(({ reason }) => reason.split(':')[0])

const lines = (name: string) => readFileSync(spool(name), 'utf8').split('\n').slice(0, -1)
const put = (name: string, all: readonly string[]) => writeFileSync(spool(name), all.map((line) => `${line}\n`).join(''))
/** Where line `n` (from 0) begins in the file. */
const startOf = (name: string, n: number) =>
  lines(name)
    .slice(0, n)
    .reduce((bytes, line) => bytes + line.length + 1, 0)

describe('a damaged spool', () => {
  it('that is not damaged is stored whole', async () => {
    await left(5)
    expect(await shipped()).toEqual({ stored: [1, 2, 3, 4, 5], aside: [], linesAside: 0 })
  })

  it('truncated in the middle of a line keeps the lines before it', async () => {
    const name = await left(5)
    truncateSync(spool(name), startOf(name, 3) + 40)
    const { stored, aside, linesAside } = await shipped()
    expect(stored).toEqual([1, 2, 3])
    expect(reasons(aside)).toEqual(['torn'])
    expect(aside[0]?.line).toMatch(/^\{"batch":"\d+","ts":/)
    expect(linesAside).toBe(1)
  })

  it('torn while it was written, and still open, keeps the lines before it', async () => {
    const name = await left(3)
    renameSync(spool(name), spool(name.replace('.ready', '.open')))
    appendFileSync(spool(name.replace('.ready', '.open')), `{"batch":"${parseSpoolName(name)?.batch}","ts":17`)
    const { stored, aside } = await shipped()
    expect({ stored, reasons: reasons(aside) }).toEqual({ stored: [1, 2, 3], reasons: ['torn'] })
  })

  it('with a tail of zeros, as a power cut leaves it, keeps the lines before it, and does not keep the zeros', async () => {
    const name = await left(3)
    appendFileSync(spool(name), Buffer.alloc(100_000))
    const { stored, aside } = await shipped()
    expect({ stored, aside }).toEqual({ stored: [1, 2, 3], aside: [{ reason: expect.stringContaining('torn'), line: '\0' }] })
  })

  it('with a block of zeros in the middle keeps the lines around it, and says how many are gone', async () => {
    const name = await left(9)
    const bytes = readFileSync(spool(name))
    bytes.fill(0, startOf(name, 2) + 10, startOf(name, 6) + 10)
    writeFileSync(spool(name), bytes)
    const { stored, aside } = await shipped()
    expect(stored).toEqual([1, 2, 8, 9])
    expect(reasons(aside)).toEqual(['damaged', 'missing'])
    expect(aside[1]?.reason).toBe('missing: 4 lines of this file are gone')
  })

  it('with a closed file that is empty says that its lines are gone', async () => {
    truncateSync(spool(await left(3)), 0)
    const { stored, aside } = await shipped()
    expect({ stored, reasons: reasons(aside) }).toEqual({ stored: [], reasons: ['missing'] })
  })

  it('stores no line in which a byte has changed, wherever it is and although it is still JSON', async () => {
    const name = await left(3)
    const whole = readFileSync(spool(name))
    const start = startOf(name, 1)
    const end = startOf(name, 2)
    for (let at = start; at < end - 1; at++) {
      server = memoryServer()
      const bytes = Buffer.from(whole)
      bytes[at] = (bytes[at] ?? 0) ^ 1
      rmSync(spool('aside'), { recursive: true, force: true })
      writeFileSync(spool(name), bytes)
      const { stored, aside } = await shipped()
      // A byte that becomes a newline cuts the line in two.
      expect({ at: at - start, stored, reasons: new Set(reasons(aside)) }).toMatchObject({
        stored: [1, 3],
        reasons: new Set(['damaged']),
      })
    }
  })

  it('with a newline lost sets the two lines aside that have become one, and keeps the rest', async () => {
    const name = await left(4)
    const bytes = readFileSync(spool(name))
    bytes[startOf(name, 2) - 1] = 0x20
    writeFileSync(spool(name), bytes)
    const { stored, aside } = await shipped()
    expect({ stored, reasons: reasons(aside) }).toEqual({ stored: [1, 4], reasons: ['damaged', 'missing'] })
  })

  it('with its lines in another order stores them all', async () => {
    const name = await left(4)
    put(name, lines(name).reverse())
    expect(await shipped()).toMatchObject({ stored: [1, 2, 3, 4], aside: [] })
  })

  it('with a line twice stores it once', async () => {
    const name = await left(3)
    put(
      name,
      lines(name).flatMap((line, i) => (i === 1 ? [line, line] : [line])),
    )
    const { stored, aside } = await shipped()
    expect({ stored, reasons: reasons(aside) }).toEqual({ stored: [1, 2, 3], reasons: ['repeated'] })
  })

  it('stores two equal events that were sent as two: equal lines are told apart', async () => {
    const writing = await open(memoryServer(() => 'away'))
    const same = anEvent({ ts: TS, visitor: visitorNumber(1) })
    await writing.append([same, same])
    await writing.close(0)
    expect(await shipped()).toMatchObject({ stored: [1, 1], aside: [] })
  })

  it('with the lines of two files mixed stores those that are where they belong', async () => {
    const [one, two] = [await left(3), await left(3)]
    const [ofOne, ofTwo] = [lines(one), lines(two)]
    put(one, [...ofOne.slice(0, 2), ...ofTwo.slice(2)])
    put(two, [...ofTwo.slice(0, 2), ...ofOne.slice(2)])
    const { stored, aside } = await shipped()
    expect(stored).toEqual([1, 1, 2, 2])
    expect(reasons(aside)).toEqual(['damaged', 'damaged'])
  })

  it('with a copy of a file under another number stores the events once', async () => {
    const name = await left(3)
    const parsed = parseSpoolName(name)
    if (!parsed) throw new Error(name)
    copyFileSync(spool(name), spool(spoolName({ ...parsed, batch: parsed.batch + 1n })))
    const { stored, aside } = await shipped()
    expect({ stored, reasons: reasons(aside) }).toEqual({ stored: [1, 2, 3], reasons: ['damaged', 'damaged', 'damaged'] })
  })

  it.each(['20261109', 'matches'])('with a copy of a file under the name of %s stores the events once', async (partition) => {
    const name = await left(2)
    copyFileSync(spool(name), spool(name.replace('20261116', partition)))
    const { stored, aside } = await shipped()
    expect({ stored, reasons: reasons(aside) }).toEqual({ stored: [1, 2], reasons: ['damaged', 'damaged'] })
  })

  it('with a copy that is still open beside the closed file stores the events once', async () => {
    const name = await left(2)
    copyFileSync(spool(name), spool(name.replace('.ready', '.open')))
    truncateSync(spool(name.replace('.ready', '.open')), startOf(name, 1))
    const { stored, aside } = await shipped()
    expect({ stored, reasons: reasons(aside) }).toEqual({ stored: [1, 2], reasons: ['a copy'] })
  })

  it('with a file that was stored before, and damaged and left since, stores nothing again', async () => {
    const name = await left(3)
    const bytes = readFileSync(spool(name))
    expect(await shipped()).toMatchObject({ stored: [1, 2, 3] })
    bytes[startOf2(bytes) + 60] = 0x7e
    writeFileSync(spool(name), bytes)
    const { stored, aside } = await shipped()
    expect({ stored, reasons: reasons(aside) }).toEqual({ stored: [1, 2, 3], reasons: ['damaged'] })
  })

  it('with one file of a number whose block another file took before stores both', async () => {
    // A writer's number that was drawn twice, and a clock that was set back: the same name for other events, not sent before.
    const name = await left(2)
    const parsed = parseSpoolName(name)
    await shipped()
    const twin = await openSpool({
      data,
      store: server.connect().store,
      now: () => TS,
      prepare: async () => {},
      sync: 'never',
      maxBytes: 2 ** 30,
      parts: { writer: Number((parsed?.batch ?? 0n) & 0x3fffffn) },
    })
    await twin.append([anEvent({ ts: TS, visitor: visitorNumber(9) })])
    await twin.ship()
    await twin.close(0)
    expect(server.stored.map(({ batch }) => batch)).toEqual([parsed?.batch, parsed?.batch, parsed?.batch])
    expect(await shipped()).toMatchObject({ stored: [1, 2, 9], aside: [] })
  })

  it('with directories, links and stray files where files should be opens, and stores what there is', async () => {
    await left(2)
    mkdirSync(spool('20261116-5.ready'))
    writeFileSync(spool('20261116-5.ready/inside'), 'x')
    mkdirSync(spool('20261116-6.open'))
    symlinkSync('20261116-7.ready', spool('20261116-7.ready'))
    writeFileSync(spool('notes.txt'), 'mine')
    const { stored, aside } = await shipped()
    expect(stored).toEqual([1, 2])
    expect(reasons(aside)).toEqual(['not a file', 'not a file', 'not a file'])
    expect(readdirSync(spool()).sort()).toEqual(['aside', 'notes.txt'])
  })

  it('with a file under the name of the directory for what is set aside moves it out of the way', async () => {
    const name = await left(2)
    appendFileSync(spool(name), 'torn')
    writeFileSync(spool('aside'), 'mine')
    const { stored, aside } = await shipped()
    expect({ stored, reasons: reasons(aside) }).toEqual({ stored: [1, 2], reasons: ['torn'] })
    expect(readdirSync(spool())).toContainEqual(expect.stringMatching(/^aside\../))
  })

  it('with a file that may not be read sets it aside whole', async () => {
    const name = await left(2)
    await left(3, TS - WEEK_MS)
    chmodSync(spool(name), 0)
    const { stored, aside } = await asNobody(shipped)
    expect({ stored, reasons: reasons(aside) }).toEqual({ stored: [1, 2, 3], reasons: ['unreadable'] })
    expect(readdirSync(spool('aside'))).toContain(name)
  })

  it('with lines as earlier versions wrote them stores those that are whole and of this file', async () => {
    const row = (visitor: number, batch: number, ts = TS) =>
      `{"batch":"${batch}","ts":${ts},"visitor":"${visitorNumber(visitor)}"}`
    mkdirSync(spool())
    put('20261116-7.ready', [row(1, 7), row(2, 8), row(3, 7), row(4, 7, TS - WEEK_MS), row(5, 7).slice(0, -8), `${row(6, 7)}`])
    const { stored, aside } = await shipped()
    expect({ stored, reasons: reasons(aside) }).toEqual({ stored: [1, 3, 6], reasons: ['damaged', 'damaged', 'damaged'] })
  })
})

/** Where the second line begins. */
const startOf2 = (bytes: Buffer) => bytes.indexOf(0x0a) + 1

/** Root may read everything: where the tests run as root, the work is done as somebody else who owns the directory. */
async function asNobody<T>(work: () => Promise<T>): Promise<T> {
  if (process.geteuid?.() !== 0 || !process.seteuid) return work()
  const { chownSync } = await import('node:fs')
  const NOBODY = 65_534
  for (const path of [data, ...readdirSync(data, { recursive: true }).map((name) => join(data, String(name)))])
    chownSync(path, NOBODY, NOBODY)
  process.seteuid(NOBODY)
  try {
    return await work()
  } finally {
    process.seteuid(0)
  }
}
