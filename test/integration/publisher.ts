// A publisher's pages on http://a.localhost and real Chromium on them. The collector is asked for as http://b.localhost: another site to the browser, so its
// cookies are third-party cookies, and both are trustworthy, so Secure cookies are taken without TLS (reference: privacy.md 1.7).

import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Browser, type BrowserContext, type BrowserContextOptions, chromium } from 'playwright-core'
import { BROWSER_AGENT } from '../support/serve.ts'

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

export const STUB =
  '<script>window.madeleine=window.madeleine||function(){(madeleine.q=madeleine.q||[]).push(arguments)}</script>'

/**
 * Chrome's default takes third-party cookies; Debian's build and profiles without preferences of their own refuse them (`Sec-Fetch-Storage-Access: none`,
 * Chromium 156 of bookworm). The preference is read at start only, so the profile is written first.
 */
async function launch(profile: string, thirdPartyCookies: boolean): Promise<Browser> {
  mkdirSync(join(profile, 'Default'))
  writeFileSync(
    join(profile, 'Default', 'Preferences'),
    JSON.stringify({ profile: { cookie_controls_mode: thirdPartyCookies ? 0 : 1 } }),
  )
  const context = await chromium.launchPersistentContext(profile, { executablePath: CHROMIUM, args: ARGS })
  const browser = context.browser()
  if (!browser) throw new Error('Chromium was started and is not there')
  return browser
}

export async function openPublisher(collectorPort: number, { thirdPartyCookies = true } = {}) {
  const collector = `http://b.localhost:${collectorPort}`
  /** The page's HTML by its path. */
  const pages = new Map<string, string>()
  const server = createServer((request, response) => {
    response.setHeader('content-type', 'text/html')
    response.end(`<!doctype html><title>page</title>${pages.get(request.url?.split('?')[0] ?? '') ?? ''}`)
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const origin = `http://a.localhost:${(server.address() as AddressInfo).port}`
  const directory = mkdtempSync(join(tmpdir(), 'mad-chromium-'))
  const browser = await launch(directory, thirdPartyCookies)

  return {
    collector,
    /** Puts a page up and gives its address. */
    page(path: string, html: string): string {
      pages.set(path, html)
      return origin + path
    },
    image: (source: string, more = '') => `<img src="${collector}/p.gif?source=${source}${more}">`,
    tag: (source: string, attributes = '') =>
      `${STUB}<script async src="${collector}/t.js" data-source="${source}" ${attributes}></script>`,
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

/** Opens a page in a new tab and resolves when the collector has answered the hit that it sends. */
export async function visit(profile: BrowserContext, address: string, hit: 'p.gif' | 'e') {
  const page = await profile.newPage()
  const answered = page.waitForResponse((response) => new URL(response.url()).pathname === `/${hit}`)
  await page.goto(address)
  return { page, status: (await answered).status() }
}
