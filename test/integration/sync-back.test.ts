// `/sync`, and who is not synced: the way back to partners, the page in a frame, opt-outs, refusals, and pages of other origins.

import { createHash, createHmac } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { idIn, openJar } from '../support/jar.ts'
import { type Project, scratchProject } from '../support/scratch.ts'
import { metric, type Serving, startServe } from '../support/serve.ts'
import { SYNC_PARTNERS, SYNC_SETTINGS, storedMatches } from '../support/sync.ts'
import { C1, C3 } from '../support/tc-strings.ts'

const KEY = 'a key of thirty-two characters!!'
let project: Project
let server: Serving
beforeAll(async () => {
  project = scratchProject({
    'config/sources.yaml': 'sources:\n  - id: site\n',
    'config/settings.yaml': SYNC_SETTINGS,
    'config/partners.yaml': SYNC_PARTNERS,
  })
  server = await startServe(project, { MADELEINE_SYNC_KEY: KEY })
})
afterAll(async () => {
  await server?.stop()
  project?.remove()
})

type Jar = ReturnType<typeof openJar>
const query = (parameters: Readonly<Record<string, string>>) => new URLSearchParams(parameters).toString()
const REDIR = 'https://pbs.example/setuid?bidder=madeleine&uid=$UID'
const back = (jar: Jar, parameters: Readonly<Record<string, string>> = {}, headers = {}) =>
  jar.get(`/sync?${query({ redir: REDIR, ...parameters })}`, headers)
const idSent = (response: Response) => new URL(response.headers.get('location') ?? '').searchParams.get('uid')
const setuid = (jar: Jar, parameters: Readonly<Record<string, string>> = {}, headers = {}) =>
  jar.get(`/setuid?${query({ bidder: 'adnxs', uid: 'an-id', ...parameters })}`, headers)
async function known(): Promise<Jar> {
  const jar = openJar(server)
  await jar.hit({ source: 'site' })
  await setuid(jar)
  expect([...jar.cookies.keys()].sort()).toEqual(['__Host-mid', 'uids'])
  return jar
}

describe('/sync with redir', () => {
  it('sends the browser back with an id that is always the same, only for this partner, and not the visitor’s', async () => {
    const jar = await known()
    const response = await back(jar)
    expect([response.status, response.headers.get('referrer-policy')]).toEqual([302, 'no-referrer'])
    expect(response.headers.get('cache-control')).toContain('no-store')
    const id = idSent(response)
    expect(id).toMatch(/^[\w-]{43}$/)
    expect(id).not.toContain(idIn(jar) ?? '-')
    expect(idSent(await back(jar, { redir: 'https://pbs.example:8443/x?uid=[UID]&y=1' }))).toBe(id)
    expect(idSent(await back(jar, { redir: 'http://127.0.0.1:9/?uid=' }))).toMatch(/^[\w-]{43}$/)
    expect(idSent(await back(jar, { redir: 'http://127.0.0.1:9/?uid=' }))).not.toBe(id)
    expect(idSent(await back(await known()))).not.toBe(id)
    expect(id).toBe(
      createHmac('sha256', KEY)
        .update(`partner\nexchange\n${idIn(jar)}`)
        .digest('base64url'),
    )
  })

  it('makes an id where the browser keeps it and consent allows it, and sends an empty one where not', async () => {
    const cases: [string, Record<string, string>, Record<string, string>, string[], boolean][] = [
      ['nothing said', {}, {}, ['__Host-mid'], true],
      ['consent', { gdpr: '1', gdpr_consent: C1 }, {}, ['__Host-mid'], true],
      ['no consent for us', { gdpr: '1', gdpr_consent: C3 }, {}, [], false],
      ['no string', { gdpr: '1' }, {}, [], false],
      ['a US opt-out', { us_privacy: '1YYN' }, {}, [], false],
      ['Global Privacy Control', {}, { 'sec-gpc': '1' }, [], false],
      ['a page fetched ahead', {}, { 'sec-purpose': 'prefetch' }, [], false],
      ['a robot', {}, { 'user-agent': 'Googlebot/2.1' }, [], false],
    ]
    for (const [name, parameters, headers, cookies, isTold] of cases) {
      const jar = openJar(server)
      const response = await back(jar, parameters, headers)
      expect([name, response.status, [...jar.cookies.keys()], idSent(response) !== '']).toEqual([name, 302, cookies, isTold])
    }
    // A partner that has no number in the vendor list has no consent under a TC string.
    const redir = 'http://127.0.0.1:9/?uid='
    expect(idSent(await back(openJar(server), { redir, gdpr: '1', gdpr_consent: C1 }))).toBe('')
    expect(idSent(await back(openJar(server), { redir }))).not.toBe('')
  })

  it('goes nowhere that nobody has registered', async () => {
    const before = await metric(server, 'madeleine_sync_total{partner="",outcome="unregistered"}')
    for (const redir of ['https://evil.example/', '//pbs.example/', 'https://pbs.example@evil.example/', '']) {
      const response = await back(await known(), { redir })
      expect([redir, response.status, response.headers.get('location')]).toEqual([redir, 400, null])
    }
    expect(await metric(server, 'madeleine_sync_total{partner="",outcome="unregistered"}')).toBe(before + 4)
  })
})

