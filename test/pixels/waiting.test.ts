// Events wait, in order, for what the page's consent platforms say; without an answer they are never sent.

import { expect, it } from 'vitest'
import { choice, count, GPP, HIDE, has, inChromium, inPage, names, RECORD, SEEN_150_MS, TCF, tell, UNTIL_TAG } from './page.ts'

inChromium('Waiting for consent', (open) => {
  const NO_DWELL = 'data-dwell="off"'
  const visit = (source: string, cmp: string, attributes = NO_DWELL) =>
    open().visit(source, inPage(cmp) + open().script(source, attributes), { setup: RECORD })

  it('A late answer sends what was held, in order, with its string and with the time and address of then', async () => {
    const { run, until } = await visit('late', `${TCF} madeleine('event', 'early')`, '')
    await run(UNTIL_TAG)
    await run(SEEN_150_MS)
    await run("madeleine('event', 'second'); history.pushState({}, '', '/late/two')")
    const left_ms = Number(await run('performance.now()'))
    await run('new Promise((done) => setTimeout(done))')
    await run(SEEN_150_MS) // On the second page, so not in the first dwell time.
    for (const status of ['cmpuishown', 'other']) await run(tell({ ...choice(), eventStatus: status }))
    await run(tell({ ...choice(), cmpStatus: 'loading' }) + tell(choice(), false))
    expect(await run('sent')).toEqual([])
    await run(tell(choice()) + HIDE)
    await until(count(6))
    const sent = (await run('sent')) as Record<string, string | number>[]
    const [one, two] = [open().address('late'), open().address('late', '/two')]
    expect(sent.map(({ event, url }) => [event, url])).toEqual([
      ['page_view', one],
      ['early', one],
      ['second', one],
      ['dwell', one],
      ['page_view', two],
      ['dwell', two],
    ])
    expect(sent.every((event) => event['gdpr_consent'] === 'CYES')).toBe(true)
    expect(sent[3]?.['dwell_ms']).toBeGreaterThanOrEqual(100)
    expect(sent[3]?.['dwell_ms']).toBeLessThanOrEqual(left_ms)
  })

  it.each([
    ['never', TCF, ''],
    ['error', `${TCF} ${tell(null, false)}`, ''],
    ['throws', '__tcfapi = () => { throw new Error() }', ''],
    ['usp-error', '__uspapi = (command, version, callback) => callback(null, false)', ''],
    ['gpp-not', `${GPP} gpp.tell({ signalStatus: 'not ready', gppString: 'DBAA', applicableSections: [] })`, ''],
    ['half', `${TCF} ${GPP} ${tell(choice())}`, ''],
    ['missing', '', 'data-cmp="required" data-consent-wait="150"'],
  ])('Without an answer nothing is ever sent, the page left or not: %s', async (source, cmp, attributes) => {
    const { page, run, errors } = await visit(source, cmp, attributes)
    await run(UNTIL_TAG)
    await run("madeleine('event', 'clicked')")
    await run(SEEN_150_MS)
    await run(`${HIDE}; dispatchEvent(new PageTransitionEvent('pagehide', { persisted: false }))`)
    expect(await run('sent')).toEqual([])
    await page.goto(open().address('elsewhere'))
    // The control: the same source on a page that answers. What was held before would have come first.
    const next = await visit(source, TCF + tell(choice()))
    expect(names(await next.until(has('page_view')))).toEqual(['page_view'])
    expect(errors).toEqual([])
  })

  it('A platform that is required is waited for until it appears, and after the wait the next call finds it', async () => {
    for (const wait_ms of [600_000, 1]) {
      const source = `required-${wait_ms}`
      const { run, until } = await visit(source, '', `${NO_DWELL} data-cmp="required" data-consent-wait="${wait_ms}"`)
      await run(UNTIL_TAG)
      await run(SEEN_150_MS)
      expect(await run('sent')).toEqual([])
      await run(TCF + tell(choice()))
      if (wait_ms === 1) await run("madeleine('event', 'later')")
      expect(names(await until(count(wait_ms === 1 ? 2 : 1)))).toContain('page_view')
    }
  })

  it('With data-consent-wait="0" a missing answer is passed on as GDPR without a string', async () => {
    const { run, until } = await visit('no-wait', TCF, `${NO_DWELL} data-consent-wait="0"`)
    expect(await until(count(1))).toMatchObject([{ event: 'page_view', gdpr: '1' }])
    await run(`${tell(choice())} madeleine('event', 'later')`)
    const [first, later] = await until(count(2))
    expect([first?.['gdpr_consent'], later?.['gdpr_consent']]).toEqual([undefined, 'CYES'])
  })

  it('A platform that appears after the first event is waited for by the next', async () => {
    const { run, until } = await visit('appears', '')
    await until(count(1))
    await run(`${TCF} madeleine('event', 'later')`)
    expect(names((await run('sent')) as [])).toEqual(['page_view'])
    await run(tell(choice()))
    expect((await until(count(2)))[1]).toMatchObject({ event: 'later', gdpr_consent: 'CYES' })
  })

  it('A page that comes back from the back/forward cache still has what it held', async () => {
    const { run, until } = await visit('back', TCF)
    await run(UNTIL_TAG)
    for (const type of ['pagehide', 'pageshow'])
      await run(`dispatchEvent(new PageTransitionEvent('${type}', { persisted: true }))`)
    expect(await run('sent')).toEqual([])
    await run(tell(choice()))
    expect(names(await until(count(2)))).toEqual(['page_view', 'page_view'])
  })
})
