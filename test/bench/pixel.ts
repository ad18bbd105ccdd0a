// What a pixel hit costs: CPU microseconds a request of `/p.gif` of the real `serve`, beside a Node server that answers the same image and does nothing
// else, and beside nginx with a visitor cookie and an access log. All three take the same load in turns in one run, so the ratios hold on any machine;
// the absolute figures do not. Every hit brings a consent string and a signed cookie. Asserts nothing about time: only that every hit answered is an event stored.
//   npm run build && npm run bench:pixel -- --seconds 6 --rounds 3 --connections 64

import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { openStore } from '../../src/engine/store.ts'
import { OPEN_CONFIG, scratchProject } from '../support/scratch.ts'
import { BROWSER_AGENT, metric, type Serving, startServe } from '../support/serve.ts'
import { C1 } from '../support/tc-strings.ts'
import { cpuUs, enginePid, familyOf } from './cpu.ts'
import { startBareNode, startNginx } from './rivals.ts'
import { manySegments, measureSteady } from './steady.ts'
import { type Load, load } from './wrk.ts'

const WARM_UP_S = 2
/** An engine that is never quiet is reported as it is after this time. */
const QUIET_WITHIN_MS = 60_000
/** Of CPU in half a second: what an idle engine's own clocks use. */
const QUIET_US = 30_000

const QUERY = new URLSearchParams({
  source: 'site',
  event: 'page_view',
  url: 'https://news.example/cars/some-article?utm_source=mail',
  category: '1',
  keyword: 'cars,electric',
  gdpr: '1',
  gdpr_consent: C1,
})
const BROWSER_HEADERS = {
  'User-Agent': BROWSER_AGENT,
  Accept: 'image/avif,image/webp,image/*,*/*;q=0.8',
  'Accept-Language': 'en-GB,en;q=0.9',
  Referer: 'https://news.example/cars/some-article',
  'Sec-Fetch-Site': 'cross-site',
  'Sec-Fetch-Mode': 'no-cors',
  'Sec-Fetch-Dest': 'image',
  'Sec-Fetch-Storage-Access': 'active',
}

type Options = { readonly seconds: number; readonly rounds: number; readonly connections: number }
type Target = { readonly name: string; readonly url: string; readonly cookie: string }

function readOptions(): Options {
  const number = (text: string, flag: string): number => {
    if (/^[1-9]\d{0,3}$/.test(text)) return Number(text)
    process.stderr.write(`--${flag} must be a whole number from 1 to 9999, not ${text}\n`)
    process.exit(2)
  }
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '6' },
      rounds: { type: 'string', default: '3' },
      connections: { type: 'string', default: '64' },
    },
  })
  return {
    seconds: number(values.seconds, 'seconds'),
    rounds: number(values.rounds, 'rounds'),
    connections: number(values.connections, 'connections'),
  }
}

function needTools(): void {
  process.env['PATH'] += ':/usr/sbin' // where Debian has nginx, and a user's PATH does not look
  const missing = ['nginx', 'wrk'].filter((tool) => spawnSync(tool, ['-v']).error)
  if (missing.length === 0) return
  process.stderr.write(`bench:pixel needs ${missing.join(' and ')}: apt-get install ${missing.join(' ')}\n`)
  process.exit(2)
}

/** The first visit, which is answered with a cookie; the load then comes from a returning visitor. */
async function visit(name: string, origin: string): Promise<Target> {
  const url = `${origin}/p.gif?${QUERY}`
  const response = await fetch(url, { headers: BROWSER_HEADERS })
  await response.arrayBuffer()
  const cookie = response.headers.getSetCookie().map((line) => line.split(';')[0])
  return { name, url, cookie: cookie.join('; ') }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2
}

const us = (value: number): string => `${value.toFixed(1)} us`
const show = (name: string, { perSecond, p99, refused }: Load, cost: string): void =>
  console.log(`  ${name.padEnd(10)}${perSecond.toFixed(0).padStart(7)}/s   p99 ${p99.padStart(8)}   non-2xx ${refused}   ${cost}`)

/** The collector and its engine, counted apart: the engine works on after the load, until what was answered can be queried. */
function watch(serving: Serving, data: string) {
  const engine = familyOf(enginePid(data))
  const collector = familyOf(serving.pid).filter((pid) => !engine.includes(pid))
  const used = () => ({ collectorUs: cpuUs(collector), engineUs: cpuUs(engine) })
  const total = () => cpuUs(collector) + cpuUs(engine)
  return {
    used,
    total,
    async untilQueryable(): Promise<void> {
      const end = Date.now() + QUIET_WITHIN_MS
      const shipped = () => metric(serving, 'madeleine_spool_rows_shipped_total')
      const accepted = await metric(serving, 'madeleine_events_accepted_total{source="site"}')
      while ((await shipped()) < accepted && Date.now() < end) await delay(250)
      for (let quiet = 0; quiet < 3 && Date.now() < end; ) {
        const before = total()
        await delay(500)
        quiet = total() - before <= QUIET_US ? quiet + 1 : 0
      }
    },
  }
}

