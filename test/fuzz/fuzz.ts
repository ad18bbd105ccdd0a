// Mutated requests on every route of a real `serve`, and the account of what became of them: every answer within a limit and none a crash, every event of which
// the answer tells accepted or dropped for a reason, and what was accepted in the store at the end.

import { makeRandom, type Random } from '../../src/demo/random.ts'
import { openStore } from '../../src/engine/store.ts'
import { scratchProject } from '../support/scratch.ts'
import { type Serving, startServe } from '../support/serve.ts'
import { type Answer, Connection } from './connection.ts'
import { mutate } from './mutate.ts'
import { bytesOf, type Shot } from './request.ts'
import { publicRoutes, type Route } from './routes.ts'
import { COOKIE_KEY, LINK_KEY, seedOf } from './seeds.ts'

const CONNECTIONS = 16
const ANSWER_MAX_MS = 10_000
const RSS_EVERY_MS = 500

export type Figures = {
  readonly requests: number
  readonly seed: number
  readonly seconds: number
  readonly requestsPerSecond: number
  readonly routes: number
  readonly statuses: Readonly<Record<string, number>>
  /** Of those that had to be answered: how many were not, or too late. */
  readonly unanswered: readonly string[]
  readonly wrong: readonly string[]
  readonly slowestMs: number
  /** By the answers: events that must have been counted, and those of requests of which the answer does not tell. */
  readonly sent: number
  readonly uncertain: number
  readonly counted: number
  /** The same before anything was sent that is no HTTP: there it is known of each request. */
  readonly sound: { readonly sent: number; readonly uncertain: number; readonly counted: number }
  readonly accepted: number
  readonly dropped: Readonly<Record<string, number>>
  readonly stored: number
  readonly rssMiB: { readonly start: number; readonly half: number; readonly end: number; readonly peak: number }
  readonly exitCode: number | null
  /** Lines of the log at the level of errors. */
  readonly errors: readonly string[]
}

const CONFIG = {
  'config/sources.yaml': 'sources:\n  - { id: site }\n  - { id: shop }\n  - { id: guarded, hosts: [news.example] }\n',
  'config/settings.yaml': 'consent: { no_signal: allow }\ntcf: { vendor_id: 123 }\n',
  'config/partners.yaml': JSON.stringify({
    partners: [
      {
        id: 'adnxs',
        vendor_id: 32,
        sync: { url: 'https://ib.adnxs.example/getuid?{redirect}&t={gdpr_consent}', uid_macro: '$UID' },
        redirects: ['https://sync.example'],
      },
      { id: 'pusher', sync: { url: 'https://push.example/in?id={our_id}', type: 'iframe' } },
    ],
  }),
  'config/taxonomy/sites.yaml': 'classify:\n  - { category: "1", url: news.example/cars/** }\n',
}

const EVENT_ROUTES: readonly string[] = ['/p.gif', '/e', '/v1/events', '/click']
/** So many of the requests, the last ones, may be no HTTP at all. */
const BROKEN_SHARE = 0.08

/** Events are what matters: their routes get most of the requests. */
const weightOf = ({ path }: Route): number =>
  path === '/p.gif' ? 12 : EVENT_ROUTES.includes(path) ? 6 : path === '/metrics' ? 0.02 : 1

/** Events in a body that the server reads whole. */
function eventsIn(body: Buffer | undefined): number {
  const { events } = JSON.parse(body?.toString('utf8') ?? '') as { events?: readonly unknown[] }
  return events?.length ?? 1
}

function mostIn(body: Buffer | undefined): number {
  try {
    return eventsIn(body)
  } catch {
    return 1
  }
}

