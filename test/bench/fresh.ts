// How fresh memberships are: `serve` with many audiences over many events, while events come in. Reported: the first build, event sent to membership visible in ClickHouse,
// rows read a tick, the pixel's answers meanwhile, a new audience until its members are exact, and memberships that end at random moments until they have left.
//   npm run build && npm run bench:fresh -- --events 30000000 --audiences 1000 --rate 500 --seconds 300
// `--data DIR` keeps the data. Everything runs on one machine: the senders take their share of it.

import { writeFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { migrate } from '../../src/engine/migrate.ts'
import { openStore, type Store } from '../../src/engine/store.ts'
import { OPEN_CONFIG, scratchProject } from '../support/scratch.ts'
import { API_KEY, BROWSER_AGENT, startServe } from '../support/serve.ts'
import { writtenSegments } from './audiences.ts'
import { cpuUs, enginePid } from './cpu.ts'
import { fillNetwork, VOCABULARY } from './network-data.ts'

const { values: options } = parseArgs({
  options: {
    events: { type: 'string', default: '30000000' },
    audiences: { type: 'string', default: '1000' },
    rate: { type: 'string', default: '500' },
    seconds: { type: 'string', default: '300' },
    expiring: { type: 'string', default: '10000' },
    data: { type: 'string' },
  },
})
const events = Number(options.events)
const rate = Number(options.rate)
const seconds = Number(options.seconds)
const EVENTS_A_VISITOR = 15
/** Of the rate, hits on the pixel, whose answers are timed; the rest are events of known visitors, one a request. */
const PIXEL_SHARE = 0.2
const PROBE_EVERY_MS = 400

const say = (line: string) => process.stdout.write(`${line}\n`)
const agent = new Agent({ keepAlive: true, maxSockets: 256 })

function send(
  origin: string,
  path: string,
  { headers, body }: { headers?: Record<string, string>; body?: string } = {},
): Promise<{ status: number; cookie: string | undefined }> {
  return new Promise((resolve, reject) => {
    const asked = request(origin + path, { agent, method: body === undefined ? 'GET' : 'POST', headers }, (response) => {
      response.resume()
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, cookie: response.headers['set-cookie']?.[0]?.split(';')[0] }),
      )
    })
    asked.on('error', reject)
    asked.end(body)
  })
}

function quantiles(numbers: readonly number[]): string {
  const sorted = numbers.toSorted((a, b) => a - b)
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN
  return `p50 ${at(0.5).toFixed(0)}, p95 ${at(0.95).toFixed(0)}, p99 ${at(0.99).toFixed(0)}, longest ${at(1).toFixed(0)} ms of ${sorted.length}`
}

const one = async <Row>(store: Store, sql: string): Promise<Row | undefined> =>
  (await store.rows<Row>({ owner: 'bench.fresh', sql }))[0]

async function until<T>(what: string, withinMs: number, look: () => Promise<T | undefined>): Promise<T> {
  for (const endMs = Date.now() + withinMs; Date.now() < endMs; ) {
    const found = await look()
    if (found !== undefined) return found
    await delay(100)
  }
  throw new Error(`${what}: not within ${withinMs / 1000} s`)
}

const written = writtenSegments(Number(options.audiences))
const probe = { id: 'probe', when: { event: 'probe' } }
const ending = { id: 'ending', when: { event: 'ending', within: '10m' } }
const project = scratchProject({
  ...OPEN_CONFIG,
  'config/sources.yaml': `sources:\n${VOCABULARY.sources.map((id) => `  - { id: ${id} }\n`).join('')}`,
  'config/settings.yaml':
    'consent: { no_signal: allow }\nsegmenter: { memory: 3GiB }\ntaxonomy: { allow_sensitive: ["453", "186"] }\n',
  // YAML reads JSON.
  'config/segments/all.yaml': JSON.stringify({ segments: [...written, probe, ending] }),
})
const place = options.data === undefined ? project : { ...project, data: options.data }

const store = openStore({ directory: place.data })
await migrate(store)
const stored = (await one<{ n: number }>(store, 'SELECT count() AS n FROM madeleine.events'))?.n ?? 0
if (stored < events) {
  await fillNetwork(store, { events: events - stored, visitors: events / EVENTS_A_VISITOR, endMs: Date.now() })
  await store.run({ owner: 'bench.fresh', sql: 'OPTIMIZE TABLE madeleine.events FINAL' })
}
const known = await store.rows<{ id: string }>({
  owner: 'bench.fresh',
  sql: 'SELECT DISTINCT toString(visitor) AS id FROM (SELECT visitor FROM madeleine.events WHERE rand() % 100 = 0 LIMIT 50000)',
})

