import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { LIMITS } from '../../src/core/limits.ts'
import type { SpoolSync } from '../../src/settings/schema.ts'
import { makeBatches } from '../../src/spool/batches.ts'
import { DISK, type Disk } from '../../src/spool/disk.ts'
import type { ReadyFile } from '../../src/spool/files.ts'
import { parseSpoolName, partitionOf } from '../../src/spool/names.ts'
import { checkLines, rowsOf } from '../../src/spool/seal.ts'
import { openWriter, type SpoolWriter, type WriterOptions } from '../../src/spool/writer.ts'

let directory: string
let ready: ReadyFile[]
let writers: SpoolWriter[]
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'spool-'))
  ready = []
  writers = []
})
afterEach(async () => {
  for (const writer of writers) await writer.close()
  rmSync(directory, { recursive: true, force: true })
})

function open(sync: SpoolSync = 'never', more: Partial<WriterOptions> = {}): SpoolWriter {
  const writer = openWriter({
    directory,
    nextBatch: makeBatches(Date.now, 1),
    sync,
    maxBytes: Infinity,
    readyBytes: () => 0,
    onReady: (file) => ready.push(file),
    ...more,
  })
  writers.push(writer)
  return writer
}
const event = (line: string, partition = '20261116') => ({ partition, line: `"event":"${line}"` })

/** The names of the events in a file whose lines are all whole. */
async function eventsOf(file: string): Promise<string[]> {
  const name = parseSpoolName(file)
  if (!name) throw new Error(`no spool file: ${file}`)
  const { lines, refused } = await checkLines(readFileSync(join(directory, file)), name, turn)
  expect(refused).toEqual([])
  return rowsOf(lines).map((row) => {
    const { batch, event } = JSON.parse(row) as { batch: string; event: string }
    expect(batch).toBe(String(name.batch))
    return event
  })
}
const readyEvents = async () => (await Promise.all(ready.map(({ name }) => eventsOf(name)))).flat().sort()
const outcome = (one: Promise<void>) =>
  one.then(
    () => 'taken',
    (error: { code: string }) => error.code,
  )

describe.each<SpoolSync>(['never', 'batch', { everyMs: 50 }])('the spool writer, synced %j', (sync) => {
  it('puts the events of one turn into one write, and none is acknowledged before it', async () => {
    let writes = 0
    const counted = ((...args: Parameters<typeof writeSync>) => {
      writes++
      return writeSync(...args)
    }) as typeof writeSync
    const writer = open(sync, { disk: { ...DISK, write: counted } })
    const acknowledged = Array.from({ length: 500 }, (_, i) => writer.append([event(`e${i}`)]))
    expect(writes).toBe(0)
    await Promise.all(acknowledged)
    expect(writes).toBe(1)
    await writer.close()
    expect(await readyEvents()).toHaveLength(500)
  })

  it('has an acknowledged event on disk although the file was never closed', async () => {
    await open(sync).append([event('seen')])
    const [name = ''] = readdirSync(directory)
    expect(parseSpoolName(name)?.state).toBe('open')
    expect(await eventsOf(name)).toEqual(['seen'])
  })

  it('keeps a file for each partition, and every line carries the batch of its file', async () => {
    const writer = open(sync)
    await writer.append([event('a', '20261116'), event('b', '20261109'), event('c', '20261116')])
    await writer.rotate()
    expect(await Promise.all(ready.map(({ name }) => eventsOf(name)))).toEqual([['a', 'c'], ['b']])
  })

  it('closes a file that is full, and goes on in a new one', async () => {
    const writer = open(sync)
    await writer.append(Array.from({ length: LIMITS.spoolFileEvents }, (_, i) => event(`e${i}`)))
    await writer.append([event('next')])
    expect(ready).toHaveLength(1)
    expect(readdirSync(directory).filter((name) => name.endsWith('.open'))).toHaveLength(1)
  })

  it('leaves no trace of a write that failed half-way, in any file, and takes the next event', async () => {
    let failing = false
    const filling = ((fd: number, bytes: Buffer, offset: number, length: number) => {
      if (!failing) return writeSync(fd, bytes, offset, length)
      if (offset === 0) return writeSync(fd, bytes, 0, 10) // a short write first, as a filling disk gives it
      throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
    }) as typeof writeSync
    const writer = open(sync, { disk: { ...DISK, write: filling } })
    await writer.append([event('before', '20261116'), event('before', '20261109')])
    failing = true
    const refused = [writer.append([event('lost', '20261116'), event('lost', '20261109')]), writer.append([event('lost')])]
    expect(await Promise.all(refused.map(outcome))).toEqual(['spool_failed', 'spool_failed'])
    expect(writer.counts).toEqual({ refused: 2 })
    failing = false
    await writer.append([event('after', '20261116')])
    expect(writer.counts).toEqual({ refused: 2 }) // what was taken is not counted
    await writer.close()
    expect(await readyEvents()).toEqual(['after', 'before', 'before'])
  })

  it('counts what it holds on disk, and gives it over with each file', async () => {
    const writer = open(sync)
    await Promise.all([writer.append([event('a')]), writer.append([event('b', '20261109')])])
    const sizes = readdirSync(directory).map((name) => statSync(join(directory, name)).size)
    expect(writer.bytes).toBe(sizes[0] === undefined ? 0 : sizes.reduce((a, b) => a + b))
    expect(writer.bytes).toBeGreaterThan(0)
    await writer.rotate()
    expect(ready.map(({ bytes }) => bytes)).toEqual(ready.map(({ name }) => statSync(join(directory, name)).size))
    expect(writer.bytes).toBe(0)
  })

  it('closes a file of its age although the clock of the machine was set back', async () => {
    let clock = Date.UTC(2026, 10, 21)
    let elapsed = 0
    const writer = open(sync, { nextBatch: makeBatches(() => clock, 1), elapsed: () => elapsed })
    await writer.append([event('a')])
    clock -= 86_400_000
    elapsed += LIMITS.spoolFileAgeMs
    await expect.poll(readyEvents).toEqual(['a'])
    await writer.append([event('b')])
    await writer.rotate()
    const [first, second] = ready.map(({ name }) => parseSpoolName(name)?.batch ?? 0n)
    expect(second).toBeGreaterThan(first ?? 0n)
  })
})

