// Many audiences in one pass, beside one query an audience on the same engine in the same run. 60 % of the audiences count, the rest are days, sessions,
// sums, sequences and patterns; see audiences.ts. Both ways store nothing: they end in the number of members of each audience, and the numbers must agree.
//   npm run build && npm run bench:segment -- --events 30000000 --audiences 200,1000 --reference 4
// Each number of audiences is passed `--rounds` times and its median counts: the first pass also reads the disk, which the single queries after it no longer do.
// `--reference N`: of each kind, N audiences are asked one by one, and the time of all is that of their mean; 0 leaves the reference out. `--data DIR` keeps the data.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { startProgress } from '../../src/commands/progress.ts'
import { migrate } from '../../src/engine/migrate.ts'
import { openStore, type Store } from '../../src/engine/store.ts'
import { type Audience, passOver } from '../../src/membership/pass.ts'
import { KINDS, kindOf, manyAudiences } from './audiences.ts'
import { enginePid } from './cpu.ts'
import { fillNetwork } from './network-data.ts'
import { printOne } from './one-query.ts'

const { values: options } = parseArgs({
  options: {
    events: { type: 'string', default: '30000000' },
    audiences: { type: 'string', default: '200,1000' },
    reference: { type: 'string', default: '4' },
    rounds: { type: 'string', default: '3' },
    memory: { type: 'string', default: '3072' },
    data: { type: 'string' },
  },
})
const events = Number(options.events)
const memoryBytes = Number(options.memory) * 1024 ** 2
const RETENTION_MS = 90 * 86_400_000
const EVENTS_A_VISITOR = 15

type Sizes = Map<number, number>
type Moment = { readonly atMs: number; readonly nowMs: number; readonly retentionMs: number }
const say = (line: string) => process.stdout.write(`${line}\n`)
const seconds = (sinceMs: number) => (Date.now() - sinceMs) / 1000

/** The engine's largest resident size since it was last asked. */
function peakBytes(pid: number): number {
  return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024
}

async function inOnePass(store: Store, audiences: readonly Audience[], moment: Moment): Promise<Sizes> {
  const sizes: Sizes = new Map()
  const progress = startProgress(`${audiences.length} audiences`, 100, '%')
  let shown = 0
  const onShare = (share: number) => {
    progress.add(share * 100 - shown)
    shown = share * 100
  }
  await passOver(store, { audiences, moment, limits: { memoryBytes }, onShare }, async ({ sql, values, settings }) => {
    const rows = await store.rows<{ audience: number; size: number }>({
      owner: 'bench.pass',
      sql: `SELECT arrayJoin(held) AS audience, count() AS size FROM (${sql}) GROUP BY audience`,
      values,
      settings,
    })
    for (const { audience, size } of rows) sizes.set(audience - 1, (sizes.get(audience - 1) ?? 0) + size)
  })
  progress.done()
  return sizes
}

/** Seconds for all audiences, from so many of each kind; every size is held against the pass's. */
async function oneByOne(
  store: Store,
  audiences: readonly Audience[],
  moment: Moment,
  sizes: Sizes,
  ofEach: number,
): Promise<number> {
  let total = 0
  for (const kind of KINDS) {
    const all = audiences.flatMap((_, n) => (kindOf(n) === kind ? [n] : []))
    const asked = all.slice(0, ofEach)
    const startMs = Date.now()
    for (const n of asked) {
      const { sql, values } = printOne(audiences[n] as Audience, { ...moment, isUncontested: true })
      const [row] = await store.rows<{ size: number }>({
        owner: 'bench.reference',
        sql: `SELECT count() AS size FROM (${sql})`,
        values,
      })
      if (row?.size !== (sizes.get(n) ?? 0))
        throw new Error(`audience ${n} (${kind}): ${row?.size} alone, ${sizes.get(n)} in the pass`)
    }
    const each = seconds(startMs) / asked.length
    total += each * all.length
    say(`  one query an audience, ${kind}: ${each.toFixed(2)} s each (${asked.length} of ${all.length} asked, sizes equal)`)
  }
  return total
}

async function run(directory: string): Promise<void> {
  const store = openStore({ url: undefined, directory })
  await migrate(store)
  const [{ stored = 0 } = {}] = await store.rows<{ stored: number }>({
    owner: 'bench.count',
    sql: 'SELECT count() AS stored FROM madeleine.events',
  })
  if (stored < events) {
    const progress = startProgress('making events', events - stored, 'events')
    await fillNetwork(store, { events, visitors: events / EVENTS_A_VISITOR, endMs: Date.now(), onRows: progress.add })
    progress.done()
    await store.run({ owner: 'bench.merge', sql: 'OPTIMIZE TABLE madeleine.events FINAL' })
  }
  const [facts] = await store.rows<{ last: number; bytes: number; visitors: number; stored: number }>({
    owner: 'bench.facts',
    sql: `SELECT toUnixTimestamp64Milli(max(ts)) AS last, uniqExact(visitor) AS visitors, count() AS stored,
            (SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = 'madeleine' AND table = 'events') AS bytes FROM madeleine.events`,
  })
  if (!facts) return
  say(
    `${facts.stored.toLocaleString('en-US')} events of ${facts.visitors.toLocaleString('en-US')} visitors, ${(facts.bytes / facts.stored).toFixed(1)} bytes an event on disk`,
  )
  const moment = { atMs: facts.last + 1, nowMs: facts.last + 1, retentionMs: RETENTION_MS }
  const pid = enginePid(directory)
  const taken: number[] = []
  for (const howMany of options.audiences.split(',').map(Number)) {
    const audiences = manyAudiences(howMany)
    let sizes: Sizes = new Map()
    const rounds: number[] = []
    while (rounds.length < Number(options.rounds)) {
      const startMs = Date.now()
      sizes = await inOnePass(store, audiences, moment)
      rounds.push(seconds(startMs))
    }
    const passS = rounds.toSorted((a, b) => a - b)[rounds.length >> 1] ?? 0
    taken.push(passS)
    const members = [...sizes.values()].reduce((sum, n) => sum + n, 0)
    say(
      `${howMany} audiences in one pass: ${rounds.map((s) => s.toFixed(1)).join(', ')} s, median ${passS.toFixed(1)} s, ${members.toLocaleString('en-US')} members, engine's peak so far ${(peakBytes(pid) / 1024 ** 3).toFixed(2)} GiB`,
    )
    if (taken.length > 1) continue
    if (Number(options.reference) > 0) {
      const reference = await oneByOne(store, audiences, moment, sizes, Number(options.reference))
      say(
        `${howMany} audiences one by one: ${reference.toFixed(0)} s; the pass is ${(reference / passS).toFixed(1)} times as fast`,
      )
    }
  }
  if (taken[1]) say(`the second number of audiences takes ${(taken[1] / (taken[0] ?? 1)).toFixed(2)} times as long as the first`)
  await store.close()
}

const directory = options.data ?? mkdtempSync(join(tmpdir(), 'madeleine-bench-'))
try {
  await run(directory)
} finally {
  if (options.data === undefined) rmSync(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 200 })
}
