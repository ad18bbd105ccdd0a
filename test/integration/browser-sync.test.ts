// Cookie sync in real browsers: the real Prebid.js asks our /cookie_sync, a stand-in partner's picture and frame come back to /setuid, and the frame of /sync
// does the same without Prebid. Page, partner and collector are sites of their own to Chromium.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { build } from 'esbuild'
import type { BrowserContext } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Project, scratchProject } from '../support/scratch.ts'
import { type Serving, startServe } from '../support/serve.ts'
import { storedMatches } from '../support/sync.ts'
import { C1, C3 } from '../support/tc-strings.ts'
import { hasChromium, jar, openPublisher } from './publisher.ts'

/** The published package with the module that speaks to a Prebid Server, and the one that reads a consent platform. */
async function bundlePrebid(): Promise<string> {
  const modules = ['prebid.js/modules/prebidServerBidAdapter', 'prebid.js/modules/consentManagementTcf']
  const contents = `import pbjs from 'prebid.js'\n${modules.map((name) => `import '${name}'`).join('\n')}\npbjs.processQueue()`
  const stdin = { contents, resolveDir: process.cwd(), loader: 'js' } as const
  const { outputFiles } = await build({
    stdin,
    bundle: true,
    platform: 'browser',
    format: 'iife',
    target: 'es2020',
    write: false,
  })
  return outputFiles[0]?.text ?? ''
}

/** One auction, as a publisher's page has it. */
const pageWithPrebid = (collector: string, own: string, tcString: string) => `<!doctype html><title>page</title>
<script>
  window.pbjs = { que: [] }
  pbjs.que.push(() => {
    const getTCData = { tcString: '${tcString}', gdprApplies: true, cmpStatus: 'loaded', eventStatus: 'tcloaded',
      purpose: { consents: { 1: true, 4: true } }, vendor: { consents: { 99: true, 123: true } }, publisher: { consents: {} } }
    pbjs.setConfig({
      debug: true,
      consentManagement: { gdpr: { cmpApi: 'static', consentData: { getTCData } } },
      userSync: { filterSettings: { all: { bidders: '*', filter: 'include' } } },
      s2sConfig: [{ accountId: '1', enabled: true, bidders: ['standin', 'frame', 'stranger'], timeout: 1000, adapter: 'prebidServer',
        endpoint: '${own}/auction', syncEndpoint: '${collector}/cookie_sync', allowUnknownBidderCodes: true, syncTimeout: 20000 }],
    })
    pbjs.addAdUnits([{ code: 'top', mediaTypes: { banner: { sizes: [[300, 250]] } },
      bids: ['standin', 'frame', 'stranger'].map((bidder) => ({ bidder, params: {} })) }])
    pbjs.requestBids({ timeout: 2000, bidsBackHandler: () => { window.isBack = true } })
  })
</script>
<script src="/prebid.js"></script>`

