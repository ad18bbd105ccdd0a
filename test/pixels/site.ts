// A publisher's site and a collector that only writes down what it is sent: http://a.localhost and http://b.localhost, two sites to Chromium (a `localhost`
// host name always resolves to loopback there), so beacons cross sites as they do in life. Each test is its own source, so a late beacon of one test
// cannot reach another. The collector sets a cookie for the site, as the real one does, and writes its policy into the tag where the script's address asks for one.

import { existsSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { build } from 'esbuild'
import { type Browser, chromium, type Page } from 'playwright-core'
import { parseFields } from '../../src/event/fields.ts'

const CHROMIUM = '/usr/bin/chromium'
export const hasChromium = existsSync(CHROMIUM)

export type Hit = Readonly<Record<string, unknown>>
export type Post = {
  readonly path: string
  readonly type: string
  readonly bytes: number
  readonly cookie: string
  readonly at_ms: number
  readonly hit: Hit
}

export const STUB =
  '<script>window.madeleine=window.madeleine||function(){(madeleine.q=madeleine.q||[]).push(arguments)}</script>'

export async function buildTag(): Promise<string> {
  const options = { bundle: true, minify: true, platform: 'browser', format: 'iife', target: 'es2020', write: false } as const
  const { outputFiles } = await build({ entryPoints: ['pixels/tag.ts'], ...options })
  return outputFiles[0]?.text ?? ''
}

const listen = (server: Server) =>
  new Promise<number>((resolve) => server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)))

export async function openSite(tag: string) {
  const posts: Post[] = []
  const html = new Map<string, string>()
  const answers = new Map<string, Promise<unknown>>()
  /** Of every request, with what the browser says of where it came from. */
  const addresses: string[] = []
  let arrived = () => {}

  const pages = createServer((request, response) => {
    const source = request.url?.split(/[/?]/)[1] ?? ''
    addresses.push(`${request.url} ${request.headers.referer}`)
    response.setHeader('content-type', 'text/html').end(html.get(source) ?? '<!doctype html><title>elsewhere</title>')
  })
  const collector = createServer(async (request, response) => {
    response.setHeader('access-control-allow-origin', '*') // Module scripts are fetched with CORS.
    addresses.push(`${request.url} ${request.headers.referer}`)
    const policy = new URL(request.url ?? '', 'http://b.localhost').searchParams.get('policy')
    const script = policy === null ? tag : tag.replace('%MADELEINE_POLICY%', policy)
    if (request.method === 'GET') return response.setHeader('content-type', 'text/javascript').end(script)
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const body = Buffer.concat(chunks)
    const hit = JSON.parse(body.toString()) as Hit
    const { 'content-type': type = '', cookie = '' } = request.headers
    posts.push({ path: request.url ?? '', type, bytes: body.length, cookie, at_ms: performance.now(), hit })
    arrived()
    await answers.get(String(hit['source']))
    return response
      .writeHead(204, cookie ? {} : { 'set-cookie': `id=${posts.length}; SameSite=None; Secure; Partitioned; Path=/` })
      .end()
  })
  const [pagePort, collectorPort] = await Promise.all([listen(pages), listen(collector)])
  const browser: Browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  })

  const postsOf = (source: string) => posts.filter(({ hit }) => hit['source'] === source)
  const hitsOf = (source: string) =>
    postsOf(source)
      .filter(({ path }) => path.endsWith('/e'))
      .map(({ hit }) => hit)
  /** What the real collector would say of an event that it would refuse. */
  const refusals = () =>
    posts
      .map(({ hit }) => parseFields(hit, { form: 'json', derived: true }))
      .flatMap((parsed) => (parsed.ok ? [] : [parsed.problem]))

  async function hitsUntil(source: string, isDone: (hits: readonly Hit[]) => boolean): Promise<readonly Hit[]> {
    while (!isDone(hitsOf(source))) {
      await new Promise<void>((resolve) => {
        arrived = resolve
      })
    }
    return hitsOf(source)
  }

  const script = (source: string, attributes = '', path = '/t.js') =>
    `<script async src="http://b.localhost:${collectorPort}${path}" data-source="${source}" ${attributes}></script>`
  const address = (source: string, path = '/') => `http://a.localhost:${pagePort}/${source}${path}`

  /** Opens a page of its own browser profile; `setup` runs in it before anything else. */
  async function visit(source: string, head: string, { body = '', setup = '', before = async (_: Page) => {} } = {}) {
    html.set(source, `<!doctype html><head>${head}</head><body>${body}</body>`)
    const context = await browser.newContext()
    const page: Page = await context.newPage()
    const errors: Error[] = []
    page.on('pageerror', (error) => errors.push(error))
    if (setup) await page.addInitScript({ content: setup })
    await before(page)
    await page.goto(address(source))
    return {
      page,
      errors,
      run: (code: string) => page.evaluate(code),
      until: (isDone: (hits: readonly Hit[]) => boolean) => hitsUntil(source, isDone),
    }
  }

  /** Holds the answers to a source's requests; call what it returns to let them go. */
  function hold(source: string): () => void {
    let release = () => {}
    answers.set(source, new Promise<void>((resolve) => (release = resolve)))
    return () => {
      answers.delete(source)
      release()
    }
  }

  async function close() {
    await browser.close()
    for (const server of [pages, collector]) {
      server.closeAllConnections()
      server.close()
    }
  }

  return { script, address, addresses, visit, hold, postsOf, hitsOf, refusals, close }
}
