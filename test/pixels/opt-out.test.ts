// A person's choice on one site, made through the tag: it acts at once, and it holds.

import { expect, it } from 'vitest'
import { choice, count, HIDE, has, inChromium, inPage, names, RECORD, SEEN_150_MS, TCF, tell, UNTIL_TAG } from './page.ts'

type Post = { readonly path: string; readonly event?: string }
const STORED = "[localStorage.getItem('_mid'), localStorage.getItem('_mid_optout'), document.cookie]"
const STATUS = "let told; madeleine('status', (status) => { told = status }); told"

inChromium('Opting out', (open) => {
  const visit = (source: string, cmp: string, setup = '', attributes = '') =>
    open().visit(source, inPage(cmp) + open().script(source, attributes, '/m/t.js?policy=.allow.'), { setup: RECORD + setup })
  const paths = async (run: (code: string) => Promise<unknown>) =>
    ((await run('sent')) as Post[]).map(({ path, event }) => event ?? path)

  it('optOut tells the collector with the id, removes it and silences this and the next page; optIn resumes', async () => {
    const { page, run, until } = await visit('out', '')
    const fpid = (await until(count(1)))[0]?.['fpid']
    await run(SEEN_150_MS)
    await run("madeleine('optOut'); madeleine('event', 'a'); history.pushState({}, '', '/out/x')")
    expect(await run(STORED)).toEqual([null, '1', ''])
    expect(await run('sent.at(-1)')).toEqual({ how: 'fetch', path: '/m/optout', source: 'out', fpid })
    expect(await run(STATUS)).toEqual({ optedOut: true, gpc: false, waiting: false })
    await page.goto(open().address('out', '/two'))
    await run(UNTIL_TAG)
    await run(SEEN_150_MS)
    await run("madeleine('event', 'b')")
    expect([await paths(run), await run(STORED)]).toEqual([[], [null, '1', '']])
    const back = Number(await run("madeleine('optIn'); performance.now()"))
    await run(SEEN_150_MS)
    await run(`madeleine('event', 'c'); ${HIDE}`)
    await until(has('dwell'))
    expect(await paths(run)).toEqual(['/m/optin', 'c', 'dwell'])
    expect(names(open().hitsOf('out')).sort()).toEqual(['c', 'dwell', 'page_view'])
    // The time before opting in is nobody's.
    expect(
      open()
        .hitsOf('out')
        .find((hit) => hit['event'] === 'dwell')?.['dwell_ms'],
    ).toBeLessThanOrEqual(Number(await run('performance.now()')) - back + 1)
    expect(await run(STORED)).toEqual([expect.stringMatching(/^[0-9a-f-]{36}\.\d+$/), null, ''])
    expect(
      open()
        .postsOf('out')
        .map(({ path }) => path),
    ).toContain('/m/optin')
  })

  it('It acts at once while consent is awaited, and what was held is gone', async () => {
    const { run, until } = await visit('held', `${TCF} madeleine('event', 'held')`, '', 'data-dwell="off"')
    await run(UNTIL_TAG)
    expect(await run(STATUS)).toEqual({ optedOut: false, gpc: false, waiting: true })
    await run("madeleine('optOut')")
    expect(await paths(run)).toEqual(['/m/optout'])
    await run(`madeleine('optIn'); ${tell(choice())} madeleine('event', 'after')`)
    expect(names(await until(count(1)))).toEqual(['after'])
  })

  it('A call made before the tag has loaded acts before anything is sent', async () => {
    const { run } = await visit('early', "madeleine('event', 'a'); madeleine('optOut'); madeleine('event', 'b')")
    await run(UNTIL_TAG)
    await run("madeleine('event', 'c')")
    expect(await paths(run)).toEqual(['/m/optout'])
  })

  it('Under Global Privacy Control both are told, and events stay silenced', async () => {
    const gpc = "Object.defineProperty(navigator, 'globalPrivacyControl', { value: true });"
    const { run } = await visit('gpc', '', gpc)
    await run(UNTIL_TAG)
    await run("madeleine('optOut'); madeleine('optIn'); madeleine('event', 'a')")
    expect(await run(STATUS)).toEqual({ optedOut: false, gpc: true, waiting: false })
    expect(await paths(run)).toEqual(['/m/optout', '/m/optin'])
  })

  it('Without localStorage the choice is a cookie for 400 days; without both it lasts as long as the page', async () => {
    const blocked = "Object.defineProperty(window, 'localStorage', { get() { throw new Error() } });"
    const noCookie = "Object.defineProperty(document, 'cookie', { get: () => '', set() { throw new Error() } });"
    for (const [source, setup] of [
      ['cookie', blocked],
      ['nowhere', blocked + noCookie],
    ] as const) {
      const { page, run, until } = await visit(source, '', setup, 'data-dwell="off"')
      await until(count(1))
      await run("madeleine('optOut'); madeleine('event', 'a')")
      const cookies = await page.context().cookies(page.url())
      expect(cookies.map(({ name, value }) => [name, value])).toEqual(source === 'cookie' ? [['_mid_optout', '1']] : [])
      for (const { expires } of cookies) expect(expires - Date.now() / 1000).toBeCloseTo(34_560_000, -2)
      await run("madeleine('optIn'); madeleine('event', 'b')")
      expect(names(await until(count(2)))).toEqual(['page_view', 'b'])
      expect((await page.context().cookies(page.url())).map(({ name }) => name)).not.toContain('_mid_optout')
    }
  })
})
