// The tag in a real browser, as a publisher embeds it. "Nothing is sent" is shown by a later action whose event arrives alone.

import { gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { parseFields } from '../../src/event/fields.ts'
import { buildTag, type Hit, hasChromium, openSite, STUB } from './site.ts'

const count = (n: number) => (hits: readonly Hit[]) => hits.length >= n
const has = (event: string) => (hits: readonly Hit[]) => hits.some((hit) => hit['event'] === event)
const names = (hits: readonly Hit[]) => hits.map((hit) => hit['event'])
const isIn = (path: string) => (hit: Hit) => String(hit['url']).endsWith(path)
/** Long enough in sight to be worth a dwell event. */
const SEEN_150_MS =
  'const since = performance.now(); new Promise((done) => { const look = () => performance.now() - since > 150 ? done() : requestAnimationFrame(look); look() })'
const HIDE =
  "Object.defineProperty(document, 'visibilityState', { value: 'hidden', configurable: true }); document.dispatchEvent(new Event('visibilitychange'))"
const SHOW = "delete document.visibilityState; document.dispatchEvent(new Event('visibilitychange'))"
const NO_DWELL = 'data-dwell="off"'

it('The tag is smaller than 3.6 KiB gzipped', async () => {
  expect(gzipSync(await buildTag(), { level: 9 }).length).toBeLessThan(3.6 * 1024)
})

describe.skipIf(!hasChromium && process.env['CI'] !== 'true')(
  'The tag in Chromium (skipped where /usr/bin/chromium is missing, except in CI)',
  () => {
    let site: Awaited<ReturnType<typeof openSite>>
    beforeAll(async () => {
      site = await openSite(await buildTag())
    })
    afterAll(() => site?.close())
    // Whatever a test makes the page do, the collector refuses nothing of it.
    afterEach(() => expect(site.refusals()).toEqual([]))

    it('A page view on load carries the address, category and keywords as text/plain, to the path that the tag came from', async () => {
      const { until } = await site.visit(
        'load',
        site.script('load', 'data-category="1, 2" data-keyword="cars,suv"', '/madeleine/t.js?v=1'),
      )
      const [hit] = await until(count(1))
      expect(hit).toEqual({
        source: 'load',
        event: 'page_view',
        url: site.address('load'),
        category: ['1', '2'],
        keyword: ['cars', 'suv'],
      })
      expect(site.postsOf('load')[0]).toMatchObject({ path: '/madeleine/e', type: 'text/plain;charset=UTF-8' })
    })

    it('An element anywhere in the page overrides the category of the script, and set overrides both', async () => {
      const head = STUB + site.script('declared', 'data-category="1" data-keyword="a"')
      const body =
        '<main data-madeleine-category="3,4" data-madeleine-keyword="b"></main><script>madeleine("set", { keyword: ["c"] })</script>'
      const { until, run } = await site.visit('declared', head, { body })
      expect(await until(count(1))).toMatchObject([{ category: ['3', '4'], keyword: ['c'] }])
      await run("madeleine('set', { keyword: null, gdpr: '1' }); madeleine('event', 'later')")
      expect((await until(count(2)))[1]).toMatchObject({ event: 'later', category: ['3', '4'], keyword: ['b'], gdpr: '1' })
    })

    it('Calls made before the tag has loaded are replayed in order after the page view, which their set has reached', async () => {
      const calls =
        "madeleine('event', 'one', { n: 1 }); madeleine('event', 'two'); madeleine('set', { keyword: ['x', 'y'] }); madeleine('event', 'three')"
      // Requests may overtake each other on the way.
      const setup =
        'window.sent = []; const beacon = navigator.sendBeacon, own = fetch; navigator.sendBeacon = function (url, body) { sent.push(JSON.parse(body).event); return beacon.call(this, url, body) }; window.fetch = (url, init) => { sent.push(JSON.parse(init.body).event); return own(url, init) }'
      const { until, run } = await site.visit(
        'queue',
        `${STUB}<script>window.kept = madeleine; madeleine('set', { gpp_sid: '7' }); ${calls}</script>${site.script('queue', NO_DWELL)}`,
        { setup },
      )
      const hits = await until(count(4))
      expect(await run('sent')).toEqual(['page_view', 'one', 'two', 'three'])
      expect(hits.every((hit) => hit['gpp_sid'] === '7')).toBe(true)
      expect(hits.find((hit) => hit['event'] === 'three')).toMatchObject({ keyword: ['x', 'y'] })
      await run("kept('event', 'four')") // A copy of the stub that the page has kept.
      expect((await until(count(5)))[4]).toMatchObject({ event: 'four' })
    })

    it('An event keeps what JSON can carry, and may override all but its source and name', async () => {
      const { until, run } = await site.visit('event', site.script('event', 'data-category="1"'))
      await until(count(1))
      await run(`madeleine('event', 'add_to_cart', { value: 19.9, currency: 'EUR', 'attr.sku': 'x', attr: { size: 'L', deep: {} }, gift: false, tags: ['a', {}, NaN, 2],
      url: 'https://shop.example/p', category: [], source: 'other', event: 'other', events: ['x'], none: undefined, empty: '', nan: NaN, f() {}, date: new Date() })`)
      expect((await until(count(2)))[1]).toEqual({
        ...{ source: 'event', event: 'add_to_cart', url: 'https://shop.example/p', value: 19.9, currency: 'EUR' },
        ...{ 'attr.sku': 'x', 'attr.size': 'L', gift: 'false', tags: 'a,2' },
      })
    })

    /** The event of one call, as the tag sent it and as the real reader of the collector takes it. */
    async function mended(source: string, fields: string) {
      const { until, run } = await site.visit(source, site.script(source, NO_DWELL))
      await until(count(1))
      await run(`madeleine('event', 'mended', ${fields})`)
      const { source: _, event: __, ...sent } = (await until(count(2))).find((hit) => hit['event'] === 'mended') ?? {}
      const read = parseFields(sent, { form: 'json', derived: true })
      expect(read).toMatchObject({ ok: true })
      return { sent, read: read.ok ? read.fields : undefined, page: site.address(source) }
    }

    it('A number, switch or list where a text belongs is sent as text', async () => {
      const { sent, read, page } = await mended(
        'to-text',
        "{ order_id: 12345, campaign: 7, creative: true, placement: ['top', 2], currency: NaN, gdpr: 0, attr: { size: 42, tags: ['a', 'b'] } }",
      )
      const texts = { order_id: '12345', campaign: '7', creative: 'true', placement: 'top,2' }
      expect(sent).toEqual({ url: page, ...texts, gdpr: '0', 'attr.size': '42', 'attr.tags': 'a,b' })
      expect(read).toMatchObject({ ...texts, attr: { size: '42', tags: 'a,b' } })
    })

    it('A number is sent as number, numeric text too, rounded to 6 places, and left out where it is none or has more than 12 digits', async () => {
      const cases: [given: string, sent: number | undefined, read: bigint | null][] = [
        ["'19.9'", 19.9, 19_900_000n],
        ["' -5 '", -5, -5_000_000n],
        ['0.1 + 0.2', 0.3, 300_000n],
        ['2.00000049', 2, 2_000_000n],
        ['0', 0, 0n],
        ['1e-7', 0, 0n],
        ['-1e-7', 0, 0n],
        ['1e-6', 0.000001, 1n],
        ['123456789012.34', 123456789012.34, 123_456_789_012_340_000n],
        ['999999999999.9999999', undefined, null],
        ['-1e12', undefined, null],
        ['1e21', undefined, null],
        ["'1e400'", undefined, null],
        ['Infinity', undefined, null],
        ["'19,90 EUR'", undefined, null],
        ["' '", undefined, null],
        ['true', undefined, null],
      ]
      const { until, run } = await site.visit('numbers', site.script('numbers', NO_DWELL))
      await until(count(1))
      const calls = cases.map(([n], i) => `madeleine('event', 'n${i}', { value: ${n}, cost: ${n}, dwell_ms: ${n} })`)
      await run(calls.join(';'))
      const hits = await until(count(1 + cases.length))
      for (const [i, [given, sent, read]] of cases.entries()) {
        const hit = hits.find((hit) => hit['event'] === `n${i}`) ?? {}
        expect([hit['value'], hit['cost'], hit['dwell_ms']], given).toEqual([sent, sent, sent])
        const fields = { value: read, cost: read, dwell_ms: read }
        expect(parseFields(hit, { form: 'json', derived: true }), given).toMatchObject({ ok: true, fields })
      }
    })

    it('A text is cut at 1,024 UTF-16 units, except a consent string', async () => {
      const { sent, read } = await mended(
        'cut',
        "{ campaign: '😀'.repeat(600), keyword: ['k'.repeat(1025)], attr: { a: 'a'.repeat(1024), b: 'b'.repeat(9999) }, gpp: 'g'.repeat(2000) }",
      )
      const cut = { campaign: '😀'.repeat(512), keyword: ['k'.repeat(1024)] }
      expect(sent).toMatchObject({ ...cut, 'attr.a': 'a'.repeat(1024), 'attr.b': 'b'.repeat(1024), gpp: 'g'.repeat(2000) })
      expect(read).toMatchObject(cut)
    })

    it('An address loses its query, is completed where it is relative, and is left out where it is too long or no address', async () => {
      const long = await mended('long', "{ url: '/p?q=' + 'q'.repeat(9999), referrer: 'android-app://com.example/x?y#z' }")
      expect(long.sent).toEqual({ url: new URL('/p', long.page).href, referrer: 'android-app://com.example/x' })
      expect(long.read).toMatchObject({ path: '/p', referrer_host: 'com.example' })
      const most = await mended('most', "{ url: 'https://shop.example/' + 'p'.repeat(8192 - 21), referrer: 'somewhere' }")
      expect(most.sent).toEqual({ url: `https://shop.example/${'p'.repeat(8192 - 21)}` })
      expect((await mended('over', "{ url: 'https://shop.example/' + 'p'.repeat(8192 - 20) }")).sent).toEqual({})
      expect((await mended('scheme', "{ url: 'app://screen/1', referrer: 'http://' }")).sent).toEqual({})
    })

    it('A category or keyword given as one text is split at commas, and a list is 100 texts at most', async () => {
      const { sent, read } = await mended(
        'lists',
        "{ category: ' 1, 2,,3 ', keyword: [7, ' a,b ', '', false, null, ...Array(200).fill('k')] }",
      )
      const lists = { category: ['1', '2', '3'], keyword: ['7', 'a,b', 'false', ...Array(97).fill('k')] }
      expect(sent).toMatchObject(lists)
      expect(read).toMatchObject(lists)
      expect((await mended('number', '{ category: 5 }')).sent).toMatchObject({ category: ['5'] })
    })

    it('Attributes with a name that is none, and those after the hundredth, are left out', async () => {
      const { sent, read } = await mended(
        'attributes',
        "{ 'attr.': 1, 'attr.Sku': 1, attr: { '1a': 1, 'a-b': 1, ['x'.repeat(65)]: 1, none: '', ...Object.fromEntries([...Array(150)].map((_, n) => ['a' + n, n])) } }",
      )
      const kept = Array.from({ length: 100 }, (_, n) => [`a${n}`, String(n)])
      expect(sent).toEqual({ url: expect.any(String), ...Object.fromEntries(kept.map(([name, n]) => [`attr.${name}`, n])) })
      expect(read?.attr).toEqual(Object.fromEntries(kept))
    })

    it('An event whose name is none is not sent, and a call that the collector refuses takes no other along', async () => {
      const bad = ["'Purchase'", "'add-to-cart'", "'1st'", "'_x'", `'${'a'.repeat(65)}'`, "'a\\n'", "''", '5', 'undefined']
      const calls = `for (const name of [${bad}]) madeleine('event', name); madeleine('event', 'elsewhere', { url: 'https://other.example/' }); madeleine('event', '${'a'.repeat(64)}')`
      const { until, run, errors } = await site.visit(
        'names',
        `${STUB}<script>${calls}</script>${site.script('names', NO_DWELL)}`,
      )
      await until(count(3))
      await run(`${calls}; madeleine('event', 'last')`)
      const hits = await until(count(6))
      expect(names(hits).sort()).toEqual(['a'.repeat(64), 'a'.repeat(64), 'elsewhere', 'elsewhere', 'last', 'page_view'])
      expect(site.postsOf('names')).toHaveLength(6)
      expect(errors).toEqual([])
    })

    it('A new address in a single-page application is a page view with the previous address as referrer', async () => {
      const { page, until, run } = await site.visit('spa', site.script('spa', NO_DWELL), {
        body: '<main data-madeleine-category="1"></main>',
      })
      await until(count(1))
      // The router changes the address first and renders after.
      await run("history.pushState({}, '', '/spa/two'); document.querySelector('main').dataset.madeleineCategory = '2'")
      await until(count(2))
      await run("history.replaceState({}, '', '/spa/two?q=3')")
      await until(count(3))
      await page.goBack()
      await until(count(4))
      await run(
        "navigation.addEventListener('navigate', (e) => e.intercept()); navigation.navigate('/spa/five').finished.then(() => 0)",
      )
      const hits = await until(count(5))
      const at = (path: string) => site.address('spa', path)
      expect(hits.map(({ url, referrer, category }) => [url, referrer, category])).toEqual([
        [at('/'), undefined, ['1']],
        [at('/two'), at('/'), ['2']],
        [at('/two'), at('/two'), ['2']],
        [at('/'), at('/two'), ['2']],
        [at('/five'), at('/'), ['2']],
      ])
    })

    it('The History methods keep their this, arguments, answers and exceptions', async () => {
      const setup =
        'const own = history.pushState; history.pushState = function (...given) { own.apply(this, given); return [this === history, given.length] }'
      const { until, run } = await site.visit('history', site.script('history', NO_DWELL), { setup })
      await until(count(1))
      expect(await run("history.pushState({ a: 1 }, '')")).toEqual([true, 2])
      expect(await run('history.state')).toEqual({ a: 1 })
      expect(
        await run("try { history.replaceState({}, '', 'https://elsewhere.example/'); 'none' } catch (error) { error.name }"),
      ).toBe('SecurityError')
    })

    it('A change of the fragment, and a replaceState to the same address, are no page views', async () => {
      const { until, run } = await site.visit('hash', site.script('hash', NO_DWELL))
      await until(count(1))
      await run(
        "location.hash = 'a'; history.pushState({}, '', '#b'); history.replaceState({}, '', location.href); new Promise((done) => setTimeout(done))",
      )
      await run("madeleine('event', 'after')")
      expect(names(await until(has('after')))).toEqual(['page_view', 'after'])
    })

    it('Page views are only those made by hand where data-page-view is off', async () => {
      const { until, run } = await site.visit('manual', site.script('manual', `${NO_DWELL} data-page-view="off"`))
      await run('new Promise((done) => { const look = () => window.madeleine ? done() : setTimeout(look); look() })')
      await run("history.pushState({}, '', '/manual/two'); madeleine('page', { category: ['9'] })")
      expect(await until(count(1))).toMatchObject([
        { event: 'page_view', url: site.address('manual', '/two'), referrer: site.address('manual'), category: ['9'] },
      ])
    })

    it('Visible time is sent when a page is hidden, changed and left, once, for the page that it was spent on', async () => {
      const { page, until, run } = await site.visit('dwell', site.script('dwell', 'data-category="1"'))
      await until(count(1))
      await run(SEEN_150_MS)
      await run(HIDE)
      expect((await until(has('dwell')))[1]).toMatchObject({ url: site.address('dwell'), category: ['1'] })
      await run(SEEN_150_MS) // Out of sight: belongs to nobody.
      const shown = Number(await run(`const shown = performance.now(); ${SHOW}; shown`))
      await run(SEEN_150_MS)
      const changed = Number(
        await run("madeleine('set', { category: ['2'] }); history.pushState({}, '', '/dwell/two'); performance.now()"),
      )
      await until((hits) => hits.filter(isIn('/two')).length === 1)
      await run(SEEN_150_MS)
      await page.goto(site.address('elsewhere'))
      const dwells = (await until((hits) => hits.filter((hit) => hit['event'] === 'dwell').length >= 3)).filter(
        (hit) => hit['event'] === 'dwell',
      )
      expect(dwells.map(({ url, category }) => [url, category])).toEqual([
        [site.address('dwell'), ['1']],
        [site.address('dwell'), ['1']],
        [site.address('dwell', '/two'), ['2']],
      ])
      const spent_ms = dwells.map((hit) => Number(hit['dwell_ms']))
      expect(spent_ms.every((ms) => Number.isInteger(ms) && ms >= 100)).toBe(true)
      expect(spent_ms[1]).toBeLessThanOrEqual(changed - shown + 1)
    })

    it('A page restored from the back/forward cache is viewed anew', async () => {
      const { until, run } = await site.visit('bfcache', site.script('bfcache', NO_DWELL))
      await until(count(1))
      await run(
        "dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true })); dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))",
      )
      expect(names(await until(count(2)))).toEqual(['page_view', 'page_view'])
    })

    it('A prerendered page is silent until it is shown', async () => {
      const setup = "Object.defineProperty(document, 'prerendering', { value: true, configurable: true })"
      const { until, run, page } = await site.visit('prerender', STUB + site.script('prerender', NO_DWELL), { setup })
      await page.waitForLoadState('load')
      await run("madeleine('event', 'early'); dispatchEvent(new Event('pagehide'))")
      expect(site.hitsOf('prerender')).toEqual([])
      await run("history.replaceState({}, '', '/prerender/shown')")
      await run("delete document.prerendering; document.dispatchEvent(new Event('prerenderingchange'))")
      const hits = await until(count(3))
      expect(names(hits).sort()).toEqual(['early', 'page_view', 'page_view'])
      expect(hits.filter(isIn('/shown'))).toHaveLength(2)
    })

    it('A page that is left while it still loads is reported', async () => {
      const setup = "Object.defineProperty(document, 'readyState', { value: 'loading' })"
      const { page, until, run } = await site.visit('left', STUB + site.script('left', NO_DWELL), { setup })
      await page.waitForLoadState('load')
      await run("madeleine('event', 'clicked')")
      expect(site.hitsOf('left')).toEqual([])
      await page.goto(site.address('elsewhere'))
      expect(names(await until(count(2))).sort()).toEqual(['clicked', 'page_view'])
    })

    it('Under Global Privacy Control nothing is sent, while the same page without it sends', async () => {
      const posts: string[] = []
      for (const source of ['gpc-on', 'gpc-off']) {
        const setup = `Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', { get: () => ${source === 'gpc-on'} })`
        const { page, run, until } = await site.visit(source, STUB + site.script(source), { setup })
        page.on('request', (request) => request.method() === 'POST' && posts.push(source))
        await page.waitForLoadState('load')
        await run(SEEN_150_MS)
        await run("madeleine('page'); history.pushState({}, '', '?two'); madeleine('event', 'bought')")
        await run(HIDE)
        if (source === 'gpc-off') await until(has('bought'))
      }
      expect(posts).toContain('gpc-off')
      expect(posts).not.toContain('gpc-on')
      expect(site.hitsOf('gpc-on')).toEqual([])
    })

    it('Rubbish calls and a hostile page neither throw nor stop the next event', async () => {
      const rubbish = `const cyclic = { attr: {}, list: [] }; cyclic.self = cyclic; cyclic.attr.self = cyclic; cyclic.list.push(cyclic, 'ok')
      const throwing = { get bad() { throw new Error('bad') }, good: 'yes', big: 1n, symbol: Symbol('s') }
      const proxy = new Proxy({}, { ownKeys() { throw new Error('keys') } })
      for (const call of [[], ['event'], ['event', {}, 3], ['event', 'three', 3], ['event', 'cyclic', cyclic], ['event', 'throwing', throwing], ['event', 'x', proxy],
        ['set'], ['set', null], ['set', proxy], ['page', 7], ['no such'], [null], [Symbol('s')], [{ toString() { throw 1 } }]]) madeleine(...call)`
      const setup = 'window.navigation = 5; window.addEventListener = 5'
      const { until, run, errors } = await site.visit(
        'rubbish',
        `${STUB}<script>{${rubbish}; madeleine.q.push(null, 5)}</script>${site.script('rubbish')}`,
        { setup },
      )
      await until(has('throwing'))
      await run(`{${rubbish}} madeleine.q.push(null); delete document.visibilityState; madeleine('event', 'last')`)
      const hits = await until(has('last'))
      expect(hits.find((hit) => hit['event'] === 'cyclic')).toMatchObject({ list: 'ok' })
      expect(hits.find((hit) => hit['event'] === 'throwing')).toMatchObject({ good: 'yes' })
      expect(errors).toEqual([])
    })

    it('A second tag on the page does nothing', async () => {
      const { until, run, page } = await site.visit('twice', site.script('twice') + site.script('twice', '', '/again/t.js'))
      await page.waitForLoadState('load')
      await run("madeleine('event', 'after')")
      expect(names(await until(has('after')))).toEqual(['page_view', 'after'])
    })

    it('The tag finds its script when it is injected as a module, without currentScript', async () => {
      const { until } = await site.visit('module', site.script('module', 'type="module" crossorigin').replace('async', ''))
      expect(await until(count(1))).toMatchObject([{ event: 'page_view' }])
    })

    it.each([
      ['answers false', '() => false'],
      ['throws', '() => { throw new Error() }'],
      ['is missing', 'undefined'],
    ])('Where sendBeacon %s, fetch delivers the same', async (how, value) => {
      const source = `fetch-${how.split(' ')[0]}`
      const setup = `navigator.sendBeacon = ${value}; const own = fetch; window.fetch = (url, init) => { (window.inits ||= []).push(init); return own(url, init) }`
      const { until, run, errors } = await site.visit(source, site.script(source, NO_DWELL), { setup })
      expect(await until(count(1))).toMatchObject([{ event: 'page_view' }])
      expect(await run('inits')).toMatchObject([{ method: 'POST', mode: 'no-cors', credentials: 'include', keepalive: true }])
      expect(site.postsOf(source)[0]?.type).toBe('text/plain;charset=UTF-8')
      expect(errors).toEqual([])
    })

    it.each([
      ['before', STUB, ''],
      ['after', '', 'new Promise((done) => { const look = () => window.madeleine ? done() : setTimeout(look); look() })'],
    ])(
      'Many and large events of calls made %s the tag has loaded overrun no quota of the browser, and none is lost',
      async (when, stub, ready) => {
        const calls =
          "for (let n = 0; n < 300; n++) madeleine('event', 'e' + n); for (let n = 0; n < 9; n++) madeleine('event', 'big' + n, { keyword: Array(9).fill('é'.repeat(1000)) })"
        const source = `many-${when}`
        const setup =
          'window.beacons = []; const own = navigator.sendBeacon; navigator.sendBeacon = function (url, body) { beacons.push(new Blob([body]).size); return own.call(this, url, body) }'
        const early = stub && `${stub}<script>${calls}</script>`
        const { until, run } = await site.visit(source, early + site.script(source, NO_DWELL), { setup })
        if (ready) await run(`${ready}.then(() => { ${calls} })`)
        expect(new Set(names(await until(count(310)))).size).toBe(310)
        const beacons = (await run('beacons')) as number[]
        expect(beacons.length).toBeLessThanOrEqual(101) // The page view of an earlier second included.
        expect(beacons.reduce((sum, bytes) => sum + bytes)).toBeLessThanOrEqual(60_000 + 600)
      },
    )
  },
)
