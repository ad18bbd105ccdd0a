// A consent platform on the page of a real browser: what the tag sends before, with and after its answer, where hits without a word are not kept.

import type { Page, Request } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openStore, type Store } from '../../src/engine/store.ts'
import { type Project, scratchProject } from '../support/scratch.ts'
import { metric, type Serving, startServe } from '../support/serve.ts'
import { C1, C3 } from '../support/tc-strings.ts'
import { hasChromium, jar, leave, openPublisher, storedEvents } from './publisher.ts'

/** A test, a source; those with `-control` are of the page beside it that is stored. */
const SOURCES = ['once', 'silent', 'late', 'late-control', 'never', 'never-control', 'refused', 'refused-control'] as const
type Source = (typeof SOURCES)[number]

type Answers = 'at once' | 'on a click' | 'never'
type Said = { readonly tcString: string; readonly vendors: Readonly<Record<number, true>> }
const YES: Said = { tcString: C1, vendors: { 99: true, 123: true } }
const NO: Said = { tcString: C3, vendors: { 99: true } }

/** `__tcfapi` as a platform has it: a listener is told at once that the question is shown, or what was answered earlier. */
function platform(answers: Answers, { tcString, vendors } = YES): string {
  const said = {
    gdprApplies: true,
    cmpStatus: 'loaded',
    tcString,
    purpose: { consents: { 1: true } },
    vendor: { consents: vendors },
    publisher: { consents: {} },
  }
  return `<button>Decide</button><script>
    const said = ${JSON.stringify(said)}
    const listeners = []
    window.__tcfapi = (command, version, callback) => {
      if (command !== 'addEventListener') return
      listeners.push(callback)
      const isSaid = ${answers === 'at once'}
      const asking = { ...said, tcString: '', purpose: { consents: {} }, eventStatus: 'cmpuishown' }
      callback(isSaid ? { ...said, eventStatus: 'tcloaded' } : asking, true)
    }
    if (${answers === 'on a click'}) {
      document.querySelector('button').onclick = () => {
        for (const callback of listeners) callback({ ...said, eventStatus: 'useractioncomplete' }, true)
      }
    }
  </script>`
}

