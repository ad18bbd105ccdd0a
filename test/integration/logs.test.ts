// No log line holds anything of a visitor, whatever is sent and whatever goes wrong with it. At the level that says most, and the engine's own log too.

import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { OPEN_CONFIG, refuseWrites, scratchProject } from '../support/scratch.ts'
import { API_KEY, BROWSER_AGENT, metric, type Serving, startServe } from '../support/serve.ts'
import { startClickHouse } from '../support/store.ts'

/** Each is looked for on its own, in any case: a log that holds a piece of one holds too much. */
const SECRETS = {
  uuid: '7f3c2a91-5d4e-4b6f-8a1c-9e0d2b4f6a88',
  email: 'jane.hostile@mail.example',
  encodedEmail: 'jane.hostile%40mail.example',
  ipv4: '203.0.113.77',
  ipv6: '2001:db8:dead:beef::77',
  phone: '+4915799988877',
  cookie: 'cookie-value-qqzzqq',
  order: 'order-number-xxyyxx',
  query: 'query-text-wwvvww',
  header: 'header-text-kkjjkk',
} as const
const ALL = Object.values(SECRETS)
const TEXT = ALL.join(' ')
const NAMES = [
  'source',
  'event',
  'url',
  'referrer',
  'referrer_host',
  'category',
  'keyword',
  'campaign',
  'creative',
  'placement',
  'order_id',
  'currency',
  'value',
  'cost',
  'dwell_ms',
  'attr.x',
  'attr',
  'ts',
  'visitor',
  'fpid',
  'gdpr',
  'gdpr_consent',
  'gpp',
  'gpp_sid',
  'us_privacy',
  'sig',
  'cb',
  '_mr',
  TEXT,
]
const HEADERS = [
  'user-agent',
  'cookie',
  'referer',
  'accept-language',
  'x-forwarded-for',
  'origin',
  'authorization',
  'sec-gpc',
  'sec-purpose',
  'dnt',
  'sec-fetch-storage-access',
  'if-none-match',
  'content-type',
  'x-anything',
]

const ascii = (text: string) => text.replace(/[^\x20-\x7e]/g, '')

async function hostileLoad({ origin, port }: Serving): Promise<void> {
  const send = async (path: string, init: RequestInit = {}) => {
    const answer = await fetch(origin + path, { redirect: 'manual', ...init }).catch(() => undefined)
    await answer?.text().catch(() => '')
  }
  const good = {
    source: 'site',
    url: `https://a.example/${SECRETS.uuid}?e=${SECRETS.email}`,
    order_id: SECRETS.order,
    event: 'conversion',
    'attr.mail': SECRETS.email,
    fpid: SECRETS.uuid,
    visitor: SECRETS.uuid,
  }
  const headers = {
    'user-agent': BROWSER_AGENT,
    cookie: `__Host-mid=${SECRETS.uuid}.1.${SECRETS.cookie}; uids=${SECRETS.cookie}`,
  }
  const keyed = { ...headers, authorization: `Bearer ${API_KEY}`, 'x-forwarded-for': SECRETS.ipv4 }
  const routes = [
    '/p.gif',
    '/click',
    '/e',
    '/v1/events',
    '/v1/explain',
    '/v1/links',
    '/optout',
    '/optin',
    '/t.js',
    '/readyz',
    `/${SECRETS.email}`,
  ]
  for (const route of routes) {
    for (const name of NAMES)
      for (const secret of [SECRETS.email, TEXT]) {
        const given = { ...good, [name]: secret }
        await send(`${route}?${new URLSearchParams(given)}`, { headers })
        const method = 'POST'
        await send(route, { method, headers: keyed, body: JSON.stringify(given) })
        await send(route, { method, headers: keyed, body: JSON.stringify({ events: [given, { [name]: [[{ deep: secret }]] }] }) })
      }
    for (const name of HEADERS)
      for (const secret of ALL) {
        await send(`${route}?source=site`, { headers: { ...headers, [name]: secret } })
        await send(route, {
          method: 'POST',
          headers: { ...keyed, [name]: secret },
          body: `{"source":"site","visitor":"${SECRETS.uuid}",${secret}`,
        })
      }
  }
  const raw = (text: string) =>
    new Promise<void>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => socket.end(text))
      socket.on('close', () => resolve()).on('error', () => resolve())
      socket.resume()
    })
  for (const secret of ALL) {
    await raw(`GET /p.gif?source=${ascii(secret)} HTTP/9.9\r\nhost: ${ascii(secret)}\r\n\r\n`)
    await raw(`${ascii(secret)} / HTTP/1.1\r\n\r\n`)
    await raw(`POST /e HTTP/1.1\r\nhost: a\r\ncontent-length: 500\r\n\r\n{"source":"site","x":"${ascii(secret)}"`)
    await raw(`GET /p.gif HTTP/1.1\r\nhost: a\r\nx-${'y'.repeat(40_000)}: ${ascii(secret)}\r\n\r\n`)
  }
}

