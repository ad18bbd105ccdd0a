// Real Chromium, a publisher's page on one site and the real collector on another: what a browser sends is what is stored, and where it must not be stored
// nothing is, with the same visit that is stored beside it.

import type { BrowserContext } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { openStore, type Store } from '../../src/engine/store.ts'
import { membersOf } from '../support/cli.ts'
import { OPEN_CONFIG, type Project, scratchProject } from '../support/scratch.ts'
import { metric, type Serving, startServe } from '../support/serve.ts'
import { hasChromium, jar, openPublisher, visit } from './publisher.ts'

/** A test, a source: what one has sent late cannot be taken for another's. */
const SOURCES = ['tag', 'image', 'twice', 'gpc', 'optout', 'dwell', 'apart'] as const
type Source = (typeof SOURCES)[number]
type Stored = { event: string; url: string; category: string[]; visitor: string; dwell: number | null }

const SEGMENTS = `segments:
${SOURCES.map((source) => `  - { id: on-${source}, when: { event: page_view, where: { source: ${source} } } }`).join('\n')}
  - { id: cars, when: { where: { category: "1", source: tag } } }
`

/** Long enough in sight to be worth a dwell event. */
const SEEN_150_MS =
  'const since = performance.now(); new Promise((done) => { const look = () => performance.now() - since > 150 ? done() : requestAnimationFrame(look); look() })'

