// Deskdrop (../shared/data/README.md): real behaviour of 1,895 people on an article platform, read without any of our own code, moved into the last 78 days,
// and replayed as 1,895 browsers with a cookie jar each.

import { existsSync, readFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { gunzipSync } from 'node:zlib'
import { API_KEY, BROWSER_AGENT } from '../support/serve.ts'

const FILE = new URL('../../../shared/data/deskdrop.csv.gz', import.meta.url)
export const hasDeskdrop = existsSync(FILE)

/** 351 days become 78, so that all of them lie inside retention. */
const GAPS_DIVIDED_BY = 4.5
export type Row = {
  readonly ts: number
  readonly event: string
  readonly url: string
  readonly person: string
  readonly agent: string
}

/** The cells of one line; cells in quotes may hold commas and doubled quotes. No cell of this file holds a line break. */
function cells(line: string): string[] {
  if (!line.includes('"')) return line.split(',')
  return [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(([, quoted, bare]) =>
    quoted === undefined ? (bare ?? '') : quoted.replaceAll('""', '"'),
  )
}

/** Ids have 16 to 19 digits, which a collector rightly takes out of paths: letters instead, `n` for the minus sign. */
const letters = (id: string): string => id.replace('-', 'n').replace(/\d/g, (digit) => 'abcdefghij'.charAt(Number(digit)))

/** Every row in the order of time, the last of them at `lastMs`. */
export function readDeskdrop(lastMs: number): Row[] {
  const [head = '', ...lines] = gunzipSync(readFileSync(FILE)).toString('utf8').trimEnd().split(/\r?\n/)
  const names = head.split(',')
  const [time, kind, page, person, agent] = ['timestamp', 'eventType', 'contentId', 'personId', 'userAgent'].map((name) =>
    names.indexOf(name),
  ) as [number, number, number, number, number]
  const raw = lines.map(cells)
  const last = raw.reduce((latest, row) => Math.max(latest, Number(row[time])), 0)
  return raw
    .map((row) => ({
      ts: lastMs - Math.round(((last - Number(row[time])) * 1000) / GAPS_DIVIDED_BY),
      event: String(row[kind]).toLowerCase().replace(' ', '_'),
      url: `https://articles.example/${letters(String(row[page]))}`,
      person: String(row[person]),
      agent: row[agent] || BROWSER_AGENT,
    }))
    .sort((a, b) => a.ts - b.ts)
}

export function byPerson(rows: readonly Row[]): Map<string, Row[]> {
  const people = new Map<string, Row[]>()
  for (const row of rows) {
    const own = people.get(row.person)
    if (own) own.push(row)
    else people.set(row.person, [row])
  }
  return people
}

export type Replay = {
  readonly done: Promise<void>
  /** Events answered so far, and the requests they took. */
  readonly progress: { events: number; requests: number }
  /** Each person's visitor id, from the cookie the collector set. */
  readonly visitors: Map<string, string>
}

const CONNECTIONS = 32
const BATCH_MAX = 100

/** A view is an image of its own; what follows from the same browser until the next view goes as one beacon. */
function* requestsOf(rows: readonly Row[]): Generator<readonly Row[]> {
  let beacon: Row[] = []
  for (const row of rows) {
    const joins = beacon.length > 0 && beacon.length < BATCH_MAX && row.event !== 'view' && row.agent === beacon[0]?.agent
    if (!joins && beacon.length > 0) {
      yield beacon
      beacon = []
    }
    if (row.event === 'view') yield [row]
    else beacon.push(row)
  }
  if (beacon.length > 0) yield beacon
}

/**
 * Sends everything over HTTP: each person's requests one after the other, many people at once. One person waits for `last`, so that the load is not over
 * before whatever is to happen beside it, however fast the machine is.
 */
export function replay(port: number, rows: readonly Row[], last: Promise<unknown> = Promise.resolve()): Replay {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS })
  const progress = { events: 0, requests: 0 }
  const visitors = new Map<string, string>()

  function send(events: readonly Row[], cookie: string): Promise<string> {
    const [first] = events as [Row]
    const query = new URLSearchParams({ source: 'desk', event: first.event, url: first.url, ts: String(first.ts) })
    const pixel = first.event === 'view'
    const body = pixel ? '' : JSON.stringify({ source: 'desk', events: events.map(({ event, url, ts }) => ({ event, url, ts })) })
    const headers = {
      authorization: `Bearer ${API_KEY}`,
      'user-agent': first.agent,
      'sec-fetch-storage-access': 'active',
      ...(cookie === '' ? {} : { cookie }),
      ...(pixel ? {} : { 'content-type': 'text/plain;charset=UTF-8', 'content-length': Buffer.byteLength(body) }),
    }
    const options = {
      agent,
      port,
      host: '127.0.0.1',
      headers,
      method: pixel ? 'GET' : 'POST',
      path: pixel ? `/p.gif?${query}` : '/e',
    }
    return new Promise((resolve, reject) => {
      const sent = request(options, (response) => {
        response.resume().on('error', reject)
        if (response.statusCode !== (pixel ? 200 : 204))
          return reject(new Error(`${options.path} answers ${response.statusCode}`))
        const set = response.headers['set-cookie']?.find((line) => line.startsWith('__Host-mid='))
        response.on('end', () => resolve(set?.split(';')[0] ?? cookie))
      })
      sent.on('error', reject).end(body)
    })
  }

  async function browse(person: string, own: readonly Row[]): Promise<void> {
    let cookie = ''
    for (const events of requestsOf(own)) {
      cookie = await send(events, cookie)
      progress.events += events.length
      progress.requests++
    }
    if (cookie !== '') visitors.set(person, cookie.slice('__Host-mid='.length, '__Host-mid='.length + 36))
  }

  async function run(): Promise<void> {
    // The busiest first: 1,885 events one after the other must not begin when all others have finished.
    const people = [...byPerson(rows)].sort(([, a], [, b]) => a.length - b.length)
    const heldBack = people.shift()
    const worker = async () => {
      for (let next = people.pop(); next; next = people.pop()) await browse(...next)
    }
    try {
      await Promise.all(Array.from({ length: CONNECTIONS }, worker))
      await last
      if (heldBack) await browse(...heldBack)
    } finally {
      agent.destroy()
    }
  }
  return { done: run(), progress, visitors }
}
