// A person in real Chromium who opts out: on the collector's own page, where that reaches, and through a site's tag, where it does not.

import type { BrowserContext, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openStore, type Store } from '../../src/engine/store.ts'
import { membersOf } from '../support/cli.ts'
import { OPEN_CONFIG, type Project, scratchProject } from '../support/scratch.ts'
import { metric, type Serving, startServe } from '../support/serve.ts'
import { hasChromium, jar, jarBySite, openPublisher, storedEvents, visit } from './publisher.ts'

/** A test, a source. */
const SOURCES = ['page', 'apart', 'copied', 'again', 'unnamed'] as const
type Source = (typeof SOURCES)[number]
type Publisher = Awaited<ReturnType<typeof openPublisher>>
type Site = 'a' | 'c'

const QUIET = 'data-dwell="off"'
const OPT_OUT = `<button onclick="madeleine('optOut')">No</button>`

describe.skipIf(!hasChromium && process.env['CI'] !== 'true')(
  'A person who opts out in a browser (skipped where /usr/bin/chromium is missing, except in CI)',
  () => {
    let project: Project
    let server: Serving
    let store: Store
    let open: Publisher
    let blocked: Publisher

    beforeAll(async () => {
      project = scratchProject({
        ...OPEN_CONFIG,
        'config/sources.yaml': `sources:\n${SOURCES.map((id) => `  - id: ${id}`).join('\n')}\n`,
        'config/segments/all.yaml': `segments:
${SOURCES.map((source) => `  - { id: on-${source}, when: { where: { source: ${source} } } }`).join('\n')}
`,
      })
      server = await startServe(project)
      store = openStore({ directory: project.data })
      ;[open, blocked] = await Promise.all([openPublisher(server.port), openPublisher(server.port, { phaseout: true })])
    })
    afterAll(async () => {
      await Promise.all([open?.close(), blocked?.close()])
      await store?.close()
      await server?.stop()
      project?.remove()
    })

    const visitors = async (source: Source) => (await storedEvents(server, store, source)).map(({ visitor }) => visitor)
    const dropped = () => metric(server, 'madeleine_events_dropped_total{reason="opt_out",field=""}')
    const idOf = (cookie: string | undefined) => cookie?.slice(0, 36)

    const byTag = (publisher: Publisher, profile: BrowserContext, source: Source, site: Site = 'a') =>
      visit(profile, publisher.page(`/${source}/tag`, OPT_OUT + publisher.tag(source, QUIET), { site }), 'e')
    const byImage = (publisher: Publisher, profile: BrowserContext, source: Source, site: Site = 'a') =>
      visit(profile, publisher.page(`/${source}/image`, publisher.image(source), { site }), 'p.gif')
    async function visitSites(publisher: Publisher, profile: BrowserContext, source: Source): Promise<void> {
      for (const site of ['a', 'c'] as const) {
        await (await byTag(publisher, profile, source, site)).page.close()
        await (await byImage(publisher, profile, source, site)).page.close()
      }
    }

    /** As a person does it, on the collector's own page. */
    async function choose(publisher: Publisher, profile: BrowserContext, button: 'Opt out' | 'Opt in again'): Promise<void> {
      const [willing, unwilling] = ['You have not opted out', 'You have opted out'] as const
      const [from, to] = button === 'Opt out' ? [willing, unwilling] : [unwilling, willing]
      const page = await profile.newPage()
      await page.goto(`${publisher.collector}/optout`)
      await page.getByRole('heading', { name: from, exact: true }).waitFor()
      await page.getByRole('button', { name: button, exact: true }).click()
      await page.getByRole('heading', { name: to, exact: true }).waitFor()
      await page.close()
    }

    /** Through the tag of a page; gives the status that the collector answers with. */
    async function chooseOnSite(page: Page): Promise<number> {
      const answered = page.waitForResponse((response) => new URL(response.url()).pathname === '/optout')
      await page.getByRole('button', { name: 'No' }).click()
      return (await answered).status()
    }

    const tagStatus = (page: Page) => page.evaluate<unknown>("new Promise((done) => madeleine('status', done))")

    it('on the collector’s page is out on every site and loses the id, and another browser goes on', async () => {
      const [profile, other] = [await open.profile(), await open.profile()]
      await visitSites(open, profile, 'page')
      const id = idOf((await jar(profile))['__Host-mid']) ?? ''
      expect(await visitors('page')).toEqual([id, id, id, id])

      await choose(open, profile, 'Opt out')
      expect(Object.keys(await jar(profile))).toEqual(['__Host-mopt'])
      const before = await dropped()
      await visitSites(open, profile, 'page')
      expect(await dropped()).toBe(before + 4)
      expect(Object.keys(await jar(profile))).toEqual(['__Host-mopt'])

      await byTag(open, other, 'page')
      await byImage(open, other, 'page', 'c')
      const otherId = idOf((await jar(other))['__Host-mid']) ?? ''
      expect(await visitors('page')).toEqual([...Array(4).fill(id), otherId, otherId])
      expect(await membersOf(project, 'on-page')).toEqual({ 'on-page': new Set([otherId]) })
    })

    it('where cookies are kept apart is not reached by the collector’s page, and is by the tag, on that site only', async () => {
      const profile = await blocked.profile()
      await visitSites(blocked, profile, 'apart')
      const [a, c] = (await jarBySite(profile)).map(({ value }) => value)
      expect(await visitors('apart')).toEqual([a, a, c, c].map(idOf))

      // The page cannot see the cookies of the sites, nor can the sites see its own.
      await choose(blocked, profile, 'Opt out')
      expect((await jarBySite(profile)).map(({ name, site }) => [name, site])).toEqual([
        ['__Host-mopt', ''],
        ['__Host-midp', 'a.localhost'],
        ['__Host-midp', 'c.localhost'],
      ])
      const { page, response } = await byTag(blocked, profile, 'apart')
      expect((await response.request().allHeaders())['cookie']).toBe(`__Host-midp=${a}`)
      expect(await visitors('apart')).toEqual([a, a, c, c, a].map(idOf))

      expect(await chooseOnSite(page)).toBe(204)
      expect(await tagStatus(page)).toMatchObject({ optedOut: true })
      const after = [
        ['__Host-mopt', ''],
        ['__Host-moptp', 'a.localhost'],
        ['__Host-midp', 'c.localhost'],
      ]
      expect((await jarBySite(profile)).map(({ name, site }) => [name, site])).toEqual(after)

      const before = await dropped()
      const requests = () => metric(server, 'madeleine_requests_total{route="e"}')
      const sent = await requests()
      const again = await profile.newPage()
      await again.goto(blocked.page('/apart/tag', blocked.tag('apart', QUIET)))
      expect(await tagStatus(again)).toMatchObject({ optedOut: true })
      await byImage(blocked, profile, 'apart')
      expect(await dropped()).toBe(before + 1) // the image's: the tag sends nothing
      await byTag(blocked, profile, 'apart', 'c')
      await byImage(blocked, profile, 'apart', 'c')
      expect(await dropped()).toBe(before + 1)
      expect(await requests()).toBe(sent + 1) // the other site's
      expect(await visitors('apart')).toEqual([a, a, c, c, a, c, c].map(idOf))
      expect((await jarBySite(profile)).map(({ name, site }) => [name, site])).toEqual(after)
      expect(await membersOf(project, 'on-apart')).toEqual({ 'on-apart': new Set([idOf(c)]) })
    })

    it('stays out where a copy of the id turns up again, and a copy of another browser’s id still counts', async () => {
      const [unwilling, willing] = [await open.profile(), await open.profile()]
      const ids: string[] = []
      for (const profile of [unwilling, willing]) {
        await byTag(open, profile, 'copied')
        ids.push((await jar(profile))['__Host-mid'] ?? '')
      }
      await choose(open, unwilling, 'Opt out')
      const before = await dropped()
      const copies: string[][] = []
      for (const value of ids) {
        const profile = await open.profile()
        const url = open.collector.replace('http:', 'https:')
        await profile.addCookies([{ name: '__Host-mid', value, url, secure: true, httpOnly: true, sameSite: 'None' }])
        const { response } = await byImage(open, profile, 'copied')
        expect((await response.request().allHeaders())['cookie']).toBe(`__Host-mid=${value}`)
        copies.push(Object.keys(await jar(profile)))
      }
      expect(copies).toEqual([['__Host-mopt'], ['__Host-mid']])
      expect(await dropped()).toBe(before + 1)
      expect(await visitors('copied')).toEqual([ids[0], ids[1], ids[1]].map(idOf))
    })

    it('and opts in again gets a new id, and counts again', async () => {
      const profile = await open.profile()
      await byImage(open, profile, 'again')
      const first = idOf((await jar(profile))['__Host-mid'])
      await choose(open, profile, 'Opt out')
      await byImage(open, profile, 'again')
      expect(await visitors('again')).toEqual([first])
      await choose(open, profile, 'Opt in again')
      expect(await jar(profile)).toEqual({})
      await visitSites(open, profile, 'again')
      const second = idOf((await jar(profile))['__Host-mid']) ?? ''
      expect(second).not.toBe(first)
      expect(await visitors('again')).toEqual([first, ...Array(4).fill(second)])
      expect(await membersOf(project, 'on-again')).toEqual({ 'on-again': new Set([second]) })
    })

    it('through the tag is heard on a page that tells nobody its address, too (Referrer-Policy)', async () => {
      const answers: Record<string, number> = {}
      for (const policy of ['origin', 'no-referrer', 'same-origin']) {
        const address = blocked.page(`/unnamed/${policy}`, OPT_OUT + blocked.tag('unnamed', QUIET), {
          headers: { 'referrer-policy': policy },
        })
        const { page } = await visit(await blocked.profile(), address, 'e')
        answers[policy] = await chooseOnSite(page)
      }
      expect(answers).toEqual({ origin: 204, 'no-referrer': 204, 'same-origin': 204 })
    })
  },
)