describe.skipIf(!hasChromium && process.env['CI'] !== 'true')(
  'A browser and the collector (skipped where /usr/bin/chromium is missing, except in CI)',
  () => {
    let project: Project
    let server: Serving
    let store: Store
    let publisher: Awaited<ReturnType<typeof openPublisher>>

    beforeAll(async () => {
      project = scratchProject({
        'config/sources.yaml': `sources:\n${SOURCES.map((id) => `  - id: ${id}`).join('\n')}\n`,
        'config/settings.yaml': OPEN_CONFIG['config/settings.yaml'],
        'config/segments/seen.yaml': SEGMENTS,
      })
      server = await startServe(project)
      store = openStore({ directory: project.data })
      publisher = await openPublisher(server.port)
    })
    afterAll(async () => {
      await publisher?.close()
      await store?.close()
      await server?.stop()
      project?.remove()
    })

    const stored = (source: Source) =>
      store.rows<Stored>({
        owner: 'test.stored',
        sql: `SELECT event, url, category, toString(visitor) AS visitor, toFloat64(dwell_ms) AS dwell
              FROM madeleine.events WHERE source = {source:String} ORDER BY ts`,
        values: { source },
      })
    async function storedUntil(source: Source, isDone: (rows: readonly Stored[]) => boolean): Promise<readonly Stored[]> {
      const look = async () => {
        const rows = await stored(source)
        expect(rows).toSatisfy(isDone)
        return rows
      }
      return vi.waitFor(look, { timeout: 30_000, interval: 50 })
    }
    const dropped = (reason: string) => metric(server, `madeleine_events_dropped_total{reason="${reason}",field=""}`)

    /** A page with the tag and then one with the bare image, in one profile; gives how the collector answered. */
    async function visitBoth(profile: BrowserContext, source: Source): Promise<number[]> {
      const tag = publisher.page(`/${source}/tag`, publisher.tag(source, 'data-dwell="off"'))
      const image = publisher.page(`/${source}/image`, publisher.image(source))
      return [(await visit(profile, tag, 'e')).status, (await visit(profile, image, 'p.gif')).status]
    }
    const idOf = async (profile: BrowserContext) => (await jar(profile))['__Host-mid']?.slice(0, 36)

    it('The tag leads to a stored page view with the address, without its query, and the category of the page', async () => {
      const address = publisher.page('/tag/one', publisher.tag('tag', 'data-category="2" data-dwell="off"'))
      const profile = await publisher.profile()
      expect((await visit(profile, `${address}?q=private#part`, 'e')).status).toBe(204)
      const [row] = await storedUntil('tag', (rows) => rows.length === 1)
      expect(row).toMatchObject({ event: 'page_view', url: address, category: ['2'] })
      expect(await idOf(profile)).toBe(row?.visitor)
      // "2" is a child of "1" in the content taxonomy.
      expect(await membersOf(project, 'cars')).toEqual({ cars: new Set([row?.visitor]) })
    })

    it('The bare image leads to a stored page view at the address the browser gives as Referer: the site, without its path', async () => {
      const address = publisher.page('/image/one', publisher.image('image', '&category=3,4'))
      const profile = await publisher.profile()
      expect((await visit(profile, address, 'p.gif')).status).toBe(200)
      const [row] = await storedUntil('image', (rows) => rows.length === 1)
      expect(row).toMatchObject({ event: 'page_view', url: `${new URL(address).origin}/`, category: ['3', '4'] })
      expect(await membersOf(project, 'on-image')).toEqual({ 'on-image': new Set([row?.visitor]) })
    })

    it('A second visit, by tag or by image, is the same visitor, and another browser is another', async () => {
      const [profile, other] = [await publisher.profile(), await publisher.profile()]
      await visit(profile, publisher.page('/twice', publisher.tag('twice', 'data-dwell="off"')), 'e')
      const first = await jar(profile)
      expect(await visitBoth(profile, 'twice')).toEqual([204, 200])
      expect(await jar(profile)).toEqual(first)
      await visitBoth(other, 'twice')
      const [id, otherId] = [await idOf(profile), await idOf(other)]
      expect(otherId).not.toBe(id)
      const rows = await storedUntil('twice', (all) => all.length === 5)
      expect(rows.map(({ visitor }) => visitor)).toEqual([id, id, id, otherId, otherId])
    })

    it('Sec-GPC: 1 leads to no cookie and no event, while the same pages without it lead to both', async () => {
      const before = await dropped('gpc')
      const unwilling = await publisher.profile({ extraHTTPHeaders: { 'Sec-GPC': '1' } })
      expect(await visitBoth(unwilling, 'gpc')).toEqual([204, 200])
      expect(await dropped('gpc')).toBe(before + 2) // both hits have arrived
      expect(await jar(unwilling)).toEqual({})

      const control = await publisher.profile()
      await visitBoth(control, 'gpc')
      expect(await membersOf(project, 'on-gpc')).toEqual({ 'on-gpc': new Set([await idOf(control)]) }) // ships all that was accepted
      expect((await stored('gpc')).length).toBe(2)
    })

    it('An opt-out cookie leads to no id and no event, while the same pages without it lead to both', async () => {
      const before = await dropped('opt_out')
      const optOut = { name: '__Host-mopt', value: '1', url: publisher.collector.replace('http:', 'https:') }
      const cookies = [{ ...optOut, secure: true, httpOnly: true, sameSite: 'None' as const }]
      const unwilling = await publisher.profile()
      await unwilling.addCookies(cookies)
      expect(await visitBoth(unwilling, 'optout')).toEqual([204, 200])
      expect(await dropped('opt_out')).toBe(before + 2)
      expect(Object.keys(await jar(unwilling))).toEqual(['__Host-mopt'])

      const control = await publisher.profile()
      await visitBoth(control, 'optout')
      expect(await membersOf(project, 'on-optout')).toEqual({ 'on-optout': new Set([await idOf(control)]) })
      expect((await stored('optout')).length).toBe(2)

      // A visitor of ours who opts out is not recorded from then on, whatever id the browser still holds.
      await control.addCookies(cookies)
      await visitBoth(control, 'optout')
      expect(await dropped('opt_out')).toBe(before + 4)
      await membersOf(project, 'on-optout')
      expect((await stored('optout')).length).toBe(2)
    })

    it('The time on a page is stored when it is left, for the page that was left', async () => {
      const address = publisher.page('/dwell/one', publisher.tag('dwell', 'data-category="6"'))
      const { page } = await visit(await publisher.profile(), address, 'e')
      await page.evaluate(SEEN_150_MS)
      await page.goto(publisher.page('/dwell/elsewhere', ''))
      const rows = await storedUntil('dwell', (all) => all.some(({ event }) => event === 'dwell'))
      expect(rows.map(({ event }) => event)).toEqual(['page_view', 'dwell'])
      expect(rows[1]).toMatchObject({ url: address, category: ['6'], visitor: rows[0]?.visitor })
      expect(rows[1]?.dwell).toBeGreaterThanOrEqual(150)
    })

    it('A browser that refuses third-party cookies is one visitor on a site: the partitioned cookie comes back', async () => {
      const strict = await openPublisher(server.port, { thirdPartyCookies: false })
      try {
        const profile = await strict.profile()
        const address = strict.page('/apart', strict.tag('apart', 'data-dwell="off"'))
        await visit(profile, address, 'e')
        await visit(profile, strict.page('/apart/image', strict.image('apart')), 'p.gif')
        const rows = await storedUntil('apart', (all) => all.length === 2)
        expect(rows[0]?.visitor).toBe(rows[1]?.visitor)
        expect(Object.keys(await jar(profile))).toEqual(['__Host-midp'])
      } finally {
        await strict.close()
      }
    })
  },
)