/** A disk whose syncs end when the test says so. */
function slowDisk() {
  const syncs: { fd: number; resolve: () => void; reject: (error: Error) => void }[] = []
  const sync: Disk['sync'] = (fd) => new Promise((resolve, reject) => syncs.push({ fd, resolve, reject }))
  return { syncs, disk: { ...DISK, sync } }
}

describe('sync: batch', () => {
  it('acknowledges when the disk has it, and all that came meanwhile with the next one', async () => {
    const { syncs, disk } = slowDisk()
    const writer = open('batch', { disk })
    const seen: string[] = []
    const first = writer.append([event('a')]).then(() => seen.push('a'))
    await expect.poll(() => syncs.length).toBe(1)
    const later = ['b', 'c', 'd'].map((name) => writer.append([event(name)]).then(() => seen.push(name)))
    await turn()
    await turn()
    expect({ seen, syncs: syncs.length }).toEqual({ seen: [], syncs: 1 })
    syncs[0]?.resolve()
    await first
    await expect.poll(() => syncs.length).toBe(2)
    expect(seen).toEqual(['a'])
    syncs[1]?.resolve()
    await Promise.all(later)
    expect(syncs).toHaveLength(2)
  })

  it('refuses what the disk did not take, never asks the same file again, and takes the next event in a new one', async () => {
    const { syncs, disk } = slowDisk()
    const writer = open('batch', { disk })
    const before = writer.append([event('before')])
    await expect.poll(() => syncs.length).toBe(1)
    syncs[0]?.resolve()
    await before
    const lost = outcome(writer.append([event('lost'), event('lost', '20261109')]))
    await expect.poll(() => syncs.length).toBe(3)
    syncs[1]?.reject(new Error('input/output error'))
    syncs[2]?.resolve()
    expect(await lost).toBe('spool_failed')
    expect(ready).toHaveLength(1)
    const after = writer.append([event('after')])
    await expect.poll(() => syncs.length).toBe(4)
    syncs[3]?.resolve()
    await after
    await writer.rotate()
    expect(await readyEvents()).toEqual(['after', 'before'])
    expect(ready).toHaveLength(2)
  })

  it('refuses where the entry of a new file is not durable', async () => {
    let isFailing = true
    const syncDirectory: Disk['syncDirectory'] = (fd) =>
      isFailing ? Promise.reject(new Error('input/output error')) : DISK.syncDirectory(fd)
    const writer = open('batch', { disk: { ...DISK, syncDirectory } })
    expect(await outcome(writer.append([event('lost')]))).toBe('spool_failed')
    isFailing = false
    expect(await outcome(writer.append([event('kept')]))).toBe('taken')
    await writer.rotate()
    expect(await readyEvents()).toEqual(['kept'])
  })

  it('waits for the disk before it gives a file over, and closes with what was still on its way', async () => {
    const { syncs, disk } = slowDisk()
    const writer = open('batch', { disk })
    const first = writer.append([event('a')])
    await expect.poll(() => syncs.length).toBe(1)
    const second = writer.append([event('b')])
    const closing = writer.close()
    expect(await outcome(writer.append([event('late')]))).toBe('spool_failed')
    expect(ready).toEqual([])
    syncs[0]?.resolve()
    await first
    await expect.poll(() => syncs.length).toBe(2)
    syncs[1]?.resolve()
    await Promise.all([second, closing])
    expect(await readyEvents()).toEqual(['a', 'b'])
  })
})

