// Measured redirects from outside: the person gets through, the click is an event like any hit of a browser, and nobody is sent where we have not signed.

import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openStore } from '../../src/engine/store.ts'
import { shipSpool } from '../../src/spool/spool.ts'
import { runCommand, runJson } from '../support/cli.ts'
import { OPEN_CONFIG, type Project, refuseWrites, scratchProject } from '../support/scratch.ts'
import { API_KEY, BROWSER_AGENT, hitPixel, metric, postEvents, type Serving, startServe } from '../support/serve.ts'

const CONFIG = { ...OPEN_CONFIG, 'config/sources.yaml': 'sources: [{ id: ads }, { id: guarded, hosts: [news.example] }]\n' }
const TARGET = 'https://shop.example/cars?a=1&b=%C3%BC#top'
const KEYED = { path: '/v1/links', headers: { authorization: `Bearer ${API_KEY}` } }

describe('A measured link', () => {
  let project: Project
  let server: Serving
  let cookie: string
  let visitor: string | undefined
  beforeAll(async () => {
    project = scratchProject(CONFIG)
    server = await startServe(project)
    const hit = await fetch(`${server.origin}/p.gif?source=ads&event=impression`, {
      headers: { 'user-agent': BROWSER_AGENT, 'sec-fetch-storage-access': 'active' },
    })
    cookie = hit.headers.getSetCookie()[0]?.split(';')[0] ?? ''
    visitor = /=([0-9a-f-]{36})\./.exec(cookie)?.[1]
  })
  afterAll(async () => {
    await server?.stop()
    project?.remove()
  })

  const dropped = (reason: string) => metric(server, `madeleine_events_dropped_total{reason="${reason}",field=""}`)
  const accepted = (source: string) => metric(server, `madeleine_events_accepted_total{source="${source}"}`)
  const linkOf = async (asked: Record<string, string>) =>
    (JSON.parse((await postEvents(server, asked, KEYED)).text) as { url: string }).url
  const follow = async (path: string, headers: Record<string, string> = {}, method = 'GET') => {
    const init = { method, redirect: 'manual' as const, headers: { 'user-agent': BROWSER_AGENT, ...headers } }
    const answer = await fetch(server.origin + path, init)
    await answer.arrayBuffer()
    return { status: answer.status, location: answer.headers.get('location'), headers: answer.headers }
  }
  const through = { status: 302, location: TARGET }

  it('sends the person on and stores a click of the page that was clicked on, with what was signed and what was added', async () => {
    const path = await linkOf({ url: TARGET, source: 'ads', campaign: 'spring', creative: 'c 1', placement: 'top' })
    const answer = await follow(`${path}&value=0.4&currency=EUR&event=page_view&cb=77`, {
      cookie,
      referer: 'https://news.example/story',
    })
    expect(answer).toMatchObject(through)
    expect(answer.headers.get('referrer-policy')).toBe('no-referrer')
    expect(answer.headers.get('cache-control')).toContain('no-store')
    const store = openStore({ directory: project.data })
    await shipSpool(project.data, store, Date.now)
    const rows = await store.rows({
      owner: 'test.click',
      sql: `SELECT toString(visitor) AS visitor, toString(source) AS source, url, toString(campaign) AS campaign, toString(creative) AS creative, toString(placement) AS placement,
              toString(value) AS value, toString(currency) AS currency FROM madeleine.events WHERE event = 'click' AND ts > now() - INTERVAL 1 DAY`,
    })
    await store.close()
    const said = { campaign: 'spring', creative: 'c 1', placement: 'top', value: '0.4', currency: 'EUR' }
    expect(rows).toEqual([{ visitor, source: 'ads', url: 'https://news.example/story', ...said }])
  })

  it('is the same from the command, and from the command of another key it is not ours', async () => {
    const args = ['link', '--url', TARGET, '--source', 'ads', '--campaign', 'spring']
    const { url } = await runJson<{ url: string }>(project, [...args, '--base', server.origin])
    expect(url).toBe(server.origin + (await linkOf({ url: TARGET, source: 'ads', campaign: 'spring' })))
    expect((await runCommand(project, args)).stdout).toBe(`${url.slice(server.origin.length)}\n`)
    expect(await follow(url.slice(server.origin.length), { cookie })).toMatchObject(through)
    const foreign = await runJson<{ url: string }>(project, args, {
      env: { MADELEINE_LINK_KEY: 'another key of thirty-two characters' },
    })
    expect(await follow(foreign.url, { cookie })).toMatchObject({ status: 400, location: null })
  })

  it('the command says what is wrong with it', async () => {
    const run = (...args: string[]) => runCommand(project, ['link', ...args])
    expect(await run('--url', 'javascript:x', '--source', 'ads')).toMatchObject({ exitCode: 2, stdout: '' })
    const unknown = await run('--url', TARGET, '--source', 'adz')
    expect(unknown).toMatchObject({ exitCode: 2 })
    expect(unknown.stderr).toContain('did you mean ads?')
    expect((await run('--url', TARGET)).exitCode).toBe(2)
  })

  it('without a signature of ours, or to no web page, leads nowhere and is counted; HEAD records nothing', async () => {
    const path = await linkOf({ url: TARGET, source: 'ads' })
    const [before, clicks] = [await dropped('link_invalid'), await accepted('ads')]
    const bad = [
      path.replace('shop', 'evil'),
      path.replace(/&sig=.*/, ''),
      `${path}&url=https://evil.example`,
      '/click',
      '/click?url=//evil.example',
    ]
    for (const one of bad) expect(await follow(one, { cookie })).toMatchObject({ status: 400, location: null })
    expect(await dropped('link_invalid')).toBe(before + bad.length)
    expect(await follow(path, { cookie }, 'HEAD')).toMatchObject(through)
    expect(await accepted('ads')).toBe(clicks)
    expect(await follow(path, { cookie })).toMatchObject(through)
    expect(await accepted('ads')).toBe(clicks + 1)
  })

  it.each([
    ['of a robot', 'bot', { 'user-agent': 'Googlebot/2.1' }, ''],
    ['of someone who has opted out', 'opt_out', { cookie: '__Host-mopt=OPT_OUT.1' }, ''],
    ['under Global Privacy Control', 'gpc', { 'sec-gpc': '1' }, ''],
    ['with a consent string that nobody can read', 'consent_malformed', {}, '&gdpr_consent=x'],
    ['of a browser that brings no cookie', 'no_id', {}, ''],
  ])('a click %s gets through, is dropped as `%s`, and sets no id', async (_, reason, headers, more) => {
    const path = await linkOf({ url: TARGET, source: 'ads' })
    const before = await dropped(reason)
    const answer = await follow(path + more, headers)
    expect(answer).toMatchObject(through)
    expect(answer.headers.getSetCookie().filter((line) => line.startsWith('__Host-mid'))).toEqual([])
    expect(await dropped(reason)).toBe(before + 1)
  })

  it('a click from a page that is not the source’s gets through and is dropped, one from its page is kept', async () => {
    const path = await linkOf({ url: TARGET, source: 'guarded' })
    const [before, kept] = [await dropped('host_not_allowed'), await accepted('guarded')]
    expect(await follow(path, { cookie, referer: 'https://evil.example/' })).toMatchObject(through)
    expect(await follow(path, { cookie, referer: 'https://www.news.example/' })).toMatchObject(through)
    expect([await dropped('host_not_allowed'), await accepted('guarded')]).toEqual([before + 1, kept + 1])
  })

  it('is made only with the key, of the fields that there are', async () => {
    const asked = { url: TARGET, source: 'ads' }
    expect((await postEvents(server, asked, { path: '/v1/links' })).status).toBe(401)
    const wrong = async (body: unknown) => {
      const { status, text } = await postEvents(server, body, KEYED)
      return { status, field: (JSON.parse(text) as { field: string }).field }
    }
    expect(await wrong({ ...asked, url: 'https://a@b.example' })).toEqual({ status: 400, field: 'url' })
    expect(await wrong({ ...asked, source: 'nobody' })).toEqual({ status: 400, field: 'source' })
    expect(await wrong({ ...asked, campaign: 5 })).toEqual({ status: 400, field: 'campaign' })
    expect(await wrong({ ...asked, nonsense: 'x' })).toEqual({ status: 400, field: 'body' })
    expect(await wrong('no json')).toEqual({ status: 400, field: 'body' })
    expect(await linkOf({ ...asked, base: 'https://px.example' })).toMatch(/^https:\/\/px\.example\/click\?/)
  })
})

