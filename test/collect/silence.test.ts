import { afterAll, beforeAll, expect, it } from 'vitest'
import { makeSilence, readLastHeard } from '../../src/collect/silence.ts'
import { HOUR_MS } from '../../src/core/duration.ts'
import { openScratchStore, type ScratchStore } from '../support/store.ts'

let scratch: ScratchStore
beforeAll(async () => {
  scratch = await openScratchStore()
})
afterAll(() => scratch?.close())

it('a source is silent once it was heard and then not for longer than it may; one never heard of is not', () => {
  let nowMs = Date.UTC(2026, 10, 22, 12)
  const lastEventMs = new Map<string, number>()
  const silence = makeSilence(
    [
      { id: 'news', silentAfterMs: HOUR_MS },
      { id: 'mail', silentAfterMs: 24 * HOUR_MS },
      { id: 'never', silentAfterMs: 1 },
    ],
    lastEventMs,
    () => nowMs,
  )
  const silent = () => silence.sources().flatMap(({ source, isSilent }) => (isSilent ? [source] : []))
  expect(silent()).toEqual([])
  lastEventMs.set('news', nowMs)
  lastEventMs.set('mail', nowMs)
  nowMs += HOUR_MS
  expect(silent()).toEqual([])
  nowMs += 1
  expect(silent()).toEqual(['news'])
  nowMs += 24 * HOUR_MS
  expect(silent()).toEqual(['news', 'mail'])
  lastEventMs.set('news', nowMs)
  expect(silent()).toEqual(['mail'])
})

it('what the store says of earlier never takes back what was heard since, nor speaks of the future', () => {
  const nowMs = Date.UTC(2026, 10, 22, 12)
  const lastEventMs = new Map([['news', nowMs - 5]])
  const silence = makeSilence(
    [
      { id: 'news', silentAfterMs: HOUR_MS },
      { id: 'mail', silentAfterMs: HOUR_MS },
    ],
    lastEventMs,
    () => nowMs,
  )
  silence.heard('news', nowMs - HOUR_MS)
  silence.heard('mail', nowMs + HOUR_MS)
  expect(silence.sources()).toMatchObject([{ lastMs: nowMs - 5 }, { lastMs: nowMs }])
})

it('the store knows when each source was heard, by when its events came in', async () => {
  const nowMs = Date.now()
  const insert = (source: string, agoMs: number) =>
    scratch.store.run({
      owner: 'test.received',
      sql: `INSERT INTO madeleine.events (ts, received, batch, visitor, event, source, permissions)
            SELECT now64(3), fromUnixTimestamp64Milli({at:Int64}, 'UTC'), 1, generateUUIDv4(), 'page_view', {source:String}, 63`,
      values: { at: nowMs - agoMs, source },
    })
  await insert('news', 2 * HOUR_MS)
  await insert('news', HOUR_MS)
  await insert('mail', 30 * HOUR_MS)
  expect(await readLastHeard(scratch.store, nowMs - 24 * HOUR_MS)).toEqual([{ source: 'news', lastMs: nowMs - HOUR_MS }])
})
