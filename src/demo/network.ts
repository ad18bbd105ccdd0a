// Sends the sample traffic as browsers would: real requests on kept connections, each sender's one after the other, with the cookies it was given.
// node:http and not fetch, which costs twice the processor time here, on machines where collector and senders share two cores.

import { Agent, request } from 'node:http'
import type { Sender } from './traffic.ts'
import type { Hit, SentEvent } from './visit.ts'

const CONNECTIONS = 32

export type Collector = {
  readonly port: number
  /** Lets the collector believe `ts`. */
  readonly apiKey: string
}

export type Sent = {
  /** Events the collector answered for, by kind of sender. */
  readonly person: number
  readonly bot: number
  readonly botsWithCookie: number
}

type Answer = {
  readonly status: number
  readonly location: string | undefined
  readonly cookies: readonly string[]
  readonly body: string
}

/** The jar of one browser. Domain and path need no thought: there is one collector. */
function takeCookies(jar: Map<string, string>, cookies: readonly string[]): void {
  for (const cookie of cookies) {
    const pair = cookie.split(';', 1)[0] ?? ''
    jar.set(pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1))
  }
}

function queryOf(source: string, event: SentEvent): string {
  const query = new URLSearchParams({ source })
  for (const [name, value] of Object.entries(event)) query.set(name, String(value)) // a list becomes a,b
  return query.toString()
}

const bodyOf = ({ source, events }: Hit): string =>
  JSON.stringify(events.length === 1 ? { source, ...events[0] } : { source, events })

/** What a browser adds on its own to a request that a page makes to another site. */
function headersOf(
  sender: Sender,
  { via, events }: Hit,
  jar: ReadonlyMap<string, string>,
  apiKey: string,
): Record<string, string> {
  const { origin } = new URL(String(events[0]?.['url']))
  const isChromium = sender.agent.includes('Chrome/')
  return {
    // People's hits lie in the past, which the key makes believable; bots come as strangers.
    ...(sender.kind === 'person' ? { authorization: `Bearer ${apiKey}` } : {}),
    'user-agent': sender.agent,
    referer: `${origin}/`, // strict-origin-when-cross-origin, the default of every browser
    'sec-fetch-site': 'cross-site',
    'sec-fetch-mode': 'no-cors',
    'sec-fetch-dest': via === 'pixel' ? 'image' : 'empty',
    ...(via === 'pixel' ? { accept: 'image/avif,image/webp,*/*;q=0.8' } : { 'content-type': 'text/plain;charset=UTF-8', origin }),
    ...(sender.language === '' ? {} : { 'accept-language': sender.language }),
    ...(isChromium ? { 'sec-fetch-storage-access': 'active' } : {}),
    ...(jar.size > 0 ? { cookie: [...jar].map(([name, value]) => `${name}=${value}`).join('; ') } : {}),
  }
}

/** Sends everything; `onEvents` hears how many events each answered request carried. Throws at the first answer that no browser should get. */
export async function sendTraffic(
  senders: readonly Sender[],
  { port, apiKey }: Collector,
  onEvents: (events: number) => void,
): Promise<Sent> {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS })
  const sent = { person: 0, bot: 0, botsWithCookie: 0 }

  function ask(method: 'GET' | 'POST', path: string, headers: Record<string, string>, body = ''): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const outgoing = request({ host: '127.0.0.1', port, agent, method, path, headers }, (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', reject)
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            location: response.headers.location,
            cookies: response.headers['set-cookie'] ?? [],
            body: Buffer.concat(chunks).toString('latin1'),
          }),
        )
      })
      outgoing.on('error', reject)
      outgoing.end(body)
    })
  }

  async function send(sender: Sender, hit: Hit, jar: Map<string, string>): Promise<void> {
    const [first] = hit.events
    let answer: Answer
    if (hit.via === 'pixel' && first) {
      answer = await ask('GET', `/p.gif?${queryOf(hit.source, first)}`, headersOf(sender, hit, jar, apiKey))
      takeCookies(jar, answer.cookies)
      if (answer.status === 302 && answer.location !== undefined) {
        const { pathname, search } = new URL(answer.location, 'http://localhost')
        answer = await ask('GET', pathname + search, headersOf(sender, hit, jar, apiKey))
      }
    } else {
      const body = bodyOf(hit)
      const headers = { ...headersOf(sender, hit, jar, apiKey), 'content-length': String(Buffer.byteLength(body)) }
      answer = await ask('POST', '/e', headers, body)
    }
    if (answer.status !== (hit.via === 'pixel' ? 200 : 204))
      throw new Error(`the collector answered ${answer.status} to a sample ${hit.via}: ${answer.body.slice(0, 300)}`)
    takeCookies(jar, answer.cookies)
    sent[sender.kind] += hit.events.length
    onEvents(hit.events.length)
  }

  const waiting = senders.values()
  let failed = false
  async function work(): Promise<void> {
    for (const sender of waiting) {
      const jar = new Map<string, string>()
      for (const hit of sender.hits) {
        if (failed) return
        await send(sender, hit, jar)
      }
      if (sender.kind === 'bot' && jar.size > 0) sent.botsWithCookie++
    }
  }
  try {
    await Promise.all(
      Array.from({ length: CONNECTIONS }, () =>
        work().catch((error: unknown) => {
          failed = true
          throw error
        }),
      ),
    )
  } finally {
    agent.destroy()
  }
  return sent
}
