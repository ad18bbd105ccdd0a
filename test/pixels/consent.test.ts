// What the page's consent platforms say goes with every event.

import { expect, it } from 'vitest'
import { choice, count, GPP, inChromium, inPage, RECORD, TCF, tell } from './page.ts'

inChromium('Consent', (open) => {
  const NO_DWELL = 'data-dwell="off"'
  const visit = (source: string, cmp: string, attributes = NO_DWELL) =>
    open().visit(source, inPage(cmp) + open().script(source, attributes), { setup: RECORD })

  it.each([
    ['tcf-yes', TCF + tell(choice()), { gdpr: '1', gdpr_consent: 'CYES' }],
    ['tcf-unsure', TCF + tell({ ...choice(), gdprApplies: undefined }), { gdpr: '1', gdpr_consent: 'CYES' }],
    ['tcf-action', TCF + tell({ ...choice(), eventStatus: 'useractioncomplete' }), { gdpr: '1', gdpr_consent: 'CYES' }],
    ['tcf-out', TCF + tell({ gdprApplies: false, tcString: 'CNO', cmpStatus: 'stub' }), { gdpr: '0' }],
    [
      'gpp',
      `${GPP} gpp.tell({ signalStatus: 'ready', gppString: 'DBAA', applicableSections: [7, 8] })`,
      { gpp: 'DBAA', gpp_sid: '7,8' },
    ],
    [
      'usp',
      "__uspapi = (command, version, callback) => callback({ version: 1, uspString: '1YNN' }, true)",
      { us_privacy: '1YNN' },
    ],
    ['none', '', {}],
  ])('An answer that is there at the start goes with the page view: %s', async (source, cmp, said) => {
    const { until } = await visit(source, cmp)
    const [hit] = await until(count(1))
    const { fpid: _, ...rest } = hit ?? {}
    expect(rest).toEqual({ source, event: 'page_view', url: open().address(source), ...said })
  })

  it('A changed choice sends nothing by itself, and goes with the next event; what the page sets wins', async () => {
    const { run, until } = await visit('changed', TCF + tell(choice()))
    await until(count(1))
    await run(`${tell(choice({ tcString: 'CNO', purpose: false }))} madeleine('event', 'b')`)
    await run(
      `${tell({ gdprApplies: false })} madeleine('event', 'c'); madeleine('set', { gdpr_consent: 'COWN' }); madeleine('event', 'd')`,
    )
    await until(count(4))
    expect(
      ((await run('sent')) as Record<string, string>[]).map((hit) => [hit['event'], hit['gdpr'], hit['gdpr_consent']]),
    ).toEqual([
      ['page_view', '1', 'CYES'],
      ['b', '1', 'CNO'],
      ['c', '0', undefined],
      ['d', '0', 'COWN'],
    ])
  })
})
