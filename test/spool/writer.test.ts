import { mkdtempSync, readdirSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { LIMITS } from '../../src/core/limits.ts'
import { makeBatches } from '../../src/spool/batches.ts'
import { parseSpoolName, partitionOf } from '../../src/spool/names.ts'
import { openWriter, type SpoolWriter } from '../../src/spool/writer.ts'

let directory: string
let ready: string[]
let clock: number
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'spool-'))
  ready = []
  clock = Date.UTC(2026, 10, 21)
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

function open(write: typeof writeSync = writeSync): SpoolWriter {
  const now = () => clock
  return openWriter({ directory, nextBatch: makeBatches(now, 1), now, onReady: (name) => ready.push(name), write })
}
const event = (line: string, partition = '20261116') => ({ partition, line: `"event":"${line}"` })
const linesOf = (name: string) => readFileSync(join(directory, name), 'utf8').trim().split('\n')

describe('the spool writer', () => {
  it('puts the events of one turn into one write, and none is acknowledged before it', async () => {
    let writes = 0
    const counted: typeof writeSync = ((...args: Parameters<typeof writeSync>) => {
      writes++
      return writeSync(...args)
    }) as typeof writeSync
    const writer = open(counted)
    const acknowledged = Array.from({ length: 500 }, (_, i) => writer.append([event(`e${i}`)]))
    expect(writes).toBe(0)
    await Promise.all(acknowledged)
    expect(writes).toBe(1)
    writer.close()
    expect(linesOf(ready[0] ?? '')).toHaveLength(500)
  })

  it('has an acknowledged event on disk although the file was never closed', async () => {
    await open().append([event('seen')])
    const [name = ''] = readdirSync(directory)
    expect(parseSpoolName(name)?.state).toBe('open')
    expect(linesOf(name)).toEqual([expect.stringContaining('seen')])
  })

  it('keeps a file for each partition, and every line carries the batch of its file', async () => {
    const writer = open()
    await writer.append([event('a', '20261116'), event('b', '20261109'), event('c', '20261116')])
    writer.close()
    expect(ready).toHaveLength(2)
    for (const name of ready) {
      const batch = parseSpoolName(name)?.batch
      for (const line of linesOf(name)) expect(JSON.parse(line)).toMatchObject({ batch: String(batch) })
    }
  })

  it('closes a file that is full, and goes on in a new one', async () => {
    const writer = open()
    const many = Array.from({ length: LIMITS.spoolFileEvents }, (_, i) => event(`e${i}`))
    await writer.append(many)
    await writer.append([event('next')])
    expect(ready).toHaveLength(1)
    expect(readdirSync(directory).filter((name) => name.endsWith('.open'))).toHaveLength(1)
    writer.close()
  })

  it('leaves no trace of a write that failed half-way, in any file, and takes the next event', async () => {
    let failing = false
    const filling = ((fd: number, bytes: Buffer, offset: number, length: number) => {
      if (!failing) return writeSync(fd, bytes, offset, length)
      if (offset === 0) return writeSync(fd, bytes, 0, 10) // a short write first, as a filling disk gives it
      throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
    }) as typeof writeSync
    const writer = open(filling)
    await writer.append([event('before', '20261116'), event('before', '20261109')])
    failing = true
    const refused = await Promise.allSettled([
      writer.append([event('lost', '20261116'), event('lost', '20261109')]),
      writer.append([event('lost')]),
    ])
    expect(refused.map((one) => one.status === 'rejected' && one.reason.code)).toEqual(['spool_failed', 'spool_failed'])
    failing = false
    await writer.append([event('after', '20261116')])
    writer.close()
    const kept = ready.flatMap(linesOf).map((line) => (JSON.parse(line) as { event: string }).event)
    expect(kept.sort()).toEqual(['after', 'before', 'before'])
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

  it('a partition is the Monday of its week', () => {
    expect(partitionOf(Date.parse('2026-11-22T23:59:59.999Z'))).toBe('20261116')
    expect(partitionOf(Date.parse('2026-11-23T00:00:00.000Z'))).toBe('20261123')
    expect(partitionOf(0)).toBe('19691229')
  })
})
