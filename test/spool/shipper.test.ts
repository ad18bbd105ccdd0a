// Shipping into a real engine: once and only once, whatever came before, and never stuck behind what is refused.

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { StoreRefused } from '../../src/core/errors.ts'
import { makeBatches } from '../../src/spool/batches.ts'
import { parseSpoolName, partitionOf, partitionStartMs, spoolName } from '../../src/spool/names.ts'
import { EVENT_COLUMNS, eventLine, lineInBatch } from '../../src/spool/row.ts'
import { makeSeal } from '../../src/spool/seal.ts'
import { startShipper, storeOnce } from '../../src/spool/shipper.ts'
import { anEvent, visitorNumber } from '../support/events.ts'
import { openScratchStore, type ScratchStore, STORE_MODES } from '../support/store.ts'

const now = Date.now()
const partition = partitionOf(now)
/** `place`: which line of its file it is. */
const line = (n: number, batch: bigint, place = n - 1, ts: number | string = now) => {
  const text = eventLine(anEvent({ ts: now, visitor: visitorNumber(n) })).replace(`"ts":${now}`, `"ts":${JSON.stringify(ts)}`)
  return makeSeal({ partition, batch })(text, place)
}
/** As the store reads it. */
const bare = (n: number, batch: bigint) => lineInBatch(eventLine(anEvent({ ts: now, visitor: visitorNumber(n) })), batch)

describe.each(STORE_MODES)('the shipper, on the store in %s mode', (mode) => {
  let scratch: ScratchStore
  let spool: string
  beforeEach(async () => {
    scratch = await openScratchStore(mode)
    spool = join(scratch.directory, 'spool')
    mkdirSync(spool)
  })
  afterEach(() => scratch.close())

  function put(batch: bigint, text: string): string {
    const name = spoolName({ partition, batch, state: 'ready' })
    writeFileSync(join(spool, name), text)
    return name
  }
  async function ship(names: readonly string[], maybeSent = false): Promise<void> {
    const shipper = startShipper({ directory: spool, store: scratch.store, nextBatch: makeBatches(Date.now) })
    for (const file of names) shipper.add({ file, bytes: 0, sinceMs: 0, maybeSent })
    try {
      await shipper.drain()
    } finally {
      await shipper.stop()
    }
  }
  const stored = async () =>
    (
      await scratch.store.rows<{ v: string }>({
        owner: 'test.stored',
        sql: 'SELECT toString(visitor) AS v FROM madeleine.events WHERE ts > now() - INTERVAL 1 DAY ORDER BY v',
      })
    ).map((row) => row.v)
  const aside = () =>
    readdirSync(join(spool, 'aside')).flatMap((name) =>
      readFileSync(join(spool, 'aside', name), 'utf8')
        .trim()
        .split('\n')
        .map((text) => JSON.parse(text) as { reason: string; line: string }),
    )

  it('stores a file once and deletes it', async () => {
    const name = put(11n, line(1, 11n) + line(2, 11n))
    await ship([name])
    expect(await stored()).toEqual([visitorNumber(1), visitorNumber(2)])
    expect(readdirSync(spool)).toEqual([])
  })

  it('stores a file once that was stored before a crash and not yet deleted', async () => {
    await ship([put(12n, line(1, 12n))])
    await ship([put(12n, line(1, 12n))], true)
    expect(await stored()).toEqual([visitorNumber(1)])
  })

  it('stores a block whose token the engine knows although its rows are not there', async () => {
    // What a kill between the engine's note of the token and its rows leaves behind, made with another block's rows.
    const token = `${partition}-13`
    await scratch.store.insertLines({
      owner: 'test.ghost',
      into: `madeleine.events (${EVENT_COLUMNS})`,
      lines: Buffer.from(bare(9, 99n)),
      settings: { insert_deduplication_token: token },
    })
    const startMs = partitionStartMs(partition)
    await storeOnce(scratch.store, {
      batch: 13n,
      startMs,
      endMs: startMs + 7 * 86_400_000,
      lines: Buffer.from(bare(1, 13n)),
      maybeSent: true,
      token: `${partition}-13`,
    })
    expect(await stored()).toEqual([visitorNumber(1), visitorNumber(9)])
  })

  it('sets aside what the store refuses, with the reason, and stores all the rest once', async () => {
    const bad = line(3, 14n, 2, 'yesterday')
    const damaged = '\u0000\u0000\u0000'
    const name = put(14n, [line(1, 14n), line(2, 14n), bad, `${damaged}\n`, line(5, 14n), line(6, 14n)].join(''))
    await ship([name, put(15n, line(7, 15n, 0))])
    expect(await stored()).toEqual([1, 2, 5, 6, 7].map(visitorNumber))
    expect(readdirSync(spool)).toEqual(['aside'])
    const reasons = aside()
    expect(reasons).toHaveLength(2)
    expect(reasons.find((item) => item.line === '\u0000')?.reason).toContain('damaged')
    expect(reasons.find((item) => item.line.includes('yesterday'))?.reason).toMatch(/ClickHouse refused .*DateTime/s)
  })

  it('does not block the rest behind a file that fails for another reason', async () => {
    const shipper = startShipper({
      directory: spool,
      nextBatch: makeBatches(Date.now),
      store: {
        ...scratch.store,
        insertLines: (insert) =>
          String(insert.settings?.['insert_deduplication_token']).startsWith(`${partition}-16-`)
            ? Promise.reject(new StoreRefused(241, 'memory limit exceeded'))
            : scratch.store.insertLines(insert),
      },
    })
    const stuck = put(16n, line(1, 16n))
    shipper.add({ file: stuck, bytes: 0, sinceMs: 0, maybeSent: false })
    shipper.add({ file: put(17n, line(2, 17n, 0)), bytes: 0, sinceMs: 0, maybeSent: false })
    await expect.poll(stored).toEqual([visitorNumber(2)])
    expect(existsSync(join(spool, stuck))).toBe(true)
    await shipper.stop()
  })
})

it('a name says partition, batch and state, and nothing else is a name', () => {
  for (const state of ['open', 'ready', { splitOf: 3n }] as const) {
    const name = { partition: '20261116', batch: 18n, state }
    expect(parseSpoolName(spoolName(name))).toEqual(name)
  }
  for (const text of ['20261116-1.ready.tmp', 'x-1.ready', '20261116-.ready', 'aside'])
    expect(parseSpoolName(text)).toBeUndefined()
})