describe.skipIf(!hasChromium && process.env['CI'] !== 'true')(
  'A consent platform in a browser (skipped where /usr/bin/chromium is missing, except in CI)',
  () => {
    let project: Project
    let server: Serving
    let store: Store
    let publisher: Awaited<ReturnType<typeof openPublisher>>

    beforeAll(async () => {
      project = scratchProject({
        'config/sources.yaml': `sources:\n${SOURCES.map((id) => `  - id: ${id}`).join('\n')}\n`,
        'config/settings.yaml': 'tcf: { vendor_id: 123 }\nconsent: { no_signal: deny }\n',
        'config/segments/all.yaml': 'segments:\n  - { id: everyone, when: { count: { gte: 1 } } }\n',
        // Whom a string names as a receiver is kept for the vendors that are sent something.
        'config/destinations/vendor.yaml': `destinations:
  - { id: vendor, connector: file, vendor_id: 99, settings: { path: vendor }, audiences: [{ audience: everyone }] }
`,
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

    const stored = (source: Source) => storedEvents(server, store, source)
    const names = async (source: Source) => (await stored(source)).map(({ event }) => event)
    const requests = () => metric(server, 'madeleine_requests_total{route="e"}')
    const dropped = (reason: string) => metric(server, `madeleine_events_dropped_total{reason="${reason}",field=""}`)

    const isHit = (request: Request) => new URL(request.url()).pathname === '/e'
    const isWaiting = (page: Page) =>
      page.evaluate<boolean>("new Promise((done) => madeleine('status', ({ waiting }) => done(waiting)))")
    const keptBySite = (page: Page) => page.evaluate<string[]>('Object.keys(localStorage)')
    const saidIn = (request: Request) => {
      const { event, gdpr, gdpr_consent } = JSON.parse(request.postData() ?? '') as Record<string, unknown>
      return { event, gdpr, gdpr_consent }
    }

    /** In a profile of its own, when it has loaded and the tag with it. */
    async function open(source: Source, html: string) {
      const profile = await publisher.profile()
      const sent: Request[] = []
      profile.on('request', (request) => {
        if (isHit(request)) sent.push(request)
      })
      const page = await profile.newPage()
      await page.goto(publisher.page(`/${source}`, html + publisher.tag(source)))
      return { profile, page, sent }
    }
    /** The same, when the collector has answered its first hit. */
    async function openHeard(source: Source, html: string) {
      const opened = await open(source, html)
      await expect.poll(async () => (await opened.sent[0]?.response())?.status()).toBe(204)
      return opened
    }

    it('that answers yes at once leads to a stored page view with its string, and a page without one to none', async () => {
      const before = await dropped('no_consent')
      const silent = await openHeard('silent', '')
      expect(saidIn(silent.sent[0] as Request)).toEqual({ event: 'page_view', gdpr: undefined, gdpr_consent: undefined })
      expect(await dropped('no_consent')).toBe(before + 1)
      expect([await jar(silent.profile), await keptBySite(silent.page)]).toEqual([{}, []])

      const { profile, page, sent } = await openHeard('once', platform('at once'))
      expect(saidIn(sent[0] as Request)).toEqual({ event: 'page_view', gdpr: '1', gdpr_consent: C1 })
      expect([Object.keys(await jar(profile)), await keptBySite(page)]).toEqual([['__Host-mid'], ['_mid']])
      expect(await stored('once')).toMatchObject([{ event: 'page_view', scope: 'global', receivers: [99] }])
      expect(await stored('silent')).toEqual([])
    })

    it('that answers late is waited for: nothing before the answer, and everything since with its string', async () => {
      const before = await requests()
      const { profile, page, sent } = await open('late', platform('on a click'))
      await page.evaluate("madeleine('event', 'purchase', { value: 5 })")
      expect(await isWaiting(page)).toBe(true)
      // Another browser's hit meanwhile: the collector hears, and has heard nothing from this one.
      await openHeard('late-control', platform('at once'))
      expect([sent, await requests(), await jar(profile), await keptBySite(page)]).toEqual([[], before + 1, {}, []])

      await page.getByRole('button', { name: 'Decide' }).click()
      expect(await isWaiting(page)).toBe(false)
      await expect.poll(requests).toBe(before + 3)
      expect(sent.map(saidIn)).toEqual([
        { event: 'page_view', gdpr: '1', gdpr_consent: C1 },
        { event: 'purchase', gdpr: '1', gdpr_consent: C1 },
      ])
      const rows = await stored('late')
      expect(rows).toMatchObject([
        { event: 'page_view', receivers: [99] },
        { event: 'purchase', receivers: [99] },
      ])
      expect(new Set(rows.map(({ visitor }) => visitor)).size).toBe(1)
      expect(await names('late-control')).toEqual(['page_view'])
    })

    it('that never answers leads to nothing, when the page is left neither', async () => {
      const before = await requests()
      const never = await open('never', platform('never'))
      expect(await isWaiting(never.page)).toBe(true)
      await leave(never.page)
      const control = await openHeard('never-control', platform('at once'))
      await leave(control.page)
      await expect.poll(requests).toBe(before + 2)
      expect(await names('never-control')).toEqual(['page_view', 'dwell'])
      expect([never.sent, await requests(), await jar(never.profile), await stored('never')]).toEqual([[], before + 2, {}, []])
    })

    it('that says no is passed on: the collector keeps no event, and neither it nor the tag leaves anything in the browser', async () => {
      const before = await dropped('consent_refused')
      const { profile, page, sent } = await openHeard('refused', platform('at once', NO))
      expect(sent.map(saidIn)).toEqual([{ event: 'page_view', gdpr: '1', gdpr_consent: C3 }])
      expect(await dropped('consent_refused')).toBe(before + 1)
      expect([await jar(profile), await keptBySite(page)]).toEqual([{}, []])

      const control = await openHeard('refused-control', platform('at once'))
      expect(await dropped('consent_refused')).toBe(before + 1)
      expect([Object.keys(await jar(control.profile)), await keptBySite(control.page)]).toEqual([['__Host-mid'], ['_mid']])
      expect([await names('refused'), await names('refused-control')]).toEqual([[], ['page_view']])
    })
  },
)
