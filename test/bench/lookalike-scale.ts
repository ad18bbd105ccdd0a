// Lookalikes over many visitors: what a training takes from the events to its members, with one seed and with many at once, and the memory of the process and of the engine.
// The visitors are made by the engine: each has one of as many tastes as there are seeds, which shows in some of the pages that he reads; half of those with a taste are its
// seed, and it is said how many of the other half are found.
//   npm run build && npm run bench:lookalike-scale -- --visitors 2000000 --seeds 1,50       (`--data DIR` keeps the data)

import { parseArgs } from 'node:util'
import { RETENTION_MAX_MS } from '../../src/core/duration.ts'
import { migrate } from '../../src/engine/migrate.ts'
import { openStore, type Store } from '../../src/engine/store.ts'
import { trainLookalikes } from '../../src/lookalike/train.ts'
import { readDue, readTrainingReport } from '../../src/lookalike/trainings.ts'
import { DEFAULT_LIMITS } from '../../src/membership/pass.ts'
import { loadSettings } from '../../src/settings/load.ts'
import { OPEN_CONFIG, scratchProject } from '../support/scratch.ts'
import { enginePid, peakBytes } from './cpu.ts'

const { values: options } = parseArgs({
  options: {
    visitors: { type: 'string', default: '2000000' },
    events: { type: 'string', default: '6' },
    seeds: { type: 'string', default: '1,50' },
    data: { type: 'string' },
  },
})
const visitors = Number(options.visitors)
const each = Number(options.events)
const numbers = options.seeds.split(',').map(Number)
const TASTES = 50
const CHUNK = 200_000
const say = (line: string) => process.stdout.write(`${line}\n`)

const unit = (of: string): string => `(bitAnd(sipHash64(${of}), 0xFFFFFFFFFF) / 1099511627776.)`
const visitorSql = "reinterpretAsUUID(sipHash128(who, 'v'))"
const tasteSql = `(sipHash64(who, 'taste') % ${TASTES})`

async function fill(store: Store, endMs: number): Promise<void> {
  const categories = `['1','2','3','6','22','42','52','53','90','117','123','132','150','186','201','210','223','239','274','324']`
  for (let from = 0; from < visitors; from += CHUNK) {
    const rows = Math.min(CHUNK, visitors - from)
    await store.run({
      owner: 'bench.fill',
      sql: `INSERT INTO madeleine.events (ts, batch, visitor, event, source, permissions, origin, path, host, referrer_host, category, keyword, device, browser, os, country, language)
        WITH intDiv(number, ${each}) AS who, ${unit("number, 'p'")} AS dice,
          if(${unit("number, 't'")} < 0.12, 2000 + ${tasteSql} * 6 + sipHash64(number, 'own') % 6, toUInt32(floor(2000 * dice * dice))) AS page
        SELECT fromUnixTimestamp64Milli(toInt64({end:Int64} - ${unit("number, 'a'")} * 80 * 86400000 - 60000), 'UTC'), {batch:UInt64}, ${visitorSql},
          if(${unit("number, 'e'")} < 0.9, 'page_view', 'click'), concat('site-', toString(page % 12)), 63,
          concat('https://site-', toString(page % 12), '.example'), concat('/section-', toString(page % 60), '/story-', toString(page)),
          concat('site-', toString(page % 12), '.example'), ['', 'search.example', 'social.example', 'mail.example'][1 + sipHash64(number, 'r') % 4],
          [${categories}[1 + page % 20]], [concat('topic-', toString(page % 150))],
          ['desktop', 'mobile', 'tablet'][1 + sipHash64(who, 'd') % 3], ['Chrome', 'Safari', 'Firefox', 'Edge'][1 + sipHash64(who, 'b') % 4],
          ['Windows', 'macOS', 'iOS', 'Android'][1 + sipHash64(who, 'o') % 4], ['DE', 'FR', 'GB', 'IT'][1 + sipHash64(who, 'c') % 4], 'en'
        FROM numbers(${from * each}, ${rows * each})`,
      values: { end: endMs, batch: (BigInt(endMs) + BigInt(from)) << 22n },
      settings: { max_insert_block_size: 1_000_000 },
    })
  }
  for (let taste = 0; taste < TASTES; taste++)
    await store.run({
      owner: 'bench.fill',
      sql: `INSERT INTO madeleine.list_members (list, generation, visitor, at, expires)
            SELECT concat('taste-', toString({taste:UInt8})), {generation:UInt64}, ${visitorSql}, now64(3), now64(3) + INTERVAL 90 DAY
            FROM (SELECT number AS who FROM numbers(${visitors}) WHERE ${tasteSql} = {taste:UInt8} AND sipHash64(who, 'half') % 2 = 0)`,
      values: { taste, generation: endMs + taste },
    })
  await store.run({
    owner: 'bench.fill',
    sql: `INSERT INTO madeleine.list_imports (list, generation, size, at, expires)
          SELECT concat('taste-', toString(number)), {first:UInt64} + number, 1, now64(3), now64(3) + INTERVAL 90 DAY FROM numbers(${TASTES})`,
    values: { first: endMs },
  })
}

