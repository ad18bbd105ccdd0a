// The first request of a document goes alone: its answer sets the cookie by which the collector knows the browser again.

import { expect, it } from 'vitest'
import { count, HIDE, inChromium, names, RECORD, UNTIL_TAG } from './page.ts'
import { STUB } from './site.ts'

type Sent = readonly { readonly how: string; readonly event: string }[]
const CALLS = "<script>madeleine('event', 'a'); madeleine('event', 'b')</script>"

inChromium('The first request', (open) => {
  /** The page's own timers stand still: only the test moves them. */
  const visit = (source: string, isFrozen: boolean) =>
    open().visit(source, STUB + CALLS + open().script(source, 'data-dwell="off"'), {
      setup: RECORD,
      before: async (page) => {
        if (!isFrozen) return
        await page.clock.install({ time: Date.now() })
        await page.clock.pauseAt(Date.now() + 1_000)
      },
    })
  const ways = async (run: (code: string) => Promise<unknown>) =>
    ((await run('sent')) as Sent).map(({ how, event }) => `${how} ${event}`)

  it('A new browser is one visitor, whose later events carry its cookie', async () => {
    const { run, until } = await visit('once', false)
    await until(count(3))
    const [first, ...later] = open().postsOf('once')
    expect([first?.hit['event'], first?.cookie]).toEqual(['page_view', ''])
    expect(later.map(({ cookie }) => cookie)).toEqual(Array(2).fill(expect.stringMatching(/^id=\d+$/)))
    expect(await ways(run)).toEqual(['fetch page_view', 'beacon a', 'beacon b'])
  })

  it('The answer releases the others, in order', async () => {
    const release = open().hold('answer')
    const { run, until } = await visit('answer', true)
    await until(count(1))
    await run("madeleine('event', 'c')")
    expect(await ways(run)).toEqual(['fetch page_view'])
    release()
    await until(count(4))
    expect(await ways(run)).toEqual(['fetch page_view', 'beacon a', 'beacon b', 'beacon c'])
  })

  it('Without an answer they wait for one second', async () => {
    const release = open().hold('second')
    const { page, run, until } = await visit('second', true)
    await until(count(1))
    await page.clock.runFor(999)
    expect(await ways(run)).toEqual(['fetch page_view'])
    await page.clock.runFor(1)
    expect(names(await until(count(3))).sort()).toEqual(['a', 'b', 'page_view'])
    release()
  })

  it.each([
    ['hidden', HIDE],
    ['left', "dispatchEvent(new PageTransitionEvent('pagehide', { persisted: false }))"],
  ])('A page that is %s waits no longer, not with what comes then either', async (source, leave) => {
    const release = open().hold(source)
    const { run, until } = await visit(source, true)
    await until(count(1))
    await run(leave)
    await until(count(3))
    await run("madeleine('event', 'last')")
    await until(count(4))
    expect(await ways(run)).toEqual(['fetch page_view', 'beacon a', 'beacon b', 'beacon last'])
    release()
  })

  it('Where the page forbids connections nothing throws, and each event is tried no more than twice', async () => {
    const allowed = await visit('csp-off', false)
    await allowed.until(count(3))
    const csp = `<meta http-equiv="Content-Security-Policy" content="connect-src 'none'">`
    const setup = `${RECORD} window.refusals = 0; addEventListener('securitypolicyviolation', () => refusals++);`
    const { run, errors } = await open().visit('csp', csp + STUB + CALLS + open().script('csp'), { setup })
    await run(UNTIL_TAG)
    await run("madeleine('event', 'c')")
    await run(
      'new Promise((done) => { const look = () => sent.some(({ event }) => event === "c") ? done() : requestAnimationFrame(look); look() })',
    )
    await run(HIDE)
    const tries = (await run('sent')) as Sent
    for (const name of ['page_view', 'a', 'b', 'c'])
      expect(tries.filter(({ event }) => event === name).length).toBeLessThanOrEqual(2)
    expect(await run('refusals')).toBeGreaterThan(0)
    expect([errors, open().postsOf('csp')]).toEqual([[], []])
  })
})