let startedMs = Date.now()
const server = await startServe(place)
await until('the first build', 3_600_000, async () => {
  const row = await one<{ n: number }>(
    store,
    `SELECT countIf(what = 'built') AS n FROM madeleine.audience_log WHERE tick <= (SELECT max(tick) FROM madeleine.ticks)`,
  )
  return (row?.n ?? 0) >= written.length + 2 ? true : undefined
})
const size = await one<{ n: number; bytes: number }>(
  store,
  `SELECT sum(rows) AS n, sum(bytes_on_disk) AS bytes FROM system.parts WHERE active AND database = 'madeleine' AND table = 'transitions'`,
)
say(
  `${written.length} audiences over ${events.toLocaleString('en-US')} events: first build ${((Date.now() - startedMs) / 1000).toFixed(1)} s, ${size?.n.toLocaleString('en-US')} transitions in ${((size?.bytes ?? 0) / 2 ** 20).toFixed(0)} MiB`,
)

// What a pass says of when to look again is early for visitors with many events: they are looked at once more in the minutes after a first build.
startedMs = Date.now()
await until('the catching up', 3_600_000, async () => {
  const last = await one<{ age: number }>(
    store,
    `SELECT toUnixTimestamp64Milli(now64(3)) - max(toUnixTimestamp64Milli(at)) AS age FROM madeleine.ticks`,
  )
  return (last?.age ?? 60_000) < 8_000 ? true : undefined
})
say(`catching up with what became due meanwhile: ${((Date.now() - startedMs) / 1000).toFixed(0)} s`)

// What the first build wrote is merged in the background, which takes a processor while it lasts.
startedMs = Date.now()
await until('the merging', 3_600_000, async () =>
  (await one<{ n: number }>(store, 'SELECT count() AS n FROM system.merges'))?.n === 0 ? true : undefined,
)
say(`merging what the first build wrote: ${((Date.now() - startedMs) / 1000).toFixed(0)} s more`)

