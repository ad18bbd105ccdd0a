// A scripted client of Prebid Server against a running collector: every documented status, and what is in the match table and the cookies afterwards.

import { renameSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { disclosedSegment, writeTc } from '../consent/tc-writer.ts'
import { idIn, openJar } from '../support/jar.ts'
import { type Project, scratchProject } from '../support/scratch.ts'
import { metric, type Serving, startServe } from '../support/serve.ts'
import { SYNC_PARTNERS, SYNC_SETTINGS, storedMatches } from '../support/sync.ts'
import { C1, C3 } from '../support/tc-strings.ts'

const CONFIG = {
  'config/sources.yaml': 'sources:\n  - id: site\n',
  'config/settings.yaml': SYNC_SETTINGS,
  'config/partners.yaml': SYNC_PARTNERS,
}
/** `2` and a TC string as a GPP string: header of type 3, version 1, one section. */
const gppOf = (tc: string) => `DBABMA~${tc}`
/** Purpose 1 only, for us and the partner. */
const BOTH = { field: [99, 123] }
const STORE_ONLY = writeTc({ purposes: [1], vendors: BOTH, segments: [disclosedSegment(BOTH)] })
const ROBOT = 'Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)'

let project: Project
let server: Serving
beforeAll(async () => {
  project = scratchProject(CONFIG)
  server = await startServe(project)
})
afterAll(async () => {
  await server?.stop()
  project?.remove()
})

const setuid = (parameters: Readonly<Record<string, string>>) => `/setuid?${new URLSearchParams(parameters)}`
/** The cookie `uids`, read as Prebid Server's clients do. */
function uidsOf(jar: ReturnType<typeof openJar>, name = 'uids'): Record<string, string> {
  const text = Buffer.from(jar.cookies.get(name) ?? '', 'base64url').toString()
  const { tempUIDs } = JSON.parse(text || '{"tempUIDs":{}}') as { tempUIDs: Record<string, { uid: string }> }
  return Object.fromEntries(Object.entries(tempUIDs).map(([key, { uid }]) => [key, uid]))
}
const outcomes = (partner: string, outcome: string) =>
  metric(server, `madeleine_sync_total{partner="${partner}",outcome="${outcome}"}`)

describe('/setuid', () => {
  const ok = { bidder: 'adnxs', uid: '12345' }
  it.each([
    [400, 'no bidder', { uid: '12345' }],
    [400, 'an unknown bidder', { ...ok, bidder: 'nobody' }],
    [400, 'another format', { ...ok, f: 'x' }],
    [400, 'a gdpr that is neither 0 nor 1', { ...ok, gdpr: '2' }],
    [400, 'a gdpr in words', { ...ok, gdpr: 'true' }],
    [400, 'gdpr=1 without consent', { ...ok, gdpr: '1' }],
    [400, 'malformed consent', { ...ok, gdpr: '1', gdpr_consent: 'malformed' }],
    [400, 'malformed gpp_sid', { ...ok, gpp_sid: '2;6' }],
    [400, 'malformed gpp', { ...ok, gpp: 'malformed', gpp_sid: '2' }],
    [400, 'section 2 without a string, whatever gdpr says', { ...ok, gdpr: '0', gpp_sid: '2' }],
    [400, 'an unreplaced macro', { ...ok, uid: '$UID' }],
    [400, 'a word for nobody', { ...ok, uid: '0' }],
    [451, 'consent for the partner only', { ...ok, gdpr: '1', gdpr_consent: C3 }],
    [451, 'consent, and a partner that is not in it', { ...ok, bidder: 'stranger', gdpr: '1', gdpr_consent: C1 }],
    [451, 'consent, and a partner without a number', { ...ok, bidder: 'unlisted', gdpr: '1', gdpr_consent: C1 }],
    [451, 'a US Privacy opt-out', { ...ok, us_privacy: '1YYN' }],
    [451, 'a refusal in section 2 that outranks gdpr=0', { ...ok, gdpr: '0', gpp: gppOf(C3), gpp_sid: '2' }],
    [200, 'nothing but an id', ok],
    [200, 'consent', { ...ok, gdpr: '1', gdpr_consent: C1 }],
    [200, 'consent to purpose 1', { ...ok, gdpr: '1', gdpr_consent: STORE_ONLY }],
    [200, 'consent in section 2', { ...ok, gpp: gppOf(C1), gpp_sid: '2' }],
    [200, 'consent in section 2, and gdpr=1 beside it', { ...ok, gdpr: '1', gpp: gppOf(C1), gpp_sid: '2' }],
    [200, 'a partner without a number where no TC string is', { ...ok, bidder: 'unlisted', gdpr: '0' }],
    [200, 'an account, and a bidder in capitals', { ...ok, bidder: 'AdNxs', account: 'acme' }],
    [200, 'a US Privacy string that allows', { ...ok, us_privacy: '1YNN' }],
  ])('answers %i to %s', async (status, _, parameters) => {
    const jar = openJar(server)
    expect((await jar.get(setuid(parameters as Record<string, string>))).status).toBe(status)
    expect([...jar.cookies.keys()].sort()).toEqual(status === 200 ? ['__Host-mid', 'uids'] : [])
  })

  it('makes no id for a browser that only ends a match', async () => {
    const jar = openJar(server)
    expect((await jar.get(setuid({ bidder: 'adnxs', uid: '' }))).status).toBe(200)
    expect([...jar.cookies.keys()]).toEqual([])
  })

  it('answers a picture or an empty page, as asked or as the partner is synced', async () => {
    const kind = async (parameters: Record<string, string>) => {
      const response = await openJar(server).get(setuid({ uid: 'a', ...parameters }))
      const bytes = Buffer.from(await response.arrayBuffer())
      return `${response.status} ${response.headers.get('content-type')} ${bytes.subarray(1, 4)}${bytes.length}`
    }
    expect(await kind({ bidder: 'adnxs' })).toMatch(/^200 image\/png PNG\d\d$/)
    expect(await kind({ bidder: 'framed', f: 'i' })).toMatch(/^200 image\/png PNG\d\d$/)
    expect(await kind({ bidder: 'framed' })).toBe('200 text/html 0')
    expect(await kind({ bidder: 'adnxs', f: 'b' })).toBe('200 text/html 0')
  })

  it('keeps ids in the cookie and in the match table, the newest counts, and an empty one ends it', async () => {
    const jar = openJar(server)
    for (const [bidder, uid] of [
      ['adnxs', '1'],
      ['framed', 'f/1+2=='],
      ['adnxs', '2'],
      ['unlisted', 'u'],
    ] as const)
      await jar.get(setuid({ bidder, uid }))
    expect(uidsOf(jar)).toEqual({ adnxs: '2', framed: 'f/1+2==', unlisted: 'u' })
    await jar.get(setuid({ bidder: 'unlisted', uid: '' }))
    expect(uidsOf(jar)).toEqual({ adnxs: '2', framed: 'f/1+2==' })
    const visitor = idIn(jar) ?? ''
    const row = (partner: string, id: string) => ({ visitor, partner, id })
    await expect
      .poll(() => storedMatches(project, [visitor], 3), { timeout: 15_000 })
      .toEqual([row('adnxs', '2'), row('framed', 'f/1+2=='), row('unlisted', '')])
    expect(jar.cookies.get('uids')).toMatch(/^[\w-]+={0,2}$/)
    await jar.get(setuid({ bidder: 'adnxs', uid: '' }))
    await jar.get(setuid({ bidder: 'framed', uid: '' }))
    expect([jar.removed, [...jar.cookies.keys()]]).toEqual([['uids'], ['__Host-mid']])
  })

  it('matches the visitor that the pixel knows, and by the site where cookies are kept apart', async () => {
    const jar = openJar(server)
    await jar.hit({ source: 'site' })
    const visitor = idIn(jar) ?? ''
    await jar.get(setuid({ bidder: 'adnxs', uid: 'pixel' }))
    const apart = openJar(server, { storageAccess: 'none' })
    await apart.get(setuid({ bidder: 'adnxs', uid: 'apart' }))
    expect([...apart.cookies.keys()].sort()).toEqual(['__Host-midp', 'uidsp'])
    expect(uidsOf(apart, 'uidsp')).toEqual({ adnxs: 'apart' })
    const rows = await storedMatches(project, [visitor, idIn(apart, '__Host-midp') ?? ''], 2)
    expect(new Set(rows.map(({ visitor: of, id }) => `${of} ${id}`))).toEqual(
      new Set([`${visitor} pixel`, `${idIn(apart, '__Host-midp')} apart`]),
    )
  })

  it('matches nobody where the browser has no id and does not say that it keeps one; a robot gets nothing', async () => {
    const before = [await outcomes('adnxs', 'no_visitor'), await outcomes('adnxs', 'robot')]
    const silent = openJar(server, { storageAccess: undefined })
    expect((await silent.get(setuid(ok))).status).toBe(200)
    expect([...silent.cookies.keys()]).toEqual(['uids'])
    const robot = openJar(server, { agent: ROBOT })
    expect((await robot.get(setuid(ok))).status).toBe(200)
    expect(robot.cookies.size).toBe(0)
    expect([await outcomes('adnxs', 'no_visitor'), await outcomes('adnxs', 'robot')]).toEqual(before.map((n) => n + 1))
    expect(await outcomes('adnxs', 'stored')).toBeGreaterThan(0)
  })
})

describe('/cookie_sync', () => {
  type Status = { bidder: string; no_cookie: boolean; usersync: { url: string; type: string } }
  type Answer = { status: string; bidder_status: Status[]; debug?: { bidder: string; error: string }[] }
  const ask = async (jar: ReturnType<typeof openJar>, body: unknown, headers = {}) =>
    (await (await jar.post('/cookie_sync', body, headers)).json()) as Answer
  const bidders = ({ bidder_status }: Answer) => bidder_status.map(({ bidder }) => bidder).sort()

  it.each([
    [400, 'no JSON', 'bidders'],
    [400, 'nothing', ''],
    [400, 'a wrong member', { bidders: 'adnxs' }],
    [400, 'a wrong filter', { filterSettings: { iframe: { bidders: '*', filter: 'perhaps' } } }],
    [400, 'a gdpr that is neither 0 nor 1', { gdpr: 2 }],
    [400, 'gdpr=1 without consent', { bidders: ['adnxs'], gdpr: 1 }],
    [400, 'malformed gpp_sid', { gpp_sid: 'two' }],
    [413, 'more than 256 KiB', { uuid: 'x'.repeat(300_000) }],
    [200, 'an empty request', {}],
    [200, 'gdpr=1 with consent', { bidders: ['adnxs'], gdpr: 1, gdpr_consent: C1 }],
  ])('answers %i to %s', async (status, _, body) => {
    expect((await openJar(server).post('/cookie_sync', body)).status).toBe(status)
  })

  it('offers what is due, with everything filled in', async () => {
    const jar = openJar(server)
    await jar.hit({ source: 'site' })
    const answer = await ask(jar, { bidders: ['framed', 'ADNXS'], gdpr: 1, gdpr_consent: C1, us_privacy: '1YNN' })
    expect(answer.status).toBe('no_cookie')
    const callback = (bidder: string, end: string) =>
      `${server.origin}/setuid?bidder=${bidder}&gdpr=1&gdpr_consent=${C1}&gpp=&gpp_sid=&us_privacy=1YNN&${end}`
    const found = Object.fromEntries(answer.bidder_status.map((status) => [status.bidder, status]))
    expect(found['adnxs']).toEqual({
      bidder: 'adnxs',
      no_cookie: true,
      usersync: {
        url: `https://ib.adnxs.example/getuid?${encodeURIComponent(callback('adnxs', 'f=i&uid=$UID'))}`,
        type: 'redirect',
      },
    })
    const { url = '', type } = found['framed']?.usersync ?? {}
    expect([type, new URL(url).origin]).toEqual(['iframe', 'https://f.example'])
    expect(Object.fromEntries(new URL(url).searchParams)).toEqual({
      g: '1',
      c: C1,
      u: '1YNN',
      p: '',
      s: '',
      r: callback('framed', 'f=b&uid=[UID]'),
    })
  })

  it('leads to a match when the partner answers, and asks no more until it is due again', async () => {
    const jar = openJar(server)
    await jar.hit({ source: 'site' })
    const [offered] = (await ask(jar, { bidders: ['adnxs'] })).bidder_status
    const callback = new URL(decodeURIComponent(new URL(offered?.usersync.url ?? '').search.slice(1)).replace('$UID', 'an-id'))
    expect((await jar.get(callback.pathname + callback.search)).status).toBe(200)
    expect(await ask(jar, { bidders: ['adnxs'], debug: true })).toEqual({
      status: 'ok',
      bidder_status: [],
      debug: [{ bidder: 'adnxs', error: 'Already in sync' }],
    })
    expect(await storedMatches(project, [idIn(jar) ?? ''], 1)).toEqual([{ visitor: idIn(jar), partner: 'adnxs', id: 'an-id' }])
    const setBack = (days: number) => {
      const expires = new Date(Date.now() + (14 - days) * 86_400_000).toISOString()
      jar.cookies.set('uids', Buffer.from(JSON.stringify({ tempUIDs: { adnxs: { uid: 'x', expires } } })).toString('base64url'))
    }
    setBack(6.9)
    expect(bidders(await ask(jar, { bidders: ['adnxs'] }))).toEqual([])
    setBack(7.1)
    expect(bidders(await ask(jar, { bidders: ['adnxs'] }))).toEqual(['adnxs'])
  })

  it('offers no more than a page view’s share, than was asked for, and than was not filtered', async () => {
    const jar = openJar(server)
    await jar.hit({ source: 'site' })
    expect((await ask(jar, {})).bidder_status).toHaveLength(4)
    expect((await ask(openJar(server), { limit: 99 })).bidder_status).toHaveLength(4)
    expect((await ask(openJar(server), { limit: 2 })).bidder_status).toHaveLength(2)
    const four = ['adnxs', 'framed', 'stranger', 'unlisted']
    expect(bidders(await ask(openJar(server), { bidders: four }))).toEqual(four)
    const filterSettings = { iframe: { bidders: '*', filter: 'exclude' }, image: { bidders: ['stranger'], filter: 'exclude' } }
    expect(bidders(await ask(openJar(server), { bidders: four, filterSettings }))).toEqual(['adnxs', 'unlisted'])
    const { bidder_status, debug } = await ask(openJar(server), {
      bidders: ['adnxs', 'nobody'],
      limit: 2,
      coopSync: true,
      debug: true,
    })
    expect([bidder_status[0]?.bidder, bidder_status.length]).toEqual(['adnxs', 2])
    expect(debug).toContainEqual({ bidder: 'nobody', error: 'Unsupported bidder' })
  })

  it('tells a partner an id of its own for the visitor, once in its refresh interval', async () => {
    const jar = openJar(server)
    await jar.hit({ source: 'site' })
    const [offered] = (await ask(jar, { bidders: ['told'] })).bidder_status
    const told = new URL(offered?.usersync.url ?? '').searchParams.get('id') ?? ''
    expect(told).toMatch(/^[\w-]{43}$/)
    expect(jar.set).toContain('uids')
    expect(bidders(await ask(jar, { bidders: ['told'] }))).toEqual([])
    expect((await ask(jar, {})).status).toBe('no_cookie')
    expect(await (await jar.get('/getuids')).json()).toEqual({ buyeruids: {} })
    // A browser that has no id and does not say that it keeps one has nothing to be told.
    expect(bidders(await ask(openJar(server, { storageAccess: undefined }), { bidders: ['told', 'adnxs'] }))).toEqual(['adnxs'])
  })
})

it('a match that was answered survives kill -9, and is refused while the disk does not take it', async () => {
  const own = scratchProject(CONFIG)
  const first = await startServe(own)
  const jar = openJar(first)
  renameSync(join(own.data, 'spool'), join(own.data, 'gone'))
  const refused = await jar.get(setuid({ bidder: 'adnxs', uid: 'a' }))
  expect([refused.status, jar.cookies.size]).toEqual([503, 0])
  renameSync(join(own.data, 'gone'), join(own.data, 'spool'))
  expect((await jar.get(setuid({ bidder: 'adnxs', uid: 'b' }))).status).toBe(200)
  await first.stop('SIGKILL')
  const second = await startServe(own)
  expect(await storedMatches(own, [idIn(jar) ?? ''], 1)).toEqual([{ visitor: idIn(jar), partner: 'adnxs', id: 'b' }])
  await second.stop()
  own.remove()
})
