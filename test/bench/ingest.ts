// What it takes to bring events in: files, the spool, and how long an acknowledged event waits until it can be queried. The reference is the engine's own insert of
// the same rows, ready as lines, through the same client in blocks of the same size, in the same run. Each in a directory of its own.
//   npm run build && npm run bench:ingest -- --rows 1000000 --large 5000000 --rate 500 --seconds 30

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createReadStream, createWriteStream, readFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { VisitorId } from '../../src/core/ids.ts'
import { ALL_PERMISSIONS } from '../../src/core/permissions.ts'
import { migrate } from '../../src/engine/migrate.ts'
import { openStore, type Store } from '../../src/engine/store.ts'
import type { Event } from '../../src/event/event.ts'
import { completeEvent, parseFields } from '../../src/event/fields.ts'
import { EVENT_COLUMNS, eventLine, lineInBatch } from '../../src/spool/row.ts'
import { openSpool } from '../../src/spool/spool.ts'
import { commandEnvironment, MAIN } from '../support/cli.ts'
import { visitorNumber } from '../support/events.ts'
import { OPEN_CONFIG, type Project, scratchProject } from '../support/scratch.ts'
import { BROWSER_AGENT, startServe } from '../support/serve.ts'
import { enginePid } from './cpu.ts'
import { VOCABULARY } from './network-data.ts'

const { values: options } = parseArgs({
  options: {
    rows: { type: 'string', default: '1000000' },
    large: { type: 'string', default: '5000000' },
    rate: { type: 'string', default: '500' },
    seconds: { type: 'string', default: '30' },
    rounds: { type: 'string', default: '3' },
  },
})
const say = (line: string) => process.stdout.write(`${line}\n`)
const median = (numbers: readonly number[]) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN
const whole = (n: number) => Math.round(n).toLocaleString('en-US')
const BLOCK_ROWS = 100_000
const DAY_MS = 86_400_000

/** A row as a feed has it: of 90 days, in no order. */
function feedRow(n: number, nowMs: number): Record<string, unknown> {
  const pick = <T>(values: readonly T[], by: number) => values[(n * by) % values.length] as T
  return {
    visitor: visitorNumber((n * 7919) % 400_000),
    ts: nowMs - 60_000 - ((n * 104_729) % 89) * DAY_MS - ((n * 31) % 86_000) * 1000,
    source: 'site',
    event: n % 12 === 0 ? 'click' : 'page_view',
    url: `https://site.example/section-${n % 40}/article-${(n * 13) % 3000}`,
    category: [pick(VOCABULARY.categories, 7)],
    ...(n % 2 === 0 ? { keyword: [pick(VOCABULARY.keywords, 11)] } : {}),
    device: pick(VOCABULARY.devices, 3),
    country: pick(VOCABULARY.countries, 5),
    ...(n % 4 === 0 ? { dwell_ms: (n * 17) % 120_000 } : {}),
  }
}

async function writeFeed(project: Project, rows: number): Promise<string> {
  const file = project.write(`feed-${rows}.ndjson`, '')
  const out = createWriteStream(file)
  const nowMs = Date.now()
  for (let n = 0; n < rows; n++) if (!out.write(`${JSON.stringify(feedRow(n, nowMs))}\n`)) await once(out, 'drain')
  out.end()
  await once(out, 'finish')
  return file
}

async function* eventsOf(file: string): AsyncGenerator<Event> {
  for await (const text of createInterface({ input: createReadStream(file) })) {
    const given = JSON.parse(text) as { readonly visitor: VisitorId; readonly ts: number; readonly source: string }
    const parsed = parseFields(given, { form: 'json', derived: false })
    if (!parsed.ok) throw new Error(parsed.problem.message)
    const { visitor, ts, source } = given
    yield completeEvent(parsed.fields, { visitor, ts, source, scope: 'global', permissions: ALL_PERMISSIONS, receivers: [] })
  }
}

const stored = async (store: Store): Promise<number> =>
  (await store.rows<{ n: number }>({ owner: 'bench.ingest', sql: 'SELECT count() AS n FROM madeleine.events' }))[0]?.n ?? 0

/** Rows a second of the engine's own insert. */
async function insertItself(file: string): Promise<number> {
  const project = scratchProject(OPEN_CONFIG)
  const store = openStore({ directory: project.data })
  await migrate(store)
  let tookMs = 0
  let rows = 0
  let batch = 1n
  let lines: string[] = []
  const insert = async () => {
    const bytes = Buffer.from(lines.map((line) => lineInBatch(line, batch)).join(''))
    batch++
    rows += lines.length
    lines = []
    const startedMs = performance.now()
    await store.insertLines({ owner: 'bench.ingest', into: `madeleine.events (${EVENT_COLUMNS})`, lines: bytes })
    tookMs += performance.now() - startedMs
  }
  for await (const event of eventsOf(file)) {
    lines.push(eventLine(event))
    if (lines.length === BLOCK_ROWS) await insert()
  }
  if (lines.length > 0) await insert()
  if ((await stored(store)) !== rows) throw new Error('the reference has lost rows')
  await store.close()
  project.remove()
  return (rows * 1000) / tookMs
}

const MIB = 1024
const peakMib = (pid: number): number =>
  Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / MIB

type Imported = { readonly rowsPerSecond: number; readonly peak: number; readonly enginePeak: number }

