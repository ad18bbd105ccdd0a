// What visitors allow, refuse and take back, from the hit to the audience and the exported file. Each refusal stands beside the same without it.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type MembersAnswer, runJson } from '../support/cli.ts'
import { idIn, openJar } from '../support/jar.ts'
import { writePlaces } from '../support/mmdb.ts'
import { type Project, scratchProject } from '../support/scratch.ts'
import { API_KEY, metric, postEvents, type Serving, startServe } from '../support/serve.ts'
import { C1, C3, C14 } from '../support/tc-strings.ts'

const CONFIG = {
  'config/sources.yaml': 'sources:\n  - { id: site, hosts: [pub.example] }\n  - id: shop\n',
  'config/settings.yaml': `tcf: { vendor_id: 123 }
consent: { no_signal: allow }
privacy: { minimum_export: 1 }
geo: { database: places.mmdb }
collector: { trusted_proxies: [127.0.0.1] }
`,
  'config/segments/all.yaml': `segments:
  - { id: everyone, when: { count: { gte: 1 } } }
  - { id: at-shop, when: { where: { source: shop } } }
  - { id: at-site, when: { where: { source: site } } }
  - { id: own-id, when: { where: { campaign: own } } }
  - { id: british, when: { where: { country: GB, region: GB-ENG } } }
`,
  'config/destinations/files.yaml': `destinations:
  - { id: open, connector: file, settings: { path: open }, audiences: [{ audience: everyone, as: open }] }
  - { id: vendor, connector: file, vendor_id: 99, settings: { path: vendor }, audiences: [{ audience: everyone, as: vendor }] }
  - { id: stranger, connector: file, vendor_id: 7, settings: { path: stranger }, audiences: [{ audience: everyone, as: stranger }] }
`,
}
const PAGE = { source: 'site', url: 'https://pub.example/a' }
const AT_SHOP = { source: 'shop' }

