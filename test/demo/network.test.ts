// The senders against a collector that is not ours: what they do with its answers.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { sendTraffic } from '../../src/demo/network.ts'
import type { Sender } from '../../src/demo/traffic.ts'

type Request = { readonly line: string; readonly cookie: string | undefined; readonly body: string }
const closing: (() => void)[] = []
afterEach(() => {
  for (const close of closing.splice(0)) close()
})

async function collectorThat(answer: (request: IncomingMessage, response: ServerResponse) => void) {
  const requests: Request[] = []
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    requests.push({ line: `${request.method} ${request.url}`, cookie: request.headers.cookie, body })
    answer(request, response)
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  closing.push(() => {
    server.closeAllConnections()
    server.close()
  })
  return { requests, collector: { port: (server.address() as AddressInfo).port, apiKey: 'key' } }
}

const event = (ts: number) => ({ event: 'page_view', ts, url: 'https://news.example/a', category: ['1', '2'] })
const person: Sender = {
  kind: 'person',
  agent: 'Firefox',
  language: 'de-DE',
  hits: [
    { via: 'pixel', source: 'news', events: [event(1)] },
    { via: 'beacon', source: 'news', events: [event(2)] },
    { via: 'beacon', source: 'news', events: [event(3), event(4)] },
  ],
}

test('a sender brings back the cookie it was given, and no other sender does', async () => {
  let given = 0
  const { requests, collector } = await collectorThat(({ method, headers }, response) => {
    if (headers.cookie === undefined) response.setHeader('set-cookie', `mid=v${++given}; Secure; Path=/`)
    response.writeHead(method === 'GET' ? 200 : 204).end()
  })
  const sent = await sendTraffic([person, person], collector, () => {})
  expect(sent).toEqual({ person: 8, bot: 0, botsWithCookie: 0 })
  expect(requests.map(({ cookie }) => cookie).toSorted()).toEqual(['mid=v1', 'mid=v1', 'mid=v2', 'mid=v2', undefined, undefined])
})

test('a pixel carries the fields in its query, a beacon one event or a batch', async () => {
  const { requests, collector } = await collectorThat(({ method }, response) => {
    response.writeHead(method === 'GET' ? 200 : 204).end()
  })
  await sendTraffic([person], collector, () => {})
  expect(requests.map(({ line }) => line)).toEqual([
    'GET /p.gif?source=news&event=page_view&ts=1&url=https%3A%2F%2Fnews.example%2Fa&category=1%2C2',
    'POST /e',
    'POST /e',
  ])
  expect(JSON.parse(requests[1]?.body ?? '')).toEqual({ source: 'news', ...event(2) })
  expect(JSON.parse(requests[2]?.body ?? '')).toEqual({ source: 'news', events: [event(3), event(4)] })
})

test('a pixel that answers with a redirect is asked again, with its cookie', async () => {
  const { requests, collector } = await collectorThat(({ method, headers, url }, response) => {
    if (method === 'GET' && headers.cookie === undefined)
      response.writeHead(302, { location: `${url}&again=1`, 'set-cookie': 'mid=v; Path=/' }).end()
    else response.writeHead(method === 'GET' ? 200 : 204).end()
  })
  const sent = await sendTraffic([person], collector, () => {})
  expect(sent.person).toBe(4)
  expect(requests[1]).toMatchObject({ line: expect.stringContaining('&again=1'), cookie: 'mid=v' })
})

test('a bot that is given a cookie is noticed', async () => {
  const { collector } = await collectorThat(({ method }, response) => {
    response.writeHead(method === 'GET' ? 200 : 204, { 'set-cookie': 'mid=v; Path=/' }).end()
  })
  const sent = await sendTraffic([{ ...person, kind: 'bot' }], collector, () => {})
  expect(sent).toEqual({ person: 0, bot: 4, botsWithCookie: 1 })
})

test('an answer that refuses ends the sending with its text', async () => {
  const { collector } = await collectorThat((_request, response) => {
    response.writeHead(400).end('{"error":"event 0: ts is odd"}')
  })
  await expect(sendTraffic([person], collector, () => {})).rejects.toThrow(/answered 400 .*ts is odd/)
})
