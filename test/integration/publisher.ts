// Publishers' pages on http://a.localhost and http://c.localhost, and real Chromium on them. The collector is asked for as http://b.localhost: each is a site of
// its own to the browser, so the collector's cookies are third-party cookies, and all are trustworthy, so Secure cookies are taken without TLS (reference:
// privacy.md 1.7).

import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Browser, type BrowserContext, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { expect, vi } from 'vitest'
import type { Store } from '../../src/engine/store.ts'
import { BROWSER_AGENT, type Serving } from '../support/serve.ts'

const CHROMIUM = '/usr/bin/chromium'
export const hasChromium = existsSync(CHROMIUM)
const ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  // Not Playwright's `userAgent`: a beacon sent while a page is left escapes what is emulated for that page, and says HeadlessChrome.
  `--user-agent=${BROWSER_AGENT}`,
]

/** An image that says nothing of who may embed it, on every site. */
const DOT = '/dot.gif'
const DOT_BYTES = Buffer.from('R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7', 'base64')

export const STUB =
  '<script>window.madeleine=window.madeleine||function(){(madeleine.q=madeleine.q||[]).push(arguments)}</script>'

export type PublisherOptions = {
  /** As a person sets it in Chromium's settings. */
  readonly thirdPartyCookies?: boolean
  /** Chromium as it was to become, where nothing is set: third-party cookies are blocked, partitioned ones are not. */
  readonly phaseout?: boolean
  /** False: no cookies at all, and no storage of pages. */
  readonly cookies?: boolean
}

type PageOptions = { readonly site?: 'a' | 'c'; readonly headers?: Readonly<Record<string, string>> }

/** The tag, from any address that leads to a collector. */
export const tagFrom = (collector: string, source: string, attributes = ''): string =>
  `${STUB}<script async src="${collector}/t.js" data-source="${source}" ${attributes}></script>`

/**
 * Chrome's default takes third-party cookies; Debian's build and profiles without preferences of their own refuse them (`Sec-Fetch-Storage-Access: none`,
 * Chromium 156 of bookworm). The preference is read at start only, so the profile is written first.
 */
async function launch(profile: string, { thirdPartyCookies, phaseout, cookies }: Required<PublisherOptions>): Promise<Browser> {
  mkdirSync(join(profile, 'Default'))
  const settings = {
    cookie_controls_mode: thirdPartyCookies ? 0 : 1,
    ...(cookies ? {} : { default_content_setting_values: { cookies: 2 } }),
  }
  // What is set goes before the flag.
  if (!phaseout) writeFileSync(join(profile, 'Default', 'Preferences'), JSON.stringify({ profile: settings }))
  const args = phaseout ? [...ARGS, '--test-third-party-cookie-phaseout'] : ARGS
  const context = await chromium.launchPersistentContext(profile, { executablePath: CHROMIUM, args })
  const browser = context.browser()
  if (!browser) throw new Error('Chromium was started and is not there')
  return browser
}

export async function openPublisher(
  collectorPort: number,
  { thirdPartyCookies = true, phaseout = false, cookies = true }: PublisherOptions = {},
) {
  const collector = `http://b.localhost:${collectorPort}`
  /** By its path, on every site. */
  const pages = new Map<string, { readonly html: string; readonly headers: Readonly<Record<string, string>> }>()
  const server = createServer((request, response) => {
    const path = request.url?.split('?')[0] ?? ''
    if (path === DOT) {
      response.setHeader('content-type', 'image/gif').end(DOT_BYTES)
      return
    }
    const { html, headers } = pages.get(path) ?? { html: '', headers: {} }
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
    response.setHeader('content-type', 'text/html').end(`<!doctype html><title>page</title>${html}`)
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const originOf = (site: 'a' | 'c') => `http://${site}.localhost:${(server.address() as AddressInfo).port}`
  const directory = mkdtempSync(join(tmpdir(), 'mad-chromium-'))
  const browser = await launch(directory, { thirdPartyCookies, phaseout, cookies })

  return {
    collector,
    /** Puts a page up and gives its address. */
    page(path: string, html: string, { site = 'a', headers = {} }: PageOptions = {}): string {
      pages.set(path, { html, headers })
      return originOf(site) + path
    },
    /** An image of the other site, which says nothing of who may embed it. */
    foreignImage: originOf('c') + DOT,
    image: (source: string, more = '') => `<img src="${collector}/p.gif?source=${source}${more}">`,
    tag: (source: string, attributes = '') => tagFrom(collector, source, attributes),
    /** A browser profile of its own, with an empty cookie jar. */
    profile: (options: BrowserContextOptions = {}): Promise<BrowserContext> => browser.newContext(options),
    async close() {
      await browser.close()
      server.closeAllConnections()
      server.close()
      rmSync(directory, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

/** The cookies that the collector has in a profile, by name. */
export async function jar(profile: BrowserContext): Promise<Record<string, string>> {
  const cookies = await profile.cookies()
  return Object.fromEntries(cookies.filter(({ domain }) => domain === 'b.localhost').map(({ name, value }) => [name, value]))
}

/** The same with the top-level site that a cookie is kept apart for; '' where it is kept for all. */
export async function jarBySite(profile: BrowserContext): Promise<readonly { name: string; value: string; site: string }[]> {
  // Playwright asks `Storage.getCookies` of the DevTools protocol for them.
  const cookies = await profile.cookies()
  return cookies
    .filter(({ domain }) => domain === 'b.localhost')
    .map((cookie) => ({
      name: cookie.name,
      value: cookie.value,
      site: cookie.partitionKey ? new URL(cookie.partitionKey).hostname : '',
    }))
    .sort((a, b) => (a.site + a.name < b.site + b.name ? -1 : 1))
}

/** Opens a page in a new tab and resolves when the collector has answered the hit that it sends. */
export async function visit(profile: BrowserContext, address: string, hit: 'p.gif' | 'e') {
  const page = await profile.newPage()
  const answered = page.waitForResponse((response) => new URL(response.url()).pathname === `/${hit}`)
  await page.goto(address)
  const response = await answered
  return { page, response, status: response.status() }
}

/** Long enough in sight to be worth a dwell event, and then left for a page of the same site. */
export async function leave(page: Page): Promise<void> {
  await page.evaluate(
    'const since = performance.now(); new Promise((done) => { const look = () => performance.now() - since > 150 ? done() : requestAnimationFrame(look); look() })',
  )
  await page.goto(new URL('/elsewhere', page.url()).href)
}

export type StoredEvent = { visitor: string; scope: string; event: string; url: string; receivers: number[] }

/** The events of a source, once everything that was accepted is stored. */
export async function storedEvents(server: Serving, store: Store, source: string): Promise<readonly StoredEvent[]> {
  const look = async () => {
    const text = await (await fetch(`${server.origin}/metrics`)).text()
    const sum = (name: string) =>
      [...text.matchAll(new RegExp(`^${name}(?:{.*})? (\\d+)$`, 'gm'))].reduce((total, [, n]) => total + Number(n), 0)
    expect(sum('madeleine_spool_rows_shipped_total')).toBe(sum('madeleine_events_accepted_total'))
  }
  await vi.waitFor(look, { timeout: 30_000, interval: 50 })
  return store.rows<StoredEvent>({
    owner: 'test.stored',
    sql: `SELECT toString(visitor) AS visitor, toString(scope) AS scope, event, url, receivers
          FROM madeleine.events WHERE source = {source:String} ORDER BY ts`,
    values: { source },
  })
}