/** How many events were counted for this request, by its answer; or where that tells nothing, how many may have been at most. */
function eventsOf(shot: Shot, answer: Answer | undefined): { readonly exactly: number } | { readonly most: number } {
  const { method, route, body, raw } = shot
  // An answer to what is no HTTP may be about its beginning or about its end.
  if (raw) return { most: EVENT_ROUTES.includes(route.path) ? mostIn(body) : 0 }
  // The parser's own refusals never come to us: they carry none of our headers.
  if (!answer?.headers.has('cache-control')) return { exactly: 0 }
  const path = shot.path.replace(/^http:\/\/x\.example/, '')
  if (path !== route.path) return answer.status === 404 ? { exactly: 0 } : { most: mostIn(body) }
  if (path === '/p.gif') return { exactly: method === 'GET' && answer.status === 200 ? 1 : 0 }
  if (path === '/click') return { exactly: method === 'GET' && [302, 400].includes(answer.status) ? 1 : 0 }
  if (method !== 'POST' || !EVENT_ROUTES.includes(path)) return { exactly: 0 }
  if (answer.status === 400 || answer.status === 413) return { exactly: 1 }
  return { exactly: answer.status === 204 ? eventsIn(body) : 0 }
}

async function metricsOf({ origin }: Serving): Promise<Map<string, number>> {
  const text = await (await fetch(`${origin}/metrics`)).text()
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]))
}

function labelled(metrics: ReadonlyMap<string, number>, name: string): Record<string, number> {
  const found = [...metrics].filter(([series]) => series.startsWith(`${name}{`))
  return Object.fromEntries(
    found.map(([series, value]) => [
      series
        .slice(name.length + 1, -1)
        .replaceAll(/\w+="([^"]*)",?/g, '$1 ')
        .trim(),
      value,
    ]),
  )
}
const sum = (values: readonly number[]): number => values.reduce((all, n) => all + n, 0)
const COUNTERS = ['madeleine_events_accepted_total', 'madeleine_events_dropped_total'] as const

