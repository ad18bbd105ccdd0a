// The collector's routes from outside: what each answers, what is stored of it, and what is counted where nothing is.

import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { Agent, type IncomingMessage, request } from 'node:http'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { membersOf } from '../support/cli.ts'
import { OPEN_CONFIG, type Project, scratchProject } from '../support/scratch.ts'
import { API_KEY, hitPixel, metric, postEvents, type Serving, startServe } from '../support/serve.ts'

const CONFIG = {
  ...OPEN_CONFIG,
  'config/sources.yaml': 'sources:\n  - id: site\n  - { id: guarded, hosts: [news.example] }\n',
  'config/segments/all.yaml': `segments:
  - { id: anybody, when: { count: { gte: 1 } } }
  - { id: marked, when: { where: { attr.mark: { exists: true } } } }
  - { id: batch, when: { event: batch_event } }
`,
}
const URL_A = 'https://a.example/page'
const VISITOR = '0f0e0d0c-0b0a-4009-8807-060504030201'

describe('The collector', () => {
  let project: Project
  let server: Serving
  beforeAll(async () => {
    project = scratchProject(CONFIG)
    server = await startServe(project)
  })
  afterAll(async () => {
    await server?.stop()
    project?.remove()
  })

  const dropped = (reason: string, field = '') =>
    metric(server, `madeleine_events_dropped_total{reason="${reason}",field="${field}"}`)
  const members = async (id: string) => (await membersOf(project, id))[id]

  it('A parameter that nobody knows is ignored and counted, and the event is stored', async () => {
    const before = await metric(server, 'madeleine_parameters_ignored_total')
    const { visitor } = await hitPixel(server, { source: 'site', url: URL_A, 'attr.mark': 'x', nonsense: '1', utm_source: 'y' })
    expect(await members('marked')).toEqual(new Set([visitor]))
    expect(await metric(server, 'madeleine_parameters_ignored_total')).toBe(before + 2)
  })

  it.each([
    ['a number that is none', { source: 'site', value: 'many' }, 'invalid_field', 'value'],
    ['an event name in capitals', { source: 'site', event: 'Click' }, 'invalid_field', 'event'],
    ['an address that is none', { source: 'site', url: 'page' }, 'invalid_field', 'url'],
    ['a source that is not declared', { source: 'elsewhere' }, 'unknown_source', ''],
    ['no source', {}, 'unknown_source', ''],
    ['a page of another host', { source: 'guarded', url: 'https://evil-news.example/' }, 'host_not_allowed', ''],
  ])('A hit with %s is dropped and counted; the answer is an image without a cookie', async (_, parameters, reason, field) => {
    const before = await dropped(reason, field)
    const answer = await hitPixel(server, { url: URL_A, 'attr.mark': 'dropped', ...parameters } as Record<string, string>)
    expect(answer).toMatchObject({ status: 200, type: 'image/gif', visitor: undefined })
    expect(await dropped(reason, field)).toBe(before + 1)

    const good = { source: 'guarded', url: 'https://www.news.example/', 'attr.mark': 'control' }
    const control = await hitPixel(server, good)
    expect(control).toMatchObject({ status: 200, type: 'image/gif' })
    expect(control.visitor).toBeDefined()
  })

  it('A batch with one bad event is refused with its index and field, and none of it is stored', async () => {
    const event = { event: 'batch_event', url: URL_A }
    const bad = { source: 'site', events: [event, { ...event, value: 'many' }, event] }
    const refused = await postEvents(server, bad)
    expect(refused).toMatchObject({ status: 400, visitor: undefined })
    expect(JSON.parse(refused.text)).toMatchObject({ index: 1, field: 'value' })
    const control = await postEvents(server, { source: 'site', events: [event, event] })
    expect(control).toMatchObject({ status: 204, text: '' })
    expect(await members('batch')).toEqual(new Set([control.visitor]))
  })

  it('100 events in one body are taken, 101 are not', async () => {
    const events = (n: number) => ({ source: 'site', events: Array.from({ length: n }, () => ({ url: URL_A })) })
    expect((await postEvents(server, events(100))).status).toBe(204)
    expect((await postEvents(server, events(101))).status).toBe(400)
    expect((await postEvents(server, 'nonsense')).status).toBe(400)
  })

  it('A body of 256 KiB is taken, one byte more is answered 413 and counted', async () => {
    const body = JSON.stringify({ source: 'site', url: URL_A })
    expect((await postEvents(server, body.padEnd(262_144))).status).toBe(204)
    const before = await dropped('body_too_large')
    const headers = { authorization: `Bearer ${API_KEY}` }
    expect((await postEvents(server, body.padEnd(262_145), { headers })).status).toBe(413)
    expect((await postEvents(server, body.padEnd(300_000), { path: '/v1/events', headers })).status).toBe(413)
    expect(await dropped('body_too_large')).toBe(before + 2)
  })

  /** The `Connection` header of the answer to a body of which the collector need not read the end. */
  async function connectionAfter(path: string, bytes: number, more: Record<string, string> = {}): Promise<string | undefined> {
    const agent = new Agent({ keepAlive: true })
    const headers = { authorization: `Bearer ${API_KEY}`, ...more }
    const sent = request({ port: server.port, host: '127.0.0.1', agent, method: 'POST', path, headers }).end('{'.repeat(bytes))
    const [response] = (await once(sent, 'response')) as [IncomingMessage]
    response.resume()
    await once(response, 'end')
    agent.destroy()
    return response.headers.connection
  }

  it('A body that is too large closes its connection and says so, so that no later request is sent into it', async () => {
    const chunked = { 'transfer-encoding': 'chunked' }
    const fromPage = { origin: 'https://a.example' } // our own page's POST is not read at all
    for (const path of ['/e', '/v1/events', '/v1/explain', '/v1/links', '/optout', '/optin']) {
      expect(await connectionAfter(path, 262_145, fromPage), path).toBe('close')
      expect(await connectionAfter(path, 400_000, { ...fromPage, ...chunked }), `${path} in chunks`).toBe('close')
      expect(await connectionAfter(path, 100, fromPage), path).toBe('keep-alive')
    }
  })

  it('A large body without the key closes its connection and says so', async () => {
    expect(await connectionAfter('/v1/events', 200_000, { authorization: '' })).toBe('close')
  })

  it('/v1/events is refused without the key, with a wrong one, and with an ill-formed visitor; with the key the visitor is kept', async () => {
    const path = '/v1/events'
    const body = { source: 'site', visitor: VISITOR, url: URL_A, 'attr.mark': 'server', ts: new Date().toISOString() }
    const bearer = (key: string) => ({ path, headers: { authorization: `Bearer ${key}` } })
    expect((await postEvents(server, body, { path })).status).toBe(401)
    expect((await postEvents(server, body, bearer('wrong'))).status).toBe(401)
    expect((await postEvents(server, body, bearer(''))).status).toBe(401)
    const refused = await postEvents(server, { ...body, visitor: 'somebody' }, bearer(API_KEY))
    expect(refused.status).toBe(400)
    expect(JSON.parse(refused.text)).toMatchObject({ index: 0, field: 'visitor' })
    expect(await members('marked')).not.toContain(VISITOR)
    expect(await postEvents(server, body, bearer(API_KEY))).toMatchObject({ status: 204, visitor: undefined })
    expect(await members('marked')).toContain(VISITOR)
  })

  it('`ts` counts with the key only: without it the event is of now, and the parameter is ignored', async () => {
    const old = { source: 'site', url: URL_A, 'attr.mark': 'ts', ts: String(Date.now() - 91 * 86_400_000) }
    const ignored = await metric(server, 'madeleine_parameters_ignored_total')
    const tooOld = await dropped('too_old')
    const { visitor } = await hitPixel(server, old)
    expect(await metric(server, 'madeleine_parameters_ignored_total')).toBe(ignored + 1)
    expect((await hitPixel(server, old, { authorization: `Bearer ${API_KEY}` })).visitor).toBeUndefined()
    expect(await dropped('too_old')).toBe(tooOld + 1)
    expect(await members('marked')).toContain(visitor)
  })
})

