// The first-party fallback id: only where the signals permit storage, always the same, and never in an address.

import { expect, it } from 'vitest'
import { choice, count, GPP, inChromium, inPage, RECORD, TCF, tell, UNTIL_TAG } from './page.ts'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
const STORED = "[localStorage.getItem('_mid'), document.cookie]"
const TODAY = Math.floor(Date.now() / 86_400_000)
const OLD = '11111111-1111-4111-8111-111111111111'
const gpp = (sections: number[]) =>
  `${GPP} gpp.tell({ signalStatus: 'ready', gppString: 'D', applicableSections: ${JSON.stringify(sections)} });`

inChromium('The fallback id', (open) => {
  const tag = (source: string, policy: string) =>
    open().script(source, 'data-dwell="off"', policy && `/t.js?policy=${encodeURIComponent(policy)}`)
  const visit = (source: string, policy: string, cmp: string, setup = '') =>
    open().visit(source, inPage(cmp) + tag(source, policy || '%MADELEINE_POLICY%'), { setup: RECORD + setup })

  it.each([
    ['vendor', '123.deny.', TCF + tell(choice({ publisher: false })), true],
    ['vendor-no', '123.allow.', TCF + tell(choice({ vendor: false })), false],
    ['vendor-other', '124.allow.', TCF + tell(choice()), false],
    ['purpose-no', '123.allow.', TCF + tell(choice({ purpose: false })), false],
    ['restricted', '123.allow.', TCF + tell({ ...choice(), publisher: { restrictions: { 1: { 123: 0 } } } }), false],
    ['restricted-1', '123.allow.', TCF + tell({ ...choice(), publisher: { restrictions: { 1: { 123: 1, 7: 0 } } } }), true],
    ['undisclosed', '123.allow.', TCF + tell({ ...choice(), vendor: { consents: { 123: true }, disclosedVendors: {} } }), false],
    ['publisher', '.deny.a,publisher', TCF + tell(choice({ vendor: false })), true],
    ['publisher-and-vendor', '123.deny.publisher-and-vendor', TCF + tell(choice({ publisher: false })), false],
    ['publisher-no', '.allow.publisher-no', TCF + tell(choice({ publisher: false })), false],
    ['publisher-other', '.allow.publisher', TCF + tell(choice()), false],
    ['broken', '123.allow.broken', TCF + tell({ ...choice(), purpose: undefined }), false],
    ['no-gdpr', '.deny.', TCF + tell({ gdprApplies: false }), true],
    ['no-signal', '.allow.', '', true],
    ['no-signal-deny', '123.deny.no-signal-deny', '', false],
    ['unreplaced', '', '', false],
    ['unreplaced-tcf', '', TCF + tell(choice()), false],
    ['gpp-none', '.deny.', gpp([-1]), true],
    ['gpp-us', '.allow.', gpp([7]), false],
    ['gpp-eu', '123.allow.', gpp([2]) + TCF + tell(choice()), true],
    ['gpp-eu-only', '123.allow.', gpp([2]), false],
    ['gpp-eu-no', '123.allow.', gpp([2]) + TCF + tell({ gdprApplies: false }), false],
    ['usp-sale', '.allow.', "__uspapi = (command, version, callback) => callback({ uspString: '1YYN' }, true);", false],
    ['own-string', '.allow.', "madeleine('set', { gdpr_consent: 'COWN' });", false],
    ['gpc', '.allow.', "Object.defineProperty(navigator, 'globalPrivacyControl', { value: true });", false],
  ])('%s with policy %s', async (source, policy, cmp, isMade) => {
    const { run, until, page } = await visit(source, policy, cmp)
    await run(UNTIL_TAG)
    if (source !== 'gpc') await until(count(1))
    const fpid = open().hitsOf(source)[0]?.['fpid']
    if (isMade) expect(fpid).toMatch(UUID)
    expect([fpid, await run(STORED)]).toEqual([isMade ? fpid : undefined, [isMade ? `${fpid}.${TODAY}` : null, '']])
    expect(await page.context().cookies(page.url())).toEqual([])
  })

  it('It is the same on the next page, leaves in bodies only, is never taken from a call, and goes with a refusal, which it tells whom it ends', async () => {
    const { page, run, until } = await visit('same', '123.deny.', TCF + tell(choice()))
    await until(count(1))
    await page.goto(open().address('same', '/two'))
    await run("madeleine('event', 'own', { fpid: 'me' })")
    const ids = (await until(count(3))).map((hit) => hit['fpid'])
    expect(new Set(ids).size).toBe(1)
    expect(ids[0]).toMatch(UUID)
    await run(tell(choice({ purpose: false })))
    expect(await run(STORED)).toEqual([null, ''])
    await run("madeleine('event', 'refused')")
    await run("madeleine('event', 'refused', { fpid: 'me' })")
    expect((await until(count(5))).slice(3).map((hit) => hit['fpid'])).toEqual([ids[0], undefined])
    await run(`${tell(choice())} madeleine('event', 'again')`)
    expect(await run(STORED)).not.toEqual([null, ''])
    await run("madeleine('event', 'own', { gdpr_consent: 'COWN' })")
    expect(await run(STORED)).toEqual([null, ''])
    expect(open().addresses.filter((address) => address.includes(String(ids[0])))).toEqual([])
    expect(open().addresses.some((address) => address.includes('/same/two'))).toBe(true)
  })

  it.each([
    ['used-today', `${OLD}.${TODAY}`, true],
    ['used-89', `${OLD}.${TODAY - 89}`, true],
    ['used-90', `${OLD}.${TODAY - 90}`, false],
    ['foreign', 'jane@example.com', false],
  ])('It lasts for 90 days after its last use: %s', async (source, value, isKept) => {
    const { run, until } = await visit(source, '.allow.', '', `localStorage.setItem('_mid', '${value}')`)
    const [hit] = await until(count(1))
    expect(hit?.['fpid'] === OLD).toBe(isKept)
    expect(await run(STORED)).toEqual([`${hit?.['fpid']}.${TODAY}`, ''])
  })

  it('Without localStorage it is a cookie, prolonged by use and removed by a refusal; without both there is none', async () => {
    const blocked = "Object.defineProperty(window, 'localStorage', { get() { throw new Error() } });"
    const { page, run, until } = await visit('cookie', '123.deny.', TCF + tell(choice()), blocked)
    const [hit] = await until(count(1))
    const [cookie] = await page.context().cookies(page.url())
    expect(cookie).toMatchObject({ name: '_mid', value: `${hit?.['fpid']}.${TODAY}`, sameSite: 'Lax', path: '/' })
    expect((cookie?.expires ?? 0) - Date.now() / 1000).toBeCloseTo(7_776_000, -2)
    await page.goto(open().address('cookie', '/two'))
    expect((await until(count(2)))[1]?.['fpid']).toBe(hit?.['fpid'])
    await run(tell(choice({ vendor: false })))
    expect(await page.context().cookies(page.url())).toEqual([])
    const noCookie = `${blocked} Object.defineProperty(document, 'cookie', { get: () => '', set() { throw new Error() } });`
    const none = await visit('nowhere', '.allow.', '', noCookie)
    const [{ fpid } = { fpid: 'none' }] = await none.until(count(1))
    expect([fpid, none.errors]).toEqual([undefined, []])
  })
})
