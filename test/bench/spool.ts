// What `spool.sync` costs: appends a second in each mode, in one run on one disk, and the ratio to `never`. `node --import tsx test/bench/spool.ts [DIRECTORY]`
// Senders append one event each and send the next when it is acknowledged, as connections do. Rounds of the modes alternate, so that a busy moment hits all.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SpoolSync } from '../../src/settings/schema.ts'
import { makeBatches } from '../../src/spool/batches.ts'
import { partitionOf } from '../../src/spool/names.ts'
import { eventLine } from '../../src/spool/row.ts'
import { openWriter } from '../../src/spool/writer.ts'
import { anEvent } from '../support/events.ts'

const MODES: readonly SpoolSync[] = ['never', { everyMs: 10_000 }, { everyMs: 1_000 }, { everyMs: 200 }, 'batch']
const SENDERS = [64, 1_024] as const
const ROUNDS = 4
const ROUND_MS = 700

const event = anEvent({
  ts: Date.now(),
  origin: 'https://news.example',
  path: '/cars/a-long-article-about-a-car',
  host: 'news.example',
  device: 'mobile',
  browser: 'Chrome',
  os: 'Android',
  country: 'DE',
  language: 'de',
  category: ['1', '2'],
  keyword: ['suv'],
})
const shown = (sync: SpoolSync): string => (typeof sync === 'string' ? sync : `${sync.everyMs}ms`)

type Measured = { appends: number; ms: number; waits: number[] }

async function measure(sync: SpoolSync, senders: number, into: Measured): Promise<void> {
  const directory = mkdtempSync(join(process.argv[2] ?? tmpdir(), 'bench-spool-'))
  const writer = openWriter({
    directory,
    nextBatch: makeBatches(Date.now),
    sync,
    maxBytes: Infinity,
    readyBytes: () => 0,
    onReady: ({ name }) => rmSync(join(directory, name)), // as a store that is there
  })
  const started = performance.now()
  let appends = 0
  const send = async (): Promise<void> => {
    while (performance.now() - started < ROUND_MS) {
      const sent = performance.now()
      await writer.append([{ partition: partitionOf(event.ts), line: eventLine(event) }])
      if (appends++ % 16 === 0) into.waits.push(performance.now() - sent)
    }
  }
  await Promise.all(Array.from({ length: senders }, send))
  into.ms += performance.now() - started
  into.appends += appends
  await writer.close()
  rmSync(directory, { recursive: true })
}

for (const senders of SENDERS) {
  const measured = new Map(MODES.map((sync): [SpoolSync, Measured] => [sync, { appends: 0, ms: 0, waits: [] }]))
  for (let round = 0; round < ROUNDS; round++) for (const [sync, into] of measured) await measure(sync, senders, into)
  const rate = ({ appends, ms }: Measured) => (appends / ms) * 1_000
  const never = rate(measured.get('never') ?? { appends: 0, ms: 1, waits: [] })
  console.log(`${senders} senders`)
  for (const [sync, one] of measured) {
    const waits = one.waits.sort((a, b) => a - b)
    const at = (share: number) => (waits[Math.floor(waits.length * share)] ?? 0).toFixed(1)
    console.log(
      `  ${shown(sync).padEnd(8)} ${Math.round(rate(one)).toLocaleString('en').padStart(9)} appends/s  ${(rate(one) / never).toFixed(2)} of never  p50 ${at(0.5)} ms  p99 ${at(0.99)} ms`,
    )
  }
}