it('a click that the disk does not take gets through all the same, and is counted for what it is', async () => {
  const project = scratchProject(CONFIG)
  const server = await startServe(project)
  try {
    const { url } = JSON.parse((await postEvents(server, { url: TARGET, source: 'ads' }, KEYED)).text) as { url: string }
    const click = () =>
      fetch(server.origin + url, {
        redirect: 'manual',
        headers: { 'user-agent': BROWSER_AGENT, 'sec-fetch-storage-access': 'active' },
      })
    const lost = () => metric(server, 'madeleine_events_dropped_total{reason="not_durable",field=""}')
    expect((await click()).status).toBe(302)
    expect(await lost()).toBe(0)
    // A file that is open is written to wherever it lies: the one of the click before is closed first.
    await expect.poll(() => metric(server, 'madeleine_spool_rows_shipped_total'), { timeout: 20_000 }).toBe(1)
    await refuseWrites(join(project.data, 'spool'), async () => {
      expect((await hitPixel(server, { source: 'ads' })).status).toBe(503)
      const answer = await click()
      expect([answer.status, answer.headers.get('location'), answer.headers.getSetCookie()]).toEqual([302, TARGET, []])
      expect(await lost()).toBe(1)
    })
    expect((await hitPixel(server, { source: 'ads' })).status).toBe(200)
    expect((await click()).status).toBe(302)
    expect(await lost()).toBe(1)
  } finally {
    await server.stop()
    project.remove()
  }
})