describe('/sync without redir', () => {
  const policyOf = (response: Response) => response.headers.get('content-security-policy')
  const addresses = (html: string) =>
    [...html.matchAll(/<(img|iframe) data-src="([^"]*)"/g)].map(([, tag, src]) => `${tag} ${new URL(src ?? '').origin}`)

  it('is a page of the partners that are due, and its policy names them and us', async () => {
    const response = await openJar(server).get(`/sync?${query({ gdpr: '1', gdpr_consent: C1 })}`)
    expect([response.status, response.headers.get('referrer-policy')]).toEqual([200, 'no-referrer'])
    const html = await response.text()
    expect(addresses(html).sort()).toEqual([
      'iframe https://f.example',
      'img https://ib.adnxs.example',
      'img https://told.example',
    ])
    const scripts = [...html.matchAll(/<script>([\s\S]*?)<\/script>/g)].map(([, script]) => script ?? '')
    expect(scripts).toHaveLength(1)
    expect(html).toContain(encodeURIComponent(`gdpr_consent=${C1}`))
    const policy = policyOf(response) ?? ''
    const [, images = ''] = /img-src ([^;]*)/.exec(policy) ?? []
    expect(images.split(' ').sort()).toEqual([server.origin, 'https://ib.adnxs.example', 'https://told.example'])
    const hash = createHash('sha256')
      .update(scripts[0] ?? '')
      .digest('base64')
    expect(policy).toContain(`default-src 'none'; script-src 'sha256-${hash}';`)
    expect(policy).toContain(`frame-src https://f.example ${server.origin}`)
  })

  it('keeps to the share of a page view, and is empty where nothing is allowed', async () => {
    expect(addresses(await (await openJar(server).get('/sync')).text())).toHaveLength(4)
    for (const headers of [{ 'sec-gpc': '1' }, { cookie: '__Host-mopt=OPT_OUT.fwb' }, { 'user-agent': 'Googlebot/2.1' }]) {
      const response = await openJar(server).get('/sync', headers)
      expect([response.status, addresses(await response.text())]).toEqual([200, []])
      expect(policyOf(response)).toContain("img-src 'none'; frame-src 'none'")
    }
  })
})

describe('a browser that has opted out', () => {
  it('is refused, answered with empty ids, and loses what it carries', async () => {
    const jar = await known()
    jar.cookies.set('__Host-mopt', 'OPT_OUT.fwb')
    const copy = new Map(jar.cookies)
    expect((await setuid(jar)).status).toBe(401)
    expect(jar.removed.sort()).toEqual(['__Host-mid', 'uids'])
    for (const [name, value] of copy) jar.cookies.set(name, value)
    expect((await jar.post('/cookie_sync', {})).status).toBe(401)
    for (const [name, value] of copy) jar.cookies.set(name, value)
    expect(await (await jar.get('/getuids')).json()).toEqual({ buyeruids: {} })
    const response = await back(jar)
    expect([response.status, idSent(response)]).toEqual([302, ''])
  })

  it('by the page loses the ids of partners with ours, and is known to have opted out by its id', async () => {
    const jar = await known()
    const copy = new Map(jar.cookies)
    expect((await jar.post('/optout', '')).status).toBe(200)
    expect(jar.removed.sort()).toEqual(['__Host-mid', 'uids'])
    expect([...jar.cookies.keys()]).toEqual(['__Host-mopt'])
    // The same browser without the word, but with the id: a tombstone remembers.
    jar.cookies.clear()
    for (const [name, value] of copy) jar.cookies.set(name, value)
    expect((await setuid(jar)).status).toBe(401)
    expect((await setuid(await known())).status).toBe(200)
  })

  it('on one site loses what lies under that site, and keeps the rest', async () => {
    const jar = await known()
    jar.cookies.set('__Host-moptp', 'OPT_OUT.fwb')
    jar.cookies.set('uidsp', 'e30=')
    expect((await setuid(jar)).status).toBe(401)
    expect(jar.removed).toEqual(['uidsp'])
  })

  it('by Prebid Server’s own cookie is believed', async () => {
    const jar = openJar(server)
    const uids = (optout: boolean) => Buffer.from(JSON.stringify({ tempUIDs: {}, optout })).toString('base64url')
    jar.cookies.set('uids', uids(true))
    expect((await setuid(jar)).status).toBe(401)
    jar.cookies.set('uids', uids(false))
    expect((await setuid(jar)).status).toBe(200)
  })

  it('under Global Privacy Control is not matched', async () => {
    const jar = await known()
    const control = await known()
    expect((await setuid(jar, { bidder: 'framed' }, { 'sec-gpc': '1' })).status).toBe(451)
    expect(jar.removed.sort()).toEqual(['__Host-mid', 'uids'])
    expect((await setuid(control, { bidder: 'framed' })).status).toBe(200)
    expect(
      ((await (await openJar(server).post('/cookie_sync', {}, { 'sec-gpc': '1' })).json()) as { bidder_status: [] })
        .bidder_status,
    ).toEqual([])
    const visitors = [idIn(control) ?? '']
    expect((await storedMatches(project, visitors, 2)).map(({ partner }) => partner)).toEqual(['adnxs', 'framed'])
  })
})