it('Without MADELEINE_API_KEY a route that needs a key answers 401 whatever is sent', async () => {
  const project = scratchProject(CONFIG)
  const server = await startServe(project, { MADELEINE_API_KEY: '' })
  try {
    for (const key of ['', ' ', 'undefined', API_KEY])
      expect((await postEvents(server, {}, { path: '/v1/events', headers: { authorization: `Bearer ${key}` } })).status).toBe(401)
  } finally {
    await server.stop()
    project.remove()
  }
})

it('SIGTERM in the midst of traffic: all that was answered is in the store, nothing waits in the spool, within 10 seconds', async () => {
  const project = scratchProject(CONFIG)
  try {
    const server = await startServe(project)
    const acknowledged: string[] = []
    const hit = async () => {
      const { status, visitor } = await hitPixel(server, { source: 'site', url: URL_A })
      if (status === 200 && visitor) acknowledged.push(visitor)
    }
    await Promise.all(Array.from({ length: 300 }, hit))
    expect(acknowledged).toHaveLength(300)
    const late = Array.from({ length: 100 }, hit)
    const signalledMs = Date.now()
    const stopped = server.stop()
    await Promise.allSettled(late) // a connection that is refused was not answered
    expect(await stopped).toBe(0)
    const stoppedMs = Date.now() - signalledMs
    process.stderr.write(`SIGTERM: ${acknowledged.length} of 400 answered, stopped in ${stoppedMs} ms\n`)
    expect(stoppedMs).toBeLessThan(10_000)
    expect(readdirSync(join(project.data, 'spool')).filter((name) => /\.(open|ready)$/.test(name))).toEqual([])
    const all = (await membersOf(project, 'anybody'))['anybody']
    expect(acknowledged.filter((visitor) => !all?.has(visitor))).toEqual([])
  } finally {
    project.remove()
  }
})