async function storedEvents(data: string): Promise<number> {
  const store = openStore({ directory: data })
  try {
    const [row] = await store.rows<{ n: number }>({ owner: 'bench.count', sql: 'SELECT count() AS n FROM madeleine.events' })
    return row?.n ?? 0
  } finally {
    await store.close()
  }
}

async function measure({ seconds, rounds, connections }: Options): Promise<boolean> {
  const project = scratchProject({
    ...OPEN_CONFIG,
    'config/settings.yaml': 'tcf: { vendor_id: 123 }\nconsent: { no_signal: deny }\n',
    'config/segments/many.yaml': manySegments(),
  })
  const nginx = await startNginx(join(project.root, 'nginx'))
  const bare = await startBareNode()
  const serving = await startServe(project)
  try {
    const ours = await visit('madeleine', serving.origin)
    const toNginx = await visit('nginx', nginx.origin)
    const toBare = { name: 'bare node', url: `${bare.origin}/p.gif?${QUERY}`, cookie: ours.cookie }
    if (!ours.cookie || !toNginx.cookie) throw new Error('no cookie was set')
    const run = ({ url, cookie }: Target, forSeconds: number) =>
      load({ url, headers: { ...BROWSER_HEADERS, Cookie: cookie }, seconds: forSeconds, connections })
    const watched = watch(serving, project.data)

    async function rival(target: Target, pid: number): Promise<number> {
      const family = familyOf(pid)
      const before = cpuUs(family)
      const done = await run(target, seconds)
      const cost = (cpuUs(family) - before) / done.requests
      show(target.name, done, us(cost))
      return cost
    }

    let answered = 1 // the first visit
    for (const target of [toNginx, toBare, ours]) {
      const done = await run(target, WARM_UP_S)
      if (target === ours) answered += done.requests - done.refused
    }

    const costs: { nginx: number; bare: number; collector: number; engine: number; whole: number }[] = []
    for (let round = 1; round <= rounds; round++) {
      console.log(`round ${round} of ${rounds}`)
      const nginxCost = await rival(toNginx, nginx.pid)
      const bareCost = await rival(toBare, bare.pid)
      await watched.untilQueryable()
      const before = watched.used()
      const done = await run(ours, seconds)
      const loaded = watched.used()
      await watched.untilQueryable()
      const whole = (watched.total() - before.collectorUs - before.engineUs) / done.requests
      const collector = (loaded.collectorUs - before.collectorUs) / done.requests
      const engine = (loaded.engineUs - before.engineUs) / done.requests
      answered += done.requests - done.refused
      show('madeleine', done, `${us(collector)} + ${us(engine)} engine; ${us(whole)} until queryable`)
      costs.push({ nginx: nginxCost, bare: bareCost, collector, engine, whole })
    }

    const accepted = await metric(serving, 'madeleine_events_accepted_total{source="site"}')
    await serving.stop()
    const stored = await storedEvents(project.data)
    // wrk stops in the middle: what a connection was waiting for then was accepted, and is not in wrk's count.
    const unseen = accepted - answered
    const exact = stored === accepted && unseen >= 0 && unseen <= connections * (rounds + 1)
    console.log(
      `events: ${answered} answered and counted by wrk, ${accepted} accepted, ${stored} stored${exact ? '' : ': WRONG'}`,
    )

    const ratio = (of: (cost: (typeof costs)[number]) => number) => median(costs.map(of)).toFixed(2)
    console.log(
      `CPU a request, medians: collector ${ratio((c) => c.collector / c.bare)} x bare node, ${ratio((c) => c.collector / c.nginx)} x nginx; ` +
        `with engine ${ratio((c) => (c.collector + c.engine) / c.bare)} x bare node, ${ratio((c) => (c.collector + c.engine) / c.nginx)} x nginx; ` +
        `until queryable ${ratio((c) => c.whole / c.bare)} x bare node, ${ratio((c) => c.whole / c.nginx)} x nginx`,
    )
    const again = await startServe(project)
    const url = `${again.origin}/p.gif?${QUERY}`
    await measureSteady(project, url, { ...BROWSER_HEADERS, Cookie: ours.cookie }, Math.max(10, seconds))
    await again.stop()
    return exact
  } finally {
    await Promise.all([serving.stop('SIGTERM'), nginx.stop(), bare.stop()])
    project.remove()
  }
}

const options = readOptions()
needTools()
process.exitCode = (await measure(options)) ? 0 : 1