describe.skipIf(!hasChromium && process.env['CI'] !== 'true')(
  'Cookie sync in a browser (skipped where /usr/bin/chromium is missing, except in CI)',
  () => {
    let project: Project
    let server: Serving
    let site: Server
    let own: string
    let publisher: Awaited<ReturnType<typeof openPublisher>>
    let prebid: string
    /** What the pages and the partner were asked for: `host path`. */
    let asked: string[] = []

    const dot = Buffer.from('R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7', 'base64')
    /** Pages on a.localhost, the partner on p.localhost, and others on the same port. The partner knows every browser by the id in its cookie. */
    function serveSite(request: IncomingMessage, response: ServerResponse): void {
      const url = new URL(request.url ?? '', `http://${request.headers.host}`)
      asked.push(`${url.hostname} ${url.pathname}`)
      const callback = url.searchParams.get('r') ?? ''
      const id = 'the/partner’s id'.replaceAll(/[^\w/]/g, '+')
      const withId = callback.replace('$UID', encodeURIComponent(id))
      const html = (text: string) => response.setHeader('content-type', 'text/html').end(text)
      if (url.pathname === '/prebid.js') response.setHeader('content-type', 'text/javascript').end(prebid)
      else if (url.pathname === '/auction') {
        response.setHeader('access-control-allow-origin', request.headers.origin ?? '')
        response.setHeader('access-control-allow-credentials', 'true').setHeader('access-control-allow-headers', 'content-type')
        response.setHeader('content-type', 'application/json').end('{"id":"1","seatbid":[]}')
      } else if (url.pathname === '/pixel') response.writeHead(302, { location: withId }).end()
      else if (url.pathname === '/frame') html(`<!doctype html><img src="${withId.replaceAll('&', '&amp;')}">`)
      else if (url.pathname === '/detour') response.writeHead(302, { location: url.searchParams.get('to') ?? '' }).end()
      else if (url.pathname === '/dot') response.setHeader('content-type', 'image/gif').end(dot)
      else if (url.pathname === '/framed')
        html(`<!doctype html><iframe src="${publisher.collector}/sync?gdpr=1&gdpr_consent=${C1}"></iframe>`)
      else html(pageWithPrebid(publisher.collector, own, url.pathname === '/refused' ? C3 : C1))
    }

    beforeAll(async () => {
      prebid = await bundlePrebid()
      site = createServer(serveSite)
      await new Promise<void>((done) => site.listen(0, '127.0.0.1', done))
      const { port } = site.address() as AddressInfo
      own = `http://a.localhost:${port}`
      const partner = `http://p.localhost:${port}`
      const detour = (host: string) =>
        `${partner}/detour?to=${encodeURIComponent(`http://${host}.localhost:${port}/dot`)}&i={our_id}`
      project = scratchProject({
        'config/sources.yaml': 'sources:\n  - id: site\n',
        'config/settings.yaml': `tcf: { vendor_id: 123 }\ncollector: { allowed_origins: ["${own}"] }\nsync: { per_page: 10 }\n`,
        'config/partners.yaml': `partners:
  - { id: standin, vendor_id: 99, sync: { url: "${partner}/pixel?r={redirect}", uid_macro: $UID } }
  - { id: frame, vendor_id: 99, sync: { type: iframe, url: "${partner}/frame?r={redirect}", uid_macro: $UID } }
  - { id: stranger, vendor_id: 77, sync: { url: "${partner}/stranger?r={redirect}", uid_macro: $UID } }
  - { id: detour, vendor_id: 99, sync: { url: "${detour('registered')}" }, redirects: ["http://registered.localhost:${port}"] }
  - { id: sly, vendor_id: 99, sync: { url: "${detour('elsewhere')}" } }
`,
      })
      server = await startServe(project)
      publisher = await openPublisher(server.port)
    })
    afterAll(async () => {
      await publisher?.close()
      await server?.stop()
      site?.closeAllConnections()
      site?.close()
      project?.remove()
    })

    /** Opens a page and resolves with the answer of /cookie_sync, when the auction is over. */
    async function view(profile: BrowserContext, path: string) {
      asked = []
      const page = await profile.newPage()
      const answered = page.waitForResponse((response) => new URL(response.url()).pathname === '/cookie_sync')
      await page.goto(own + path)
      const response = await answered
      await page.waitForFunction('window.isBack')
      return { page, response, body: (await response.json()) as { status: string; bidder_status: { bidder: string }[] } }
    }
    const bidders = (body: { bidder_status: { bidder: string }[] }) => body.bidder_status.map(({ bidder }) => bidder).sort()
    const uidsIn = async (profile: BrowserContext) => {
      const { uids = '' } = await jar(profile)
      const { tempUIDs = {} } = JSON.parse(Buffer.from(uids, 'base64url').toString() || '{}') as {
        tempUIDs?: Record<string, unknown>
      }
      return Object.keys(tempUIDs)
    }

    it('Prebid.js syncs the partners that the visitor allows, and once only', async () => {
      const profile = await publisher.profile()
      const first = await view(profile, '/')
      expect([first.response.status(), first.body.status, bidders(first.body)]).toEqual([200, 'no_cookie', ['frame', 'standin']])
      await expect.poll(() => uidsIn(profile), { timeout: 15_000 }).toEqual(['frame', 'standin'])
      const cookies = await jar(profile)
      const visitor = cookies['__Host-mid']?.slice(0, 36) ?? ''
      const row = (partner: string) => ({ visitor, partner, id: 'the/partner+s+id' })
      expect(await storedMatches(project, [visitor], 2)).toEqual([row('frame'), row('standin')])
      expect(asked).not.toContain('p.localhost /stranger')
      expect(
        await first.page.evaluate(
          `fetch('${publisher.collector}/getuids?gdpr=1&gdpr_consent=${C1}', { credentials: 'include' }).then((r) => r.json())`,
        ),
      ).toEqual({
        buyeruids: { frame: 'the/partner+s+id', standin: 'the/partner+s+id' },
      })

      const second = await view(profile, '/')
      expect([second.body.status, bidders(second.body)]).toEqual(['ok', []])
      expect(asked.filter((line) => line.startsWith('p.'))).toEqual([])
    })

    it('Prebid.js of a page whose visitor has refused syncs nobody', async () => {
      const profile = await publisher.profile()
      const { response, body } = await view(profile, '/refused')
      expect([response.status(), body]).toEqual([200, { status: 'no_cookie', bidder_status: [] }])
      expect(asked.filter((line) => line.startsWith('p.'))).toEqual([])
      expect(await jar(profile)).toEqual({})
    })

    it('a page of another origin cannot read what we know', async () => {
      const profile = await publisher.profile()
      const page = await profile.newPage()
      const read = (from: string) =>
        page
          .goto(`${from}/dot`)
          .then(() =>
            page.evaluate(
              `fetch('${publisher.collector}/getuids', { credentials: 'include' }).then((r) => r.status, () => 'blocked')`,
            ),
          )
      expect(await read(own)).toBe(200)
      expect(await read(own.replace('//a.', '//c.'))).toBe('blocked')
    })

    it('the frame of /sync does the same without Prebid, and leads to nobody who is not registered', async () => {
      const profile = await publisher.profile()
      const page = await profile.newPage()
      asked = []
      const blocked: string[] = []
      page.on('requestfailed', (request) => blocked.push(new URL(request.url()).hostname))
      await page.goto(`${own}/framed`)
      await expect.poll(() => uidsIn(profile), { timeout: 15_000 }).toEqual(['detour', 'frame', 'sly', 'standin'])
      await expect.poll(() => asked).toContain('registered.localhost /dot')
      await expect.poll(() => blocked.length).toBeGreaterThan(0)
      // The partners were asked, and one of the detours was not followed.
      expect(asked.filter((line) => line === 'p.localhost /detour')).toHaveLength(2)
      expect(asked).not.toContain('elsewhere.localhost /dot')
      const { '__Host-mid': cookie = '' } = await jar(profile)
      const rows = await storedMatches(project, [cookie.slice(0, 36)], 2)
      expect(rows.map(({ partner }) => partner)).toEqual(['frame', 'standin'])
    })
  },
)
