// Who real Chromium is to the collector: on two publishers' sites, with third-party cookies and without, under the policies that pages declare, and without
// anything but the tag's own id.

import { createServer, request as httpRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { BrowserContext, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openStore, type Store } from '../../src/engine/store.ts'
import { OPEN_CONFIG, type Project, scratchProject } from '../support/scratch.ts'
import { metric, type Serving, startServe } from '../support/serve.ts'
import { hasChromium, jar, jarBySite, leave, openPublisher, storedEvents, tagFrom, visit } from './publisher.ts'

/** A test, a source or a few. */
const SOURCES = [
  'both',
  'apart',
  'corp',
  'nocred',
  'nocred-often',
  'refuses',
  'csp-tag',
  'csp-image',
  'own',
  'own-image',
] as const
type Source = (typeof SOURCES)[number]
type Publisher = Awaited<ReturnType<typeof openPublisher>>

const QUIET = 'data-dwell="off"'
const UUID = /[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}/i

/**
 * The collector as a browser meets it that takes no third-party cookie and says nothing of it, as Safari: Chromium cannot be told to leave out
 * `Sec-Fetch-Storage-Access`, so it is lost on the way, with the cookies of both directions.
 */
async function openSilencer(collectorPort: number) {
  const server = createServer((given, answer) => {
    const { 'sec-fetch-storage-access': _, cookie: __, ...headers } = given.headers
    const passed = httpRequest(
      { host: '127.0.0.1', port: collectorPort, method: given.method, path: given.url, headers },
      (got) => {
        const { 'set-cookie': ___, ...kept } = got.headers
        answer.writeHead(got.statusCode ?? 502, kept)
        got.pipe(answer)
      },
    )
    passed.on('error', () => answer.destroy())
    given.pipe(passed)
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return {
    origin: `http://d.localhost:${(server.address() as AddressInfo).port}`,
    close() {
      server.closeAllConnections()
      server.close()
    },
  }
}

describe.skipIf(!hasChromium && process.env['CI'] !== 'true')(
  'A browser as a visitor (skipped where /usr/bin/chromium is missing, except in CI)',
  () => {
    let project: Project
    let server: Serving
    let store: Store
    let open: Publisher
    let blocked: Publisher
    let silencer: Awaited<ReturnType<typeof openSilencer>>

    beforeAll(async () => {
      project = scratchProject({
        ...OPEN_CONFIG,
        'config/sources.yaml': `sources:\n${SOURCES.map((id) => `  - id: ${id}`).join('\n')}\n`,
      })
      server = await startServe(project)
      store = openStore({ directory: project.data })
      silencer = await openSilencer(server.port)
      ;[open, blocked] = await Promise.all([openPublisher(server.port), openPublisher(server.port, { phaseout: true })])
    })
    afterAll(async () => {
      await Promise.all([open?.close(), blocked?.close()])
      silencer?.close()
      await store?.close()
      await server?.stop()
      project?.remove()
    })

    const stored = (source: Source) => storedEvents(server, store, source)
    const requests = (route: string) => metric(server, `madeleine_requests_total{route="${route}"}`)
    const noId = () => metric(server, 'madeleine_events_dropped_total{reason="no_id",field=""}')

    /** By tag and by image, on both sites. */
    async function visitSites(publisher: Publisher, profile: BrowserContext, source: Source): Promise<void> {
      for (const site of ['a', 'c'] as const) {
        const tag = await visit(profile, publisher.page(`/${source}/tag`, publisher.tag(source, QUIET), { site }), 'e')
        await tag.page.close()
        const image = await visit(profile, publisher.page(`/${source}/image`, publisher.image(source), { site }), 'p.gif')
        await image.page.close()
      }
    }
    const siteOf = ({ url }: { url: string }) => new URL(url).hostname[0]

    it('that allows third-party cookies is one visitor on two sites, by tag and by image', async () => {
      const profile = await open.profile()
      await visitSites(open, profile, 'both')
      expect(await jarBySite(profile)).toEqual([{ name: '__Host-mid', value: expect.any(String), site: '' }])
      const id = (await jar(profile))['__Host-mid']?.slice(0, 36)
      const rows = await stored('both')
      expect(rows.map((row) => [siteOf(row), row.visitor, row.scope])).toEqual([
        ['a', id, 'global'],
        ['a', id, 'global'],
        ['c', id, 'global'],
        ['c', id, 'global'],
      ])
    })

    it('that blocks third-party cookies is one visitor a site, in a cookie kept apart for it, on every visit', async () => {
      const profile = await blocked.profile()
      await visitSites(blocked, profile, 'apart')
      const cookies = await jarBySite(profile)
      expect(cookies.map(({ name, site }) => [name, site])).toEqual([
        ['__Host-midp', 'a.localhost'],
        ['__Host-midp', 'c.localhost'],
      ])
      const [a, c] = cookies.map(({ value }) => value.slice(0, 36))
      expect(a).not.toBe(c)
      const rows = await stored('apart')
      expect(rows.map((row) => [siteOf(row), row.visitor, row.scope])).toEqual([
        ['a', a, 'partition'],
        ['a', a, 'partition'],
        ['c', c, 'partition'],
        ['c', c, 'partition'],
      ])
    })

    /** Of our image and of one of a site that does not say who may embed it: 0 where an image has not been loaded. */
    const widths = (page: Page) => page.evaluate<number[]>('[...document.images].map((image) => image.naturalWidth)')
    const withForeign = (source: Source) => `${open.image(source)}<img src="${open.foreignImage}">`

    it('on a page that embeds only what agrees to it (COEP require-corp) loads tag and pixel, with the cookie', async () => {
      const profile = await open.profile()
      const page = await profile.newPage()
      const headers = { 'cross-origin-embedder-policy': 'require-corp' }
      await page.goto(open.page('/corp/without', withForeign('corp')))
      expect(await widths(page)).toEqual([1, 1])
      await page.goto(open.page('/corp/image', withForeign('corp'), { headers }))
      expect(await widths(page)).toEqual([1, 0])
      expect((await visit(profile, open.page('/corp/tag', open.tag('corp', QUIET), { headers }), 'e')).status).toBe(204)
      const id = (await jar(profile))['__Host-mid']?.slice(0, 36)
      expect((await stored('corp')).map(({ visitor, scope }) => [visitor, scope])).toEqual(Array(3).fill([id, 'global']))
    })

    /** After its first hit, of which nobody can tell yet, a browser without cookies is known by the tag. */
    async function expectKnownFromSecond(source: Source): Promise<void> {
      const [, ...later] = await stored(source)
      expect(later.length).toBeGreaterThan(1)
      expect(later.map(({ scope }) => scope)).toEqual(later.map(() => 'first_party'))
      expect(new Set(later.map(({ visitor }) => visitor)).size).toBe(1)
    }

    const credentialless = { 'cross-origin-embedder-policy': 'credentialless' }

    it('on a page without credentials (COEP credentialless) loads the pixel, and no cookie travels, although the browser says it could', async () => {
      const profile = await open.profile()
      const address = (path: string, headers = {}) => open.page(`/nocred/${path}`, withForeign('nocred'), { headers })
      await visit(profile, address('first'), 'p.gif')
      const before = await jar(profile)
      const cookie = `__Host-mid=${before['__Host-mid']}`
      const seen = []
      for (const visited of [address('with'), address('without', credentialless)]) {
        const { page, response } = await visit(profile, visited, 'p.gif')
        await page.waitForLoadState('load')
        const { cookie: sent, 'sec-fetch-storage-access': access } = await response.request().allHeaders()
        seen.push([await widths(page), sent, access])
      }
      expect(seen).toEqual([
        [[1, 1], cookie, 'active'],
        [[1, 1], undefined, 'active'],
      ])
      expect(await jar(profile)).toEqual(before)
    })

    it('on a page without credentials is not somebody new with every view', async () => {
      const profile = await open.profile()
      for (const n of [1, 2, 3]) {
        const address = open.page(`/often/tag/${n}`, open.tag('nocred-often', QUIET), { headers: credentialless })
        await visit(profile, address, 'e')
      }
      await expectKnownFromSecond('nocred-often')
    })

    it('whose jar takes nothing from us is not somebody new with every view', async () => {
      // Blocked by an exception for the collector: the page's own storage works.
      const profile = await open.profile()
      for (const n of [1, 2, 3]) {
        await profile.clearCookies()
        await visit(profile, open.page(`/refuses/tag/${n}`, open.tag('refuses', QUIET)), 'e')
      }
      await expectKnownFromSecond('refuses')
    })

    /** A page with the tag and the image under a policy, and left; gives the directives that were violated, and what the page's scripts threw. */
    async function visitUnder(policy: string): Promise<{ violated: string[]; errors: string[] }> {
      const profile = await open.profile()
      const errors: string[] = []
      profile.on('weberror', (error) => errors.push(error.error().message))
      await profile.addInitScript(`window.violated = []
        document.addEventListener('securitypolicyviolation', (event) => violated.push(event.effectiveDirective), true)`)
      const html = open.image('csp-image') + open.tag('csp-tag')
      const page = await profile.newPage()
      await page.goto(open.page('/csp', html, { headers: policy ? { 'content-security-policy': policy } : {} }))
      await page.waitForFunction(policy ? 'violated.length > 0' : 'madeleine.isTag')
      const violated = await page.evaluate<string[]>('violated')
      await leave(page)
      return { violated: [...new Set(violated)], errors }
    }
    const counted = async () => [(await stored('csp-tag')).map(({ event }) => event), (await stored('csp-image')).length]

    it('on a page whose policy forbids beacons or images does without, and nothing is thrown', async () => {
      const [beacons, images] = [await requests('e'), await requests('p.gif')]
      expect(await visitUnder("connect-src 'none'")).toEqual({ violated: ['connect-src'], errors: [] })
      expect([await requests('e'), await requests('p.gif')]).toEqual([beacons, images + 1])
      expect(await counted()).toEqual([[], 1])

      expect(await visitUnder("img-src 'none'")).toEqual({ violated: ['img-src'], errors: [] })
      await expect.poll(() => requests('e')).toBe(beacons + 2) // the view, and the time on the page
      expect(await requests('p.gif')).toBe(images + 1)
      expect(await counted()).toEqual([['page_view', 'dwell'], 1])
    })

    it('that takes no third-party cookie and says nothing of it is known by the tag on each site, and no address tells it', async () => {
      const profile = await open.profile()
      const addresses: string[] = []
      const bodies: string[] = []
      profile.on('request', (request) => {
        addresses.push(request.url(), request.headers()['referer'] ?? '')
        if (request.method() === 'POST') bodies.push(request.postData() ?? '')
      })
      const kept: unknown[] = []
      for (const site of ['a', 'c'] as const) {
        const address = open.page('/own', tagFrom(silencer.origin, 'own', QUIET), { site })
        for (let n = 1; n <= 2; n++) {
          const { page } = await visit(profile, address, 'e')
          kept.push((await page.evaluate<string>('localStorage._mid')).slice(0, 36))
        }
      }
      expect(bodies.map((body) => JSON.parse(body).fpid)).toEqual(kept)
      expect(new Set(kept).size).toBe(2)
      expect(addresses.filter((address) => UUID.test(address))).toEqual([])
      expect(addresses.filter((address) => address.endsWith('/e')).length).toBe(4)

      const rows = await stored('own')
      expect(rows.map((row) => [siteOf(row), row.scope])).toEqual([
        ['a', 'first_party'],
        ['a', 'first_party'],
        ['c', 'first_party'],
        ['c', 'first_party'],
      ])
      const [a1, a2, c1, c2] = rows.map(({ visitor }) => visitor)
      expect([a1, c1]).toEqual([a2, c2])
      expect(a1).not.toBe(c1)
      expect(kept).not.toContain(a1)

      // The same browser by image alone is nobody, and not somebody new with each page.
      const dropped = await noId()
      const page = await profile.newPage()
      await page.goto(open.page('/own/image', `<img src="${silencer.origin}/p.gif?source=own-image">`))
      expect(await widths(page)).toEqual([1])
      expect(await noId()).toBe(dropped + 1)
      expect(await stored('own-image')).toEqual([])
      expect(await profile.cookies()).toEqual([])
    })
  },
)
