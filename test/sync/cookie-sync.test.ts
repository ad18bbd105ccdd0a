// Bodies of /cookie_sync, as clients send them and as they should not.

import { describe, expect, it } from 'vitest'
import { parseCookieSync } from '../../src/sync/cookie-sync.ts'

const parse = (body: unknown) => parseCookieSync(typeof body === 'string' ? body : JSON.stringify(body), 5)
function ask(body: unknown) {
  const parsed = parse(body)
  if (!parsed.ok) throw new Error(parsed.message)
  return parsed
}
const filtered = (iframe: unknown, image: unknown = null) => {
  const { allows } = ask({ filterSettings: { iframe, image } }).ask
  return ['a', 'b'].map((name) => (['iframe', 'redirect'] as const).filter((kind) => allows(name, kind)).join('+'))
}

describe('a body of /cookie_sync', () => {
  it('of Prebid.js is read, and what is none of ours is left', () => {
    const {
      given,
      debug,
      ask: asked,
    } = ask({
      uuid: '5e0f9d5c',
      account: '1',
      bidders: ['adnxs', 'OpenX'],
      filterSettings: { iframe: { bidders: '*', filter: 'include' } },
      gdpr: 1,
      gdpr_consent: 'CP',
      us_privacy: '1YNN',
      gpp: 'DB',
      gpp_sid: '2,6',
      limit: 3,
      coopSync: true,
    })
    expect(given).toMatchObject({ gdpr: 1, gdpr_consent: 'CP', us_privacy: '1YNN', gpp: 'DB', gpp_sid: '2,6' })
    expect({ ...asked, allows: undefined, debug }).toEqual({
      names: ['adnxs', 'OpenX'],
      coop: true,
      limit: 3,
      allows: undefined,
      debug: false,
    })
  })

  it('without anything asks for every partner, up to the share of a page view', () => {
    const { ask: asked, debug } = ask('{"bidders": [], "debug": true}')
    expect({ ...asked, allows: undefined, debug }).toEqual({
      names: undefined,
      coop: false,
      limit: 5,
      allows: undefined,
      debug: true,
    })
    for (const limit of [0, -1, 6, null]) expect(ask({ limit }).ask.limit).toBe(5)
    expect(ask({ limit: 1 }).ask.limit).toBe(1)
  })

  it('filters by way and by partner', () => {
    expect(filtered(null)).toEqual(['iframe+redirect', 'iframe+redirect'])
    expect(filtered({ bidders: '*', filter: 'exclude' })).toEqual(['redirect', 'redirect'])
    expect(filtered({ bidders: ['A'], filter: 'include' })).toEqual(['iframe+redirect', 'redirect'])
    expect(filtered({ bidders: ['a'], filter: 'exclude' }, { bidders: ['b'], filter: 'exclude' })).toEqual(['redirect', 'iframe'])
    expect(filtered({ bidders: [], filter: 'include' }, {})).toEqual(['redirect', 'redirect'])
  })

  it.each([
    ['', 'the body is not JSON'],
    ['[]', 'the body must be an object'],
    ['null', 'the body must be an object'],
    ['{"bidders": "adnxs"}', 'bidders is not what it must be'],
    ['{"bidders": [1]}', 'bidders.0 is not what it must be'],
    ['{"limit": 1.5}', 'limit is not what it must be'],
    ['{"gdpr": 2}', 'gdpr is not what it must be'],
    ['{"gdpr": true}', 'gdpr is not what it must be'],
    ['{"gdpr_consent": 5}', 'gdpr_consent is not what it must be'],
    ['{"filterSettings": {"iframe": {"filter": "some"}}}', 'filterSettings.iframe.filter is not what it must be'],
    ['{"filterSettings": {"image": {"bidders": "all"}}}', 'filterSettings.image.bidders is not what it must be'],
    [JSON.stringify({ bidders: Array(1001).fill('a') }), 'bidders is not what it must be'],
  ])('that is %s is refused', (body, message) => {
    expect(parse(body)).toEqual({ ok: false, message })
  })
})