export async function fuzz({
  requests,
  seed,
  onProgress = () => {},
}: {
  readonly requests: number
  readonly seed: number
  readonly onProgress?: (done: number) => void
}): Promise<Figures> {
  const project = scratchProject(CONFIG)
  const server = await startServe(project, { MADELEINE_COOKIE_KEY: COOKIE_KEY, MADELEINE_LINK_KEY: LINK_KEY })
  const routes = publicRoutes()
  const statuses: Record<string, number> = {}
  const [unanswered, wrong]: [string[], string[]] = [[], []]
  let [done, sent, uncertain, slowestMs, half, peak] = [0, 0, 0, 0, 0, 0]
  const rss = async () => ((await metricsOf(server)).get('madeleine_process_resident_memory_bytes') ?? 0) / 1024 ** 2
  const start = await rss()
  const watching = setInterval(async () => {
    const now = await rss().catch(() => 0)
    peak = Math.max(peak, now)
    if (done < requests / 2) half = now
  }, RSS_EVERY_MS)

  /** The request alone says what it was: the same seed and number, the same bytes (but for the moment in them). */
  const shown = (n: number, shot: Shot, answer: Answer | undefined | 'late') =>
    `${n}: ${shot.method} ${shot.route.path} ${JSON.stringify(bytesOf(shot).toString('latin1').slice(0, 600))} -> ${typeof answer === 'object' ? answer.status : String(answer)}`

  async function shoot(connection: Connection, random: Random, isBroken: boolean): Promise<void> {
    const before = connection.last
    const n = done++
    const shot = mutate(seedOf(random.pickBy(routes, weightOf), random), random, isBroken)
    const isSound = shot.raw === undefined
    const startedMs = performance.now()
    const answer = await connection.send(bytesOf(shot), {
      isHead: shot.method === 'HEAD',
      isLast: !isSound,
      patienceMs: ANSWER_MAX_MS,
    })
    slowestMs = Math.max(slowestMs, performance.now() - startedMs)
    const status = typeof answer === 'object' ? String(answer.status) : String(answer)
    statuses[status] = (statuses[status] ?? 0) + 1
    if (answer === 'late' || (answer === undefined && isSound)) unanswered.push(`${shown(n, shot, answer)} after ${before}`)
    connection.last = shown(n, shot, answer)
    if (Number(status) >= 500 && Number(status) !== 505) wrong.push(shown(n, shot, answer))
    const events = eventsOf(shot, typeof answer === 'object' ? answer : undefined)
    if ('exactly' in events) sent += events.exactly
    else uncertain += events.most
    if (done % 10_000 === 0) onProgress(done)
  }

  const startedMs = performance.now()
  try {
    const workers = Array.from({ length: CONNECTIONS }, (_, worker) => makeRandom(seed * 1_000 + worker))
    const phase = (until: number, isBroken: boolean) =>
      Promise.all(
        workers.map(async (random) => {
          const connection = new Connection(server.port)
          while (done < until) await shoot(connection, random, isBroken)
          connection.close()
        }),
      )
    await phase(Math.floor(requests * (1 - BROKEN_SHARE)), false)
    const before = await metricsOf(server)
    const sound = { sent, uncertain, counted: sum(COUNTERS.map((name) => sum(Object.values(labelled(before, name))))) }
    await phase(requests, true)
    const seconds = (performance.now() - startedMs) / 1_000
    clearInterval(watching)
    const metrics = await metricsOf(server)
    const end = (metrics.get('madeleine_process_resident_memory_bytes') ?? 0) / 1024 ** 2
    const accepted = sum(Object.values(labelled(metrics, COUNTERS[0])))
    const dropped = labelled(metrics, COUNTERS[1])
    const exitCode = await server.stop()
    const errors = server
      .stderr()
      .split('\n')
      .filter((line) => line.includes('"level":50') || /^\s+at |Error:/.test(line))
    const store = openStore({ directory: project.data })
    const [row] = await store.rows<{ n: number }>({
      owner: 'test.fuzz',
      sql: 'SELECT count() AS n FROM madeleine.events WHERE ts > now() - INTERVAL 91 DAY',
    })
    await store.close()
    return {
      requests: done,
      seed,
      seconds,
      requestsPerSecond: Math.round(done / seconds),
      routes: routes.length,
      statuses,
      unanswered,
      wrong,
      slowestMs: Math.round(slowestMs),
      sent,
      uncertain,
      counted: accepted + sum(Object.values(dropped)),
      sound,
      accepted,
      dropped,
      stored: row?.n ?? 0,
      rssMiB: { start: Math.round(start), half: Math.round(half), end: Math.round(end), peak: Math.round(Math.max(peak, end)) },
      exitCode,
      errors,
    }
  } finally {
    clearInterval(watching)
    await server.stop('SIGKILL')
    project.remove()
  }
}

/** What is not as it must be; empty where everything is. */
export function problemsOf(figures: Figures): string[] {
  const { unanswered, wrong, sent, uncertain, counted, accepted, stored, exitCode, errors, rssMiB, sound } = figures
  return [
    ...unanswered.slice(0, 10).map((shot) => `not answered within ${ANSWER_MAX_MS} ms: ${shot}`),
    ...wrong.slice(0, 10).map((shot) => `answered that something failed: ${shot}`),
    ...errors.slice(0, 10).map((line) => `logged: ${line}`),
    ...(exitCode === 0 ? [] : [`serve ended with ${exitCode}`]),
    ...[sound, { sent, uncertain, counted }].flatMap((account) =>
      account.counted >= account.sent && account.counted <= account.sent + account.uncertain
        ? []
        : [`${account.sent} events were sent (and up to ${account.uncertain} more), ${account.counted} were counted`],
    ),
    ...(stored === accepted ? [] : [`${accepted} events were accepted, ${stored} are stored`]),
    // Caches fill in the first half; what grows after that goes on growing.
    ...(rssMiB.half === 0 || rssMiB.end <= rssMiB.half * 1.25 + 64
      ? []
      : [`memory has grown from ${rssMiB.half} to ${rssMiB.end} MiB in the second half`]),
  ]
}