describe('sync at an interval', () => {
  it('acknowledges ahead of the disk, which follows behind', async () => {
    const { syncs, disk } = slowDisk()
    const writer = open({ everyMs: 40 }, { disk, elapsed: () => 0 })
    await writer.append([event('a')])
    await expect.poll(() => syncs.length).toBe(1)
    syncs[0]?.resolve()
    await writer.append([event('b')])
    await expect.poll(() => syncs.length).toBe(2)
    syncs[1]?.resolve()
  })

  it('waits for the disk where it does not keep up: more than the interval is never at stake', async () => {
    const { syncs, disk } = slowDisk()
    let elapsed = 0
    const writer = open({ everyMs: 40 }, { disk, elapsed: () => elapsed })
    await writer.append([event('a')])
    await expect.poll(() => syncs.length).toBe(1)
    elapsed = 41
    const late = outcome(writer.append([event('late')]))
    expect(await Promise.race([late, turn('waits')])).toBe('waits')
    syncs[0]?.resolve()
    await expect.poll(() => syncs.length).toBe(2)
    syncs[1]?.resolve()
    expect(await late).toBe('taken')
  })

  it('after a failed sync ships the file, and refuses until the disk takes again', async () => {
    let isFailing = true
    const sync: Disk['sync'] = (fd) => (isFailing ? Promise.reject(new Error('input/output error')) : DISK.sync(fd))
    const writer = open({ everyMs: 40 }, { disk: { ...DISK, sync } })
    await writer.append([event('at stake')])
    await expect.poll(readyEvents).toEqual(['at stake'])
    expect(await outcome(writer.append([event('lost')]))).toBe('spool_failed')
    isFailing = false
    expect(await outcome(writer.append([event('kept')]))).toBe('taken')
    await writer.rotate()
    expect(await readyEvents()).toEqual(['at stake', 'kept'])
  })

  it('does not sync a closed file that is in the store, and gone, by then', async () => {
    const { syncs, disk } = slowDisk()
    const writer = open({ everyMs: 400 }, { disk, onReady: ({ name }) => rmSync(join(directory, name)) })
    await writer.append([event('a')])
    await writer.rotate()
    await writer.append([event('b', '20261109')])
    await expect.poll(() => syncs.length).toBe(1)
    syncs[0]?.resolve()
    await writer.close()
    expect(syncs).toHaveLength(1)
  })
})

describe('the bounds of the spool', () => {
  it('refuse what would be more than max_size on disk, and take again when something was shipped', async () => {
    let shipped = 0
    const writer = open('never', { maxBytes: 1_000, readyBytes: () => 900 - shipped })
    expect(writer.refusal()).toBeUndefined()
    expect(await outcome(writer.append([event('x'.repeat(200))]))).toBe('spool_failed')
    await expect(writer.append([event('x'.repeat(200))])).rejects.toMatchObject({
      hint: expect.stringContaining('spool.max_size'),
    })
    shipped = 900
    expect(await outcome(writer.append([event('x'.repeat(200))]))).toBe('taken')
    expect(writer.counts.refused).toBe(2)
  })

  it('refuse what would be held in memory beyond the limit, and take again in the next turn', async () => {
    const writer = open()
    const quarter = event('x'.repeat(LIMITS.spoolHeldBytes / 4))
    const outcomes = await Promise.all(Array.from({ length: 5 }, () => outcome(writer.append([quarter]))))
    expect(outcomes).toEqual(['taken', 'taken', 'taken', 'spool_failed', 'spool_failed'])
    expect(await outcome(writer.append([quarter]))).toBe('taken')
  })
})

describe('batch numbers', () => {
  it('only grow, although the clock goes back', () => {
    let ms = 2_000_000_000_000
    const next = makeBatches(() => ms, 5)
    const numbers = [next(), next()]
    ms -= 3_600_000
    numbers.push(next(), next())
    expect([...numbers].sort((a, b) => (a < b ? -1 : 1))).toEqual(numbers)
    expect(new Set(numbers).size).toBe(4)
  })

  it('are numbers of 64 bits although the clock says the year 9999', () => {
    const next = makeBatches(() => Date.UTC(9999, 0, 1), 5)
    const numbers = [next(), next()]
    expect(numbers.every((number) => number > 0n && number < 2n ** 64n)).toBe(true)
    expect(numbers[1]).toBeGreaterThan(numbers[0] ?? 0n)
  })

  it('a partition is the Monday of its week', () => {
    expect(partitionOf(Date.parse('2026-11-22T23:59:59.999Z'))).toBe('20261116')
    expect(partitionOf(Date.parse('2026-11-23T00:00:00.000Z'))).toBe('20261123')
    expect(partitionOf(0)).toBe('19691229')
  })
})