describe('A visitor', () => {
  let project: Project
  let server: Serving
  beforeAll(async () => {
    project = scratchProject(CONFIG)
    project.write(
      'config/places.mmdb',
      writePlaces({ '81.2.69.0/24': { country: 'GB', region: 'ENG' }, '8.8.8.0/24': { country: 'US' } }),
    )
    server = await startServe(project)
  })
  afterAll(async () => {
    await server?.stop()
    project?.remove()
  })

  const isIn = async (audience: string, visitor: string | undefined) => {
    const { audiences } = await runJson<MembersAnswer>(project, ['members', audience, '--as-of', new Date().toISOString()])
    return audiences[0]?.members.includes(visitor ?? '') ?? false
  }
  const dropped = (reason: string) => metric(server, `madeleine_events_dropped_total{reason="${reason}",field=""}`)
  /** Who the last deliveries of a destination add and remove. */
  async function exported(destination: string): Promise<Map<string, string>> {
    await runJson(project, ['export', destination])
    const directory = join(project.data, destination, destination)
    const lines = readdirSync(directory)
      .sort()
      .flatMap((file) => readFileSync(join(directory, file), 'utf8').split('\n').slice(1))
    return new Map(lines.filter(Boolean).map((line) => [line.split(',')[0] ?? '', line.split(',')[2] ?? '']))
  }

  it('who refuses after having agreed leaves every audience of that site, keeps the others, and comes back with the next yes', async () => {
    const jar = openJar(server)
    await jar.hit({ ...PAGE, gdpr: '1', gdpr_consent: C1 })
    await jar.hit(AT_SHOP)
    const visitor = idIn(jar)
    expect([await isIn('at-site', visitor), await isIn('at-shop', visitor)]).toEqual([true, true])
    const before = await dropped('consent_refused')
    await jar.hit({ ...PAGE, gdpr: '1', gdpr_consent: C3 })
    expect(await dropped('consent_refused')).toBe(before + 1)
    expect([await isIn('at-site', visitor), await isIn('at-shop', visitor)]).toEqual([false, true])
    expect(idIn(jar)).toBe(visitor) // other sites have not been refused
    await jar.hit({ ...PAGE, gdpr: '1', gdpr_consent: C1 })
    expect(await isIn('at-site', visitor)).toBe(true)
  })

  it('without cookies who refuses is found by the site’s own id, which the tag sends along once more', async () => {
    const jar = openJar(server, { storageAccess: undefined })
    const own = { ...PAGE, fpid: '5e0f9d5c-1b2a-4c3d-8e4f-0a1b2c3d4e5f', campaign: 'own' }
    const size = async () => {
      const { audiences } = await runJson<MembersAnswer>(project, ['members', 'own-id', '--as-of', new Date().toISOString()])
      return audiences[0]?.members.length
    }
    await jar.post('/e', { ...own, gdpr_consent: C1 })
    expect(await size()).toBe(1)
    await jar.post('/e', { ...own, gdpr_consent: C3 })
    expect(await size()).toBe(0)
  })

  it('who allows storage only is stored, and invisible', async () => {
    const [yes, no] = [openJar(server), openJar(server)]
    await yes.hit({ ...PAGE, gdpr: '1', gdpr_consent: C1 })
    await no.hit({ ...PAGE, gdpr: '1', gdpr_consent: C14 })
    expect(idIn(no)).toBeDefined()
    expect([await isIn('everyone', idIn(yes)), await isIn('everyone', idIn(no))]).toEqual([true, false])
  })

  it('who sends Global Privacy Control gets no cookie and loses the one there is; whoever forges another site’s refusal does nothing', async () => {
    const fresh = openJar(server)
    await fresh.hit(PAGE, { 'sec-gpc': '1' })
    expect(fresh.set).toEqual([])
    const jar = openJar(server)
    await jar.hit(PAGE)
    const visitor = idIn(jar)
    await jar.hit({ source: 'site', url: 'https://evil.example/', gdpr_consent: C3 })
    expect(await isIn('at-site', visitor)).toBe(true)
    await jar.hit(PAGE, { 'sec-gpc': '0, 1' })
    expect(jar.removed).toEqual(['__Host-mid'])
    expect(await isIn('at-site', visitor)).toBe(false)
  })

  it('who lives where the GDPR applies is not stored without a string, and one from elsewhere is; the address is nowhere kept', async () => {
    const from = (address: string) => ({ 'x-forwarded-for': `1.2.3.4, ${address}` })
    const [british, american] = [openJar(server), openJar(server)]
    await british.hit(PAGE, from('81.2.69.142'))
    await american.hit(PAGE, from('8.8.8.8'))
    expect([british.cookies.size, american.cookies.size]).toEqual([0, 1])
    await british.hit({ ...PAGE, gdpr_consent: C1 }, from('81.2.69.142'))
    expect([await isIn('british', idIn(british)), await isIn('british', idIn(american))]).toEqual([true, false])
    expect(server.stderr()).not.toMatch(/81\.2\.69|8\.8\.8\.8/)
  })

  it('who opts out on the page is out of everything at once, by whatever cookie comes later, and after a kill too', async () => {
    const jar = openJar(server)
    await jar.hit(PAGE)
    await jar.hit(AT_SHOP)
    const visitor = idIn(jar) ?? ''
    const cookie = jar.cookies.get('__Host-mid') ?? ''
    expect(await isIn('everyone', visitor)).toBe(true)
    await runJson(project, ['build'])
    expect((await exported('open')).get(visitor)).toBe('add')

    const page = await jar.post('/optout', '', { origin: server.origin })
    expect([page.status, await page.text()]).toEqual([200, expect.stringContaining('You have opted out')])
    expect([jar.set, jar.removed]).toEqual([['__Host-mopt'], ['__Host-mid']])
    // Against the build of before.
    expect((await exported('open')).get(visitor)).toBe('remove')
    expect(await isIn('everyone', visitor)).toBe(false)

    const before = await dropped('opt_out')
    await jar.hit(PAGE)
    const late = openJar(server)
    late.cookies.set('__Host-mid', cookie)
    await late.hit(PAGE)
    expect(late.cookies.has('__Host-mid')).toBe(false)
    await postEvents(server, { source: 'shop', visitor }, { path: '/v1/events', headers: { authorization: `Bearer ${API_KEY}` } })
    expect(await dropped('opt_out')).toBe(before + 3)

    await jar.post('/optin', '', { origin: server.origin })
    expect(jar.cookies.size).toBe(0)
    await jar.hit(PAGE)
    expect(await isIn('everyone', idIn(jar))).toBe(true)

    await server.stop('SIGKILL')
    server = await startServe(project)
    const again = openJar(server)
    again.cookies.set('__Host-mid', cookie)
    await again.hit(PAGE)
    expect(again.set).toEqual(['__Host-mopt'])
    expect(await isIn('everyone', visitor)).toBe(false)
  })

  it('who opts out on one site stays on the others', async () => {
    const jar = openJar(server)
    await jar.hit(PAGE)
    await jar.hit(AT_SHOP)
    const visitor = idIn(jar)
    const answer = await jar.post(
      '/optout',
      { source: 'site' },
      { origin: 'https://pub.example', 'sec-fetch-site': 'cross-site' },
    )
    expect(answer.status).toBe(204)
    expect([jar.set, jar.removed]).toEqual([['__Host-moptp'], []])
    expect([await isIn('at-site', visitor), await isIn('at-shop', visitor)]).toEqual([false, true])
  })

  it('cannot be opted out or in by a page of somebody else', async () => {
    const jar = openJar(server)
    await jar.hit(PAGE)
    const visitor = idIn(jar)
    const foreign = { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' }
    for (const path of ['/optout', '/optin']) {
      expect((await jar.post(path, { source: 'site' }, foreign)).status, path).toBe(403)
      expect((await jar.post(path, 'no json', foreign)).status, path).toBe(403)
      expect((await fetch(server.origin + path)).headers.getSetCookie(), path).toEqual([])
    }
    expect(await isIn('everyone', visitor)).toBe(true)
  })

  it('may ask for the status, and gets no id; Global Privacy Control has its document', async () => {
    const ask = async (cookie: string) => {
      const response = await fetch(`${server.origin}/optout/status`, { headers: { cookie, origin: 'https://tool.example' } })
      expect(response.headers.get('access-control-allow-origin')).toBe('https://tool.example')
      return response.json()
    }
    expect(await ask('')).toEqual({ opted_out: false, gpc: false })
    expect(await ask('__Host-mopt=1')).toEqual({ opted_out: true, gpc: false })
    const support = await fetch(`${server.origin}/.well-known/gpc.json`)
    expect(await support.json()).toEqual({ gpc: true, lastUpdate: expect.stringMatching(/^\d{4}-\d\d-\d\d$/) })
  })

  it('who named the partners that may receive is sent to those, and to no other', async () => {
    const [named, unlimited] = [openJar(server), openJar(server)]
    await named.hit({ ...PAGE, gdpr_consent: C1 }) // vendors 99 and 123
    await unlimited.hit(PAGE)
    await runJson(project, ['build'])
    const to = async (destination: string) => {
      const sent = await exported(destination)
      return [sent.get(idIn(named) ?? ''), sent.get(idIn(unlimited) ?? '')]
    }
    expect(await to('open')).toEqual(['add', 'add'])
    expect(await to('vendor')).toEqual(['add', 'add'])
    expect(await to('stranger')).toEqual([undefined, 'add'])
  })

  it('is explained to whoever has the key, and nothing of it happens', async () => {
    const explain = async (hit: unknown, key = API_KEY) => {
      const headers = { authorization: `Bearer ${key}` }
      const response = await fetch(`${server.origin}/v1/explain`, { method: 'POST', headers, body: JSON.stringify(hit) })
      return { status: response.status, body: await response.json() }
    }
    const jar = openJar(server)
    await jar.hit(PAGE)
    const cookie = `__Host-mid=${jar.cookies.get('__Host-mid')}`
    const hit = {
      url: `/p.gif?${new URLSearchParams({ ...PAGE, gdpr: '1', gdpr_consent: C3 })}`,
      headers: { cookie, 'user-agent': 'Mozilla/5.0 Firefox/153.0' },
    }
    const { status, body } = await explain(hit)
    expect(status).toBe(200)
    expect(body).toMatchObject({
      request: { agent: { bot: false }, cookies: { visitor: 'ours' } },
      events: [{ outcome: 'dropped', reason: 'consent_refused', consent: { findings: expect.any(Array) } }],
      answer: { status: 200, cookies: [] },
    })
    expect(JSON.stringify(body)).not.toContain(idIn(jar))
    expect(JSON.stringify(body)).not.toContain(C3)
    expect(await isIn('at-site', idIn(jar))).toBe(true)
    expect((await explain(hit, 'wrong')).status).toBe(401)
    for (const url of [5, 'http://', '/elsewhere'])
      expect(await explain({ url })).toMatchObject({ status: 400, body: { field: 'url' } })
    const kept = await explain({ url: '/e', body: { source: 'shop' }, headers: { 'user-agent': 'Mozilla/5.0 Firefox/153.0' } })
    expect(kept.body).toMatchObject({ events: [{ outcome: 'kept', receivers: 'any' }], answer: { status: 204 } })
  })
})