/** The command as a user runs it, from its start to its end; its peak memory as the kernel keeps it. */
async function importFile(file: string, rows: number): Promise<Imported> {
  const project = scratchProject(OPEN_CONFIG)
  const startedMs = performance.now()
  const child = spawn(process.execPath, [MAIN, 'import', 'events', file, '--json'], {
    env: commandEnvironment(project),
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let answer = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    answer += text
  })
  let peak = 0
  let enginePeak = 0
  const looking = setInterval(() => {
    try {
      peak = peakMib(child.pid ?? 0)
      enginePeak = peakMib(enginePid(project.data))
    } catch {
      // not there yet, or not any more
    }
  }, 100)
  await once(child, 'close')
  clearInterval(looking)
  const seconds = (performance.now() - startedMs) / 1000
  const result = JSON.parse(answer) as { stored: number }
  if (result.stored !== rows) throw new Error(`${result.stored} of ${rows} rows were stored`)
  project.remove()
  return { rowsPerSecond: rows / seconds, peak, enginePeak }
}

/** Rows a second from the first append until all can be queried. */
async function throughSpool(file: string): Promise<number> {
  const project = scratchProject(OPEN_CONFIG)
  const store = openStore({ directory: project.data })
  await migrate(store)
  const spool = await openSpool({
    data: project.data,
    store,
    now: Date.now,
    prepare: async () => {},
    sync: { everyMs: 1_000 },
    maxBytes: 20 * 2 ** 30,
  })
  const events: Event[] = []
  for await (const event of eventsOf(file)) events.push({ ...event, ts: Date.now() }) // of now, as live events are
  const startedMs = performance.now()
  const AT_ONCE = 500
  for (let first = 0; first < events.length; first += AT_ONCE)
    await Promise.all(events.slice(first, first + AT_ONCE).map((event) => spool.append([event])))
  await spool.ship()
  const seconds = (performance.now() - startedMs) / 1000
  if ((await stored(store)) !== events.length) throw new Error('the spool has lost rows')
  await spool.close(1_000)
  await store.close()
  project.remove()
  return events.length / seconds
}

async function untilQueryable(rate: number, seconds: number): Promise<string> {
  const project = scratchProject(OPEN_CONFIG)
  const server = await startServe(project)
  const store = openStore({ directory: project.data })
  const agent = new Agent({ keepAlive: true, maxSockets: 64 })
  const hit = (query: string) =>
    new Promise<void>((resolve, reject) => {
      const headers = { 'user-agent': BROWSER_AGENT, 'sec-fetch-storage-access': 'active' }
      const asked = request(`${server.origin}/p.gif?source=site&${query}`, { agent, headers }, (response) => {
        response.resume()
        response.on('end', resolve)
      })
      asked.on('error', reject)
      asked.end()
    })
  let isOver = false
  const load = (async () => {
    const beganMs = Date.now()
    const pending = new Set<Promise<void>>()
    for (let n = 0; !isOver; n++) {
      const dueMs = beganMs + (n * 1000) / rate
      if (dueMs > Date.now()) await delay(dueMs - Date.now())
      const sent = hit(`url=https%3A%2F%2Fsite.example%2F${n % 3000}`).finally(() => pending.delete(sent))
      pending.add(sent)
    }
    await Promise.all(pending)
  })()
  const waits: number[] = []
  const endMs = Date.now() + seconds * 1000
  for (let n = 0; Date.now() < endMs; n++) {
    await hit(`event=probe&campaign=probe-${n}&url=https%3A%2F%2Fsite.example%2F`)
    const acknowledgedMs = performance.now()
    for (;;) {
      const [row] = await store.rows<{ n: number }>({
        owner: 'bench.probe',
        sql: `SELECT count() AS n FROM madeleine.events WHERE event = 'probe' AND campaign = {campaign:String} AND ts > now() - 60`,
        values: { campaign: `probe-${n}` },
      })
      if ((row?.n ?? 0) > 0) break
      await delay(5)
    }
    waits.push(performance.now() - acknowledgedMs)
    await delay((n * 37) % 200)
  }
  isOver = true
  await load
  agent.destroy()
  await store.close()
  await server.stop()
  project.remove()
  const sorted = waits.toSorted((a, b) => a - b)
  const at = (share: number) => whole(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN)
  return `p50 ${at(0.5)} ms, p95 ${at(0.95)} ms, longest ${at(1)} ms of ${sorted.length}`
}

const feeds = scratchProject({})
const rows = Number(options.rows)
const file = await writeFeed(feeds, rows)
const own: number[] = []
const imports: number[] = []
const spooled: number[] = []
for (let round = 0; round < Number(options.rounds); round++) {
  own.push(await insertItself(file))
  imports.push((await importFile(file, rows)).rowsPerSecond)
  spooled.push(await throughSpool(file))
}
const reference = median(own)
say(`${whole(rows)} rows, medians of ${own.length}:`)
say(`  the engine's own insert of ready lines   ${whole(reference)} rows/s`)
say(
  `  import events, start to end              ${whole(median(imports))} rows/s = ${(median(imports) / reference).toFixed(2)} of it`,
)
say(
  `  spool, first append to all queryable     ${whole(median(spooled))} rows/s = ${(median(spooled) / reference).toFixed(2)} of it`,
)
say(
  `acknowledged to queryable at ${options.rate} events/s: ${await untilQueryable(Number(options.rate), Number(options.seconds))}`,
)
const large = Number(options.large)
if (large > 0) {
  const { rowsPerSecond, peak, enginePeak } = await importFile(await writeFeed(feeds, large), large)
  say(
    `${whole(large)} rows: ${whole(rowsPerSecond)} rows/s; peak memory ${whole(peak)} MiB, and ${whole(enginePeak)} MiB of the engine`,
  )
}
feeds.remove()