it('a pixel’s refusal ends what the browser is known by: for every site where the browser says it, for this one where its page does', async () => {
  const jar = await known()
  jar.cookies.set('uidsp', 'e30=')
  await jar.hit({ source: 'site', gdpr: '1', gdpr_consent: C3 })
  expect(jar.removed).toEqual(['uidsp'])
  await jar.hit({ source: 'site' }, { 'sec-gpc': '1' })
  expect(jar.removed.sort()).toEqual(['__Host-mid', 'uids'])
})

describe('consent', () => {
  it('leaves out of /cookie_sync whom it does not name', async () => {
    const bidders = async (body: object) => {
      const answer = (await (await openJar(server).post('/cookie_sync', body)).json()) as { bidder_status: { bidder: string }[] }
      return answer.bidder_status.map(({ bidder }) => bidder).sort()
    }
    const asked = { bidders: ['adnxs', 'stranger', 'unlisted'] }
    expect(await bidders(asked)).toEqual(['adnxs', 'stranger', 'unlisted'])
    expect(await bidders({ ...asked, gdpr: 1, gdpr_consent: C1 })).toEqual(['adnxs'])
    expect(await bidders({ ...asked, gdpr: 1, gdpr_consent: C3 })).toEqual([])
    expect(await bidders({ ...asked, gdpr: 1, gdpr_consent: 'malformed' })).toEqual([])
    expect(await bidders({ ...asked, us_privacy: '1YYN' })).toEqual([])
  })
})

describe('/getuids', () => {
  it('tells a browser’s ids', async () => {
    expect(await (await (await known()).get('/getuids')).json()).toEqual({ buyeruids: { adnxs: 'an-id' } })
    expect(await (await openJar(server).get('/getuids')).json()).toEqual({ buyeruids: {} })
    expect(await (await (await known()).get(`/getuids?${query({ gdpr: '1', gdpr_consent: C3 })}`)).json()).toEqual({
      buyeruids: {},
    })
  })
})

it.each(['/getuids', '/cookie_sync'])('%s may be read by pages of configured origins, and by no others', async (path) => {
  const jar = await known()
  const send = (origin: string) => (path === '/getuids' ? jar.get(path, { origin }) : jar.post(path, {}, { origin }))
  const cors = ({ headers }: Response) => [
    headers.get('access-control-allow-origin'),
    headers.get('access-control-allow-credentials'),
  ]
  const preflight = (origin: string) => fetch(server.origin + path, { method: 'OPTIONS', headers: { origin } })
  expect(cors(await send('https://news.example'))).toEqual(['https://news.example', 'true'])
  expect(cors(await preflight('https://news.example'))).toEqual(['https://news.example', 'true'])
  for (const origin of ['https://evil.example', 'null', 'http://news.example', 'https://news.example.evil.example']) {
    expect(cors(await send(origin))).toEqual([null, null])
    expect(cors(await preflight(origin))).toEqual([null, null])
  }
  expect((await send('https://evil.example')).headers.get('cross-origin-resource-policy')).toBe('same-origin')
})
