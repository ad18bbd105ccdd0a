// Who a browser is to the collector, from outside: what it is sent, what is stored under which id and scope, and what is not stored at all.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openStore } from '../../src/engine/store.ts'
import { idIn, openJar } from '../support/jar.ts'
import { OPEN_CONFIG, type Project, scratchProject } from '../support/scratch.ts'
import { metric, type Serving, startServe } from '../support/serve.ts'

const FIREFOX = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0'
const SAFARI =
  'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15'
const UUID = '5e0f9d5c-1b2a-4c3d-8e4f-0a1b2c3d4e5f'

type Row = { readonly visitor: string; readonly scope: string; readonly campaign: string }

describe('a browser', () => {
  let project: Project
  let server: Serving
  beforeAll(async () => {
    project = scratchProject({ ...OPEN_CONFIG, 'config/sources.yaml': 'sources:\n  - id: site\n  - id: shop\n' })
    server = await startServe(project)
  })
  afterAll(async () => {
    await server?.stop()
    project?.remove()
  })

  const stored = async (campaign: string): Promise<Row[]> => {
    const shipped = () => metric(server, 'madeleine_spool_rows_shipped_total')
    const accepted = async () =>
      (await metric(server, 'madeleine_events_accepted_total{source="site"}')) +
      (await metric(server, 'madeleine_events_accepted_total{source="shop"}'))
    await expect.poll(async () => (await shipped()) === (await accepted()), { timeout: 15_000 }).toBe(true)
    const store = openStore({ directory: project.data })
    try {
      return await store.rows<Row>({
        owner: 'test',
        sql: 'SELECT toString(visitor) AS visitor, scope, campaign FROM madeleine.events WHERE campaign = {campaign:String} ORDER BY ts',
        values: { campaign },
      })
    } finally {
      await store.close()
    }
  }

  it('with access to third-party cookies has one id everywhere, from its first hit on, without a detour', async () => {
    const jar = openJar(server)
    for (let i = 0; i < 2; i++) expect((await jar.hit({ source: 'site', campaign: 'active' })).status).toBe(200)
    expect([...jar.cookies.keys()]).toEqual(['__Host-mid'])
    const row = { visitor: idIn(jar), scope: 'global', campaign: 'active' }
    expect(await stored('active')).toEqual([row, row])
  })

  it('with cookies apart by site has an id of this site', async () => {
    const jar = openJar(server, { storageAccess: 'none' })
    for (let i = 0; i < 2; i++) await jar.hit({ source: 'site', campaign: 'apart' })
    expect([...jar.cookies.keys()]).toEqual(['__Host-midp'])
    const row = { visitor: idIn(jar, '__Host-midp'), scope: 'partition', campaign: 'apart' }
    expect(await stored('apart')).toEqual([row, row])
  })

  it('that says nothing of itself is sent round once, and counted once, by what it kept', async () => {
    const before = await metric(server, 'madeleine_pixels_asked_again_total')
    const keepsAll = openJar(server, { agent: SAFARI })
    const keepsApart = openJar(server, { agent: SAFARI, keeps: (name) => name === '__Host-midp' })
    for (const jar of [keepsAll, keepsApart])
      for (let i = 0; i < 2; i++) expect((await jar.hit({ source: 'site', campaign: 'round' })).status).toBe(200)
    expect(await metric(server, 'madeleine_pixels_asked_again_total')).toBe(before + 2)
    const rows = await stored('round')
    expect(rows.filter(({ visitor }) => visitor === idIn(keepsAll)).map(({ scope }) => scope)).toEqual(['global', 'global'])
    expect(rows.filter(({ visitor }) => visitor === idIn(keepsApart, '__Host-midp')).map(({ scope }) => scope)).toEqual([
      'partition',
      'partition',
    ])
    expect(rows).toHaveLength(4)
  })

  it('that keeps nothing is nobody: its pixel is counted as dropped, and no id is made up for it', async () => {
    const dropped = () => metric(server, 'madeleine_events_dropped_total{reason="no_id",field=""}')
    const before = await dropped()
    const jar = openJar(server, { agent: SAFARI, keeps: () => false })
    for (let i = 0; i < 3; i++) expect((await jar.hit({ source: 'site', campaign: 'nobody' })).status).toBe(200)
    expect(await dropped()).toBe(before + 3)
    expect(await stored('nobody')).toEqual([])
  })

  it('of the Firefox that hands third-party cookies back is never taken for more than a site', async () => {
    const jar = openJar(server, { agent: FIREFOX })
    for (let i = 0; i < 2; i++) await jar.hit({ source: 'site', campaign: 'firefox' })
    expect((await stored('firefox')).map(({ scope }) => scope)).toEqual(['partition', 'partition'])
  })

  it('with a forged cookie gets an id of its own, and the forgery is counted', async () => {
    const before = await metric(server, 'madeleine_cookies_replaced_total')
    const jar = openJar(server)
    jar.cookies.set('__Host-mid', `${UUID}.fwb.${'A'.repeat(22)}`)
    await jar.hit({ source: 'site', campaign: 'forged' })
    expect(idIn(jar)).not.toBe(UUID)
    expect(await stored('forged')).toEqual([{ visitor: idIn(jar), scope: 'global', campaign: 'forged' }])
    expect(await metric(server, 'madeleine_cookies_replaced_total')).toBe(before + 1)
  })

  it('without any cookie is known by the id of the site’s own tag, on that site, and sent no cookie', async () => {
    const jar = openJar(server, { agent: SAFARI })
    for (const source of ['site', 'site', 'shop'])
      expect((await jar.post('/e', { source, campaign: 'own', fpid: UUID })).status).toBe(204)
    expect(jar.cookies.size).toBe(0)
    const rows = await stored('own')
    expect(rows.map(({ scope }) => scope)).toEqual(['first_party', 'first_party', 'first_party'])
    const ids = new Set(rows.map(({ visitor }) => visitor))
    expect(ids.size).toBe(2)
    // Otherwise a page could speak for any visitor whose id it has seen.
    expect(ids.has(UUID)).toBe(false)
  })

  it('is not known by an id in an address, or in a body of a browser that has a cookie', async () => {
    const jar = openJar(server)
    await jar.hit({ source: 'site', campaign: 'address', fpid: UUID, visitor: UUID, nuid: UUID })
    await jar.post('/e', { source: 'site', campaign: 'address', fpid: UUID, visitor: UUID })
    const row = { visitor: idIn(jar), scope: 'global', campaign: 'address' }
    expect(await stored('address')).toEqual([row, row])
  })
})