/** Events as a site's visitors cause them, at a steady rate, by the clock. */
let isSending = true
const answers: number[] = []
let failed = 0
async function load(): Promise<void> {
  const cookies: string[] = []
  const beganMs = Date.now()
  const pending = new Set<Promise<void>>()
  for (let n = 0; isSending; n++) {
    const dueMs = beganMs + (n * 1000) / rate
    if (dueMs > Date.now()) await delay(dueMs - Date.now())
    const site = VOCABULARY.sources[n % VOCABULARY.sources.length] as string
    const category = VOCABULARY.categories[(n * 7) % VOCABULARY.categories.length] as string
    const isHit = (n % 100) / 100 < PIXEL_SHARE
    const url = `https://${site}.example/section-${n % 40}/article-${n % 3000}`
    const work = (async () => {
      const cookie = cookies[n % 2_000]
      const answer = isHit
        ? await send(server.origin, `/p.gif?${new URLSearchParams({ source: site, url, category })}`, {
            headers: {
              'user-agent': BROWSER_AGENT,
              'sec-fetch-storage-access': 'active',
              ...(cookie === undefined ? {} : { cookie }),
            },
          })
        : await send(server.origin, '/v1/events', {
            headers: { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json' },
            body: JSON.stringify({ visitor: known[(n * 31) % known.length]?.id, source: site, url, category: [category] }),
          })
      if (answer.status >= 300) failed++
      if (isHit) answers.push(Date.now() - dueMs)
      if (answer.cookie && cookies.length < 2_000) cookies.push(answer.cookie)
    })().catch(() => {
      failed++
    })
    pending.add(work)
    void work.finally(() => pending.delete(work))
  }
  await Promise.all(pending)
}

const sentAt = new Map<string, number>()
const latencies: number[] = []
const visible = (audience: string, kind: string, since: number) =>
  store.rows<{ id: string; dueMs: number }>({
    owner: 'bench.fresh',
    sql: `SELECT toString(visitor) AS id, toUnixTimestamp64Milli(at) AS dueMs FROM madeleine.transitions
          WHERE audience = {audience:String} AND kind = {kind:String} AND at > fromUnixTimestamp64Milli({since:Int64}) AND tick <= (SELECT max(tick) FROM madeleine.ticks)`,
    values: { audience, kind, since },
  })
async function probing(): Promise<void> {
  while (isSending) {
    const visitor = crypto.randomUUID()
    sentAt.set(visitor, Date.now())
    await send(server.origin, '/v1/events', {
      headers: { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json' },
      body: JSON.stringify({ visitor, source: 'site-0', event: 'probe' }),
    })
    await delay(PROBE_EVERY_MS)
  }
}
async function watching(): Promise<void> {
  while (isSending || sentAt.size > 0) {
    const oldest = Math.min(Date.now(), ...sentAt.values())
    for (const { id } of await visible('probe', 'entered', oldest - 10_000)) {
      const sent = sentAt.get(id)
      if (sent !== undefined) latencies.push(Date.now() - sent)
      sentAt.delete(id)
    }
    await delay(100)
    if (!isSending && Date.now() - oldest > 60_000) return
  }
}

startedMs = Date.now()
const processes = { engine: enginePid(place.data), server: server.pid, 'senders and watcher': process.pid }
const cpuBefore = Object.values(processes).map((pid) => cpuUs([pid]))
const running = [load(), probing(), watching()]
await delay(seconds * 1000)
const used = Object.entries(processes).map(
  ([name, pid], n) => `${name} ${((cpuUs([pid]) - (cpuBefore[n] ?? 0)) / (Date.now() - startedMs) / 1000).toFixed(2)}`,
)
isSending = false
await Promise.all(running)
const ticks = await one<{ n: number; touched: number; rows: number; seconds: number }>(
  store,
  `SELECT count() AS n, avg(t.touched) AS touched, avg(t.rows) AS rows, avg(t.seconds) AS seconds FROM madeleine.ticks AS t WHERE at > fromUnixTimestamp64Milli(${startedMs}) AND t.touched > 0`,
)
say(`${rate} events a second for ${seconds} s, failed ${failed}:`)
say(`  event sent to membership visible: ${quantiles(latencies)}${sentAt.size > 0 ? `, ${sentAt.size} never seen` : ''}`)
say(
  `  ${ticks?.n} ticks of ${ticks?.touched.toFixed(0)} visitors, ${Math.round(ticks?.rows ?? 0).toLocaleString('en-US')} rows read and ${ticks?.seconds.toFixed(2)} s each`,
)
say(`  processors used: ${used.join(', ')}`)
say(`  the pixel's answers meanwhile: ${quantiles(answers)}`)

startedMs = Date.now()
const fresh = `new-${startedMs}` // a kept data directory knows those of earlier runs
writeFileSync(
  `${place.config}/segments/new.yaml`,
  JSON.stringify({
    segments: [
      {
        id: fresh,
        when: {
          all: [
            { event: 'page_view', where: { category: '1' }, count: { gte: 2 }, within: '30d' },
            { not: { event: 'conversion', within: '7d' } },
          ],
        },
      },
    ],
  }),
)
const made = await until('the new audience', 600_000, () =>
  one<{ size: number; seconds: number }>(
    store,
    `SELECT max(log.size) AS size, max(log.seconds) AS seconds FROM madeleine.audience_log AS log WHERE audience = '${fresh}' AND tick <= (SELECT max(tick) FROM madeleine.ticks) GROUP BY audience`,
  ),
)
say(
  `a new audience: ${((Date.now() - startedMs) / 1000).toFixed(1)} s from its file to ${made.size.toLocaleString('en-US')} exact members`,
)

const howMany = Number(options.expiring)
const ends = new Map(
  Array.from({ length: howMany }, () => [crypto.randomUUID() as string, Date.now() + 45_000 + Math.random() * 60_000]),
)
startedMs = Date.now()
const list = [...ends]
for (let n = 0; n < list.length; n += 100) {
  const some = list.slice(n, n + 100).map(([visitor, endMs]) => ({ visitor, event: 'ending', ts: Math.round(endMs) - 600_000 }))
  await send(server.origin, '/v1/events', {
    headers: { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json' },
    body: JSON.stringify({ source: 'site-0', events: some }),
  })
}
const lateness: number[] = []
const left = new Set<string>()
await until('the last to leave', 240_000, async () => {
  for (const { id } of await visible('ending', 'left', startedMs)) {
    const endMs = ends.get(id)
    if (endMs === undefined || left.has(id)) continue
    left.add(id)
    lateness.push(Date.now() - endMs)
  }
  return left.size >= howMany ? true : undefined
})
say(
  `${howMany.toLocaleString('en-US')} memberships that end at random moments of a minute, with no new event: seen to have left ${quantiles(lateness)} after`,
)

await server.stop()
await store.close()
project.remove()
process.exit(0)