const lookalike = (n: number) => `  - { id: near-${n}, seed: taste-${n}, reach: 5%, retrain: 1m }\n`
const project = scratchProject({
  ...OPEN_CONFIG,
  'config/lookalikes/a.yaml': `lookalikes:\n${Array.from({ length: TASTES }, (_, n) => lookalike(n)).join('')}`,
})
const data = options.data ?? project.data
const store = openStore({ directory: data })
await migrate(store)
const [there] = await store.rows<{ n: number }>({ owner: 'bench.count', sql: 'SELECT count() AS n FROM madeleine.events' })
if (there?.n === 0) await fill(store, Date.now())
const settings = loadSettings(project.config, {})
const seconds = new Map<number, number>()
for (const seeds of numbers) {
  const nowMs = Date.now()
  const retentionMs = RETENTION_MAX_MS
  const all = await readDue(store, settings.lookalikes.values(), { nowMs, retentionMs })
  const due = all.slice(0, seeds).map((one) => ({ ...one, last: undefined, former: undefined }))
  const startedMs = performance.now()
  const shares: string[] = []
  const trained = await trainLookalikes(store, due, {
    taxonomy: settings.contentTaxonomy,
    retentionMs,
    now: () => Date.now(),
    limits: DEFAULT_LIMITS,
    onShare: (share) => {
      const tenth = Math.floor(share * 10)
      if (shares.length <= tenth) shares[tenth] = `${tenth * 10} % after ${((performance.now() - startedMs) / 1000).toFixed(1)} s`
    },
  })
  const took = (performance.now() - startedMs) / 1000
  seconds.set(seeds, took)
  const [first] = trained
  const report = first && (await readTrainingReport(store, first))
  const [found] = await store.rows<{ found: number; hidden: number }>({
    owner: 'bench.found',
    sql: `SELECT countIf(id IN (SELECT visitor FROM madeleine.list_members WHERE list = '~near-0')) AS found, count() AS hidden
          FROM (SELECT ${visitorSql} AS id FROM (SELECT number AS who FROM numbers(${visitors}) WHERE ${tasteSql} = 0 AND sipHash64(who, 'half') % 2 = 1))`,
  })
  say(
    `${seeds} of ${TASTES} seeds over ${visitors.toLocaleString('en-US')} visitors: ${took.toFixed(1)} s (${shares.filter(Boolean).join(', ')})`,
  )
  say(
    `  of one: fit ${report?.seconds.fit.toFixed(1)} s, scoring and choosing ${report?.seconds.score.toFixed(1)} s, ${report?.sample.features} features`,
  )
  say(
    `  promised recall at 5 % ${report?.evidence.recall.p5.toFixed(3)}, found of the hidden half ${((found?.found ?? 0) / Math.max(1, found?.hidden ?? 0)).toFixed(3)}; outcomes ${[...new Set(trained.map(({ outcome }) => outcome))].join()}`,
  )
  say(
    `  peak memory so far: this process ${(peakBytes(process.pid) / 2 ** 20).toFixed(0)} MiB, the engine ${(peakBytes(enginePid(data)) / 2 ** 20).toFixed(0)} MiB`,
  )
}
const [one, many] = [seconds.get(numbers[0] ?? 0), seconds.get(numbers.at(-1) ?? 0)]
if (numbers.length > 1 && one && many)
  say(`${numbers.at(-1)} seeds take ${(many / one).toFixed(1)} times as long as ${numbers[0]}`)
await store.close()
project.remove()