const found = (text: string) =>
  Object.entries(SECRETS).flatMap(([name, secret]) => (text.toLowerCase().includes(secret.toLowerCase()) ? [name] : []))

it('under a hostile load, with a disk and a store that fail and rows that are refused, no line of any log holds an id, a cookie, an address or a query', async () => {
  const project = scratchProject(OPEN_CONFIG)
  mkdirSync(join(project.root, 'clickhouse'))
  // Left by somebody: a torn file, a line that is none, and rows that ClickHouse refuses and quotes.
  const row = (more: object) =>
    JSON.stringify({
      batch: '1',
      ts: Date.now(),
      visitor: SECRETS.uuid,
      event: 'page_view',
      source: 'site',
      permissions: 63,
      ...more,
    })
  project.write(
    'data/spool/20261116-1.ready',
    `${row({ path: `/${SECRETS.email}`, value: SECRETS.order })}\n${row({ campaign: [SECRETS.cookie] })}\n${SECRETS.query} ${SECRETS.ipv4}\n`,
  )
  project.write(
    'data/spool/20261116-2.open',
    `${row({}).replace('"1"', '"2"')}\n{"batch":"2","visitor":"${SECRETS.uuid}","path":"${SECRETS.phone}`,
  )
  project.write('data/spool/tombstones-3.ready', `{"batch":"3","hash":"${SECRETS.header}","day":"${SECRETS.email}"\n`)
  const clickhouse = await startClickHouse(join(project.root, 'clickhouse'))
  const server = await startServe(project, { CLICKHOUSE_URL: clickhouse.url, MADELEINE_LOG: 'debug' })
  try {
    await hostileLoad(server)
    // Both fail: the disk under events, the store under what waits.
    await expect.poll(() => metric(server, 'madeleine_spool_files_waiting'), { timeout: 30_000 }).toBe(0)
    await refuseWrites(join(project.data, 'spool'), () => hostileLoad(server))
    await clickhouse.stop()
    await hostileLoad(server)
    await expect.poll(() => metric(server, 'madeleine_spool_failures_total'), { timeout: 30_000 }).toBeGreaterThan(0)
  } finally {
    await server.stop()
    await clickhouse.stop()
  }
  const log = server.stderr()
  const engineLog = ['data', 'clickhouse'].map((name) => join(project.root, name, 'engine.log'))
  const engine = engineLog.map((path) => (existsSync(path) ? readFileSync(path, 'utf8') : '')).join('\n')
  project.remove()
  // What went wrong is told: the events that were set aside, the disk, the store.
  for (const line of ['events set aside', 'events are refused', 'could not be shipped yet']) expect(log).toContain(line)
  expect(log.split('\n').filter((line) => found(line).length > 0)).toEqual([])
  expect(found(engine)).toEqual([])
  expect(found(`x ${SECRETS.email.toUpperCase()}`)).toEqual(['email'])
}, 240_000)
