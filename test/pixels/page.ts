// What the tests of the tag put into a page: a record of what leaves it, and stand-ins of the consent platforms that answer when told to.

import { afterAll, afterEach, beforeAll, describe, expect } from 'vitest'
import { buildTag, type Hit, hasChromium, openSite, STUB } from './site.ts'

export type Site = Awaited<ReturnType<typeof openSite>>

/** Of one browser and its site; afterwards the real collector's reader has refused nothing of what was sent. */
export function inChromium(what: string, define: (open: () => Site) => void): void {
  const title = `${what} in Chromium (skipped where /usr/bin/chromium is missing, except in CI)`
  describe.skipIf(!hasChromium && process.env['CI'] !== 'true')(title, () => {
    let site: Site | undefined
    const open = (): Site => {
      if (!site) throw new Error('the site is not open')
      return site
    }
    beforeAll(async () => {
      site = await openSite(await buildTag())
    })
    afterAll(() => site?.close())
    afterEach(() => expect(open().refusals()).toEqual([]))
    define(open)
  })
}

export const names = (hits: readonly Hit[]) => hits.map((hit) => hit['event'])
export const count = (n: number) => (hits: readonly Hit[]) => hits.length >= n
export const has = (event: string) => (hits: readonly Hit[]) => hits.some((hit) => hit['event'] === event)

/** `sent`: the events in the order in which the page handed them to the browser. Requests may overtake each other. */
export const RECORD = `
  window.sent = []
  const { fetch: ownFetch } = window, ownBeacon = navigator.sendBeacon
  window.fetch = (url, init) => { sent.push({ how: 'fetch', path: new URL(url).pathname, ...JSON.parse(init.body) }); return ownFetch(url, init) }
  navigator.sendBeacon = function (url, body) { sent.push({ how: 'beacon', path: new URL(url).pathname, ...JSON.parse(body) }); return ownBeacon.call(this, url, body) };`

/** `tcf.tell(data)` answers all who have asked, and all who will. */
export const TCF = `
  window.tcf = { asked: [], tell(data, isOk = true) { tcf.last = [data, isOk]; for (const callback of tcf.asked) callback(data, isOk) } }
  window.__tcfapi = (command, version, callback) => { if (command !== 'addEventListener' || version !== 2) throw new Error(command); tcf.asked.push(callback); if (tcf.last) callback(...tcf.last) };`

export const GPP = `
  window.gpp = { asked: [], tell(ping) { gpp.last = ping; for (const callback of gpp.asked) callback({ eventName: 'signalStatus', pingData: ping }, true) } }
  window.__gpp = (command, callback) => { if (command === 'ping') { callback(gpp.last || { signalStatus: 'not ready' }, true) } else { gpp.asked.push(callback) } };`

type Choice = { readonly tcString?: string; readonly purpose?: boolean; readonly vendor?: boolean; readonly publisher?: boolean }

export const choice = ({ tcString = 'CYES', purpose = true, vendor = true, publisher = true }: Choice = {}) => ({
  ...{ cmpStatus: 'loaded', eventStatus: 'tcloaded', gdprApplies: true, tcString },
  purpose: { consents: { 1: purpose } },
  vendor: { consents: { 123: vendor } },
  publisher: { consents: { 1: publisher }, restrictions: {} },
})
/** The code that tells it. */
export const tell = (data: unknown, isOk = true) => `tcf.tell(${JSON.stringify(data)}, ${isOk});`
export const inPage = (code: string) => `${STUB}<script>${code}</script>`

/** Waits for frames, which a clock of the test does not stop, until the condition holds. */
export const UNTIL_TAG =
  'new Promise((done) => { const look = () => window.madeleine?.isTag ? done() : requestAnimationFrame(look); look() })'
export const SEEN_150_MS =
  'const since = performance.now(); new Promise((done) => { const look = () => performance.now() - since > 150 ? done() : requestAnimationFrame(look); look() })'
export const HIDE =
  "Object.defineProperty(document, 'visibilityState', { value: 'hidden', configurable: true }); document.dispatchEvent(new Event('visibilitychange'));"
