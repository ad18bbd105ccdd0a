// Where a browser may be sent back to, and where the id goes in the address. The hostile ones by the thousand are in test/property/sync-targets.test.ts.

import { describe, expect, it } from 'vitest'
import type { Partner } from '../../src/settings/partners.ts'
import { callbackOf, ownOrigin } from '../../src/sync/address.ts'
import { makePartners } from '../../src/sync/partners.ts'
import { fillTarget, parseTarget } from '../../src/sync/target.ts'

const partner = (id: string, redirects: string[]): [string, Partner] => [
  id,
  { id, vendorId: undefined, sync: undefined, redirects },
]
const partners = makePartners(
  new Map([
    partner('a', ['https://a.example', 'https://a.example:8443']),
    partner('b', ['https://b.example', 'http://localhost:9']),
  ]),
)

describe('an address to go back to', () => {
  it.each([
    ['https://a.example/setuid?bidder=us&uid=$UID', 'a'],
    ['https://a.example', 'a'],
    ['https://a.example?uid=', 'a'],
    ['HTTPS://A.EXAMPLE/x', 'a'],
    ['https://A.example:443/x', 'a'],
    ['https://a.example:8443/x', 'a'],
    ['http://localhost:9/x', 'b'],
    ['https://a.example/?next=https://evil.example/', 'a'],
    ['https://a.example/@evil.example', 'a'],
  ])('%s is of partner %s', (text, id) => {
    const address = text === 'https://a.example' ? `${text}/` : text
    expect(parseTarget(text, partners)).toMatchObject({ partner: { id }, address })
  })

  it.each([
    '',
    'https://evil.example/',
    'http://a.example/',
    'https://a.example:8444/',
    'https://sub.a.example/',
    'https://a.example.evil.example/',
    'https://a.example@evil.example/',
    'https://evil.example\\@a.example/',
    'https://a.example:x@evil.example/',
    'https://user@a.example/',
    'https://a.example./',
    'https://a%2eexample/',
    'https://a.example%2f@evil.example/',
    '//a.example/',
    '/\\a.example/',
    '\thttps://a.example/',
    ' https://a.example/',
    'https://a.example/\n',
    'https://a.exam\tple/',
    'https:a.example/',
    'https:///a.example/',
    'https://ａ.example/',
    'https://a。example/',
    'https://$UID@a.example/',
    'https://{UID}.example/',
    'javascript:alert(1)',
    'javascript://a.example/%0aalert(1)',
    'data:text/html,https://a.example/',
    `https://a.example/${'x'.repeat(9_000)}`,
  ])('%s is none', (text) => {
    expect(parseTarget(text, partners)).toBeUndefined()
  })

  it.each([
    ['$UID', 'https://a.example/?u=$UID&x=1', 'https://a.example/?u=i%2Fd&x=1'],
    [`\${UID}`, `https://a.example/?u=\${UID}`, 'https://a.example/?u=i%2Fd'],
    [`\${USER_ID}`, `https://a.example/?u=\${USER_ID}`, 'https://a.example/?u=i%2Fd'],
    ['[UID]', 'https://a.example/?u=[UID]', 'https://a.example/?u=i%2Fd'],
    ['{UID}', 'https://a.example/?u={UID}', 'https://a.example/?u=i%2Fd'],
    ['{{UID}}', 'https://a.example/?u={{UID}}', 'https://a.example/?u=i%2Fd'],
    ['%USER_ID%', 'https://a.example/?u=%USER_ID%', 'https://a.example/?u=i%2Fd'],
    ['two of them', 'https://a.example/$UID/?u=[UID]', 'https://a.example/i%2Fd/?u=i%2Fd'],
    ['none', 'https://a.example/?u=', 'https://a.example/?u=i%2Fd'],
    ['another word', 'https://a.example/?u=$UIDX&v=', 'https://a.example/?u=$UIDX&v=i%2Fd'],
  ])('takes the id in the place of %s', (_, address, expected) => {
    expect(fillTarget(address, 'i/d')).toBe(expected)
    expect(fillTarget(address, '')).toBe(expected.replaceAll('i%2Fd', ''))
  })
})

describe('our own address', () => {
  it.each([
    [undefined, 'collector.example', 'https://collector.example'],
    [undefined, 'collector.example:8443', 'https://collector.example:8443'],
    [undefined, '127.0.0.1:8080', 'http://127.0.0.1:8080'],
    [undefined, 'b.localhost:8080', 'http://b.localhost:8080'],
    ['https://public.example', 'internal:8080', 'https://public.example'],
    [undefined, undefined, undefined],
    [undefined, 'evil.example/x?', undefined],
    [undefined, 'a@evil.example', undefined],
    [undefined, 'a.example:99999', undefined],
  ])('configured as %s and asked for as %s is %s', (publicUrl, host, expected) => {
    expect(ownOrigin(publicUrl, host)).toBe(expected)
  })

  it('is called back with what was said about consent, and the macro as the partner looks for it', () => {
    const known = partners.byName('A')
    if (!known) throw new Error('no partner')
    const template = { origin: 'https://s.example', parts: ['https://s.example/?', { macro: 'redirect' as const }] }
    const sync = { template, type: 'iframe' as const, uidMacro: `\${UID}`, refreshMs: 1 }
    const signals = {
      gdpr: '1',
      gdprConsent: 'C&P',
      gpp: 'D~B',
      gppSid: '2,6',
      usPrivacy: undefined,
      gpc: undefined,
      dnt: undefined,
      country: undefined,
    }
    const context = { origin: 'https://c.example', signals, visitor: undefined, key: '' }
    const common = 'https://c.example/setuid?bidder=a&gdpr=1&gdpr_consent=C%26P&gpp=D%7EB&gpp_sid=2%2C6'
    expect(callbackOf({ ...known, sync }, context)).toBe(`${common}&f=b&uid=\${UID}`)
    const redirect = { ...known, sync: { ...sync, type: 'redirect' as const, uidMacro: '' } }
    expect(callbackOf(redirect, { ...context, signals: { ...signals, usPrivacy: '1YNN' } })).toBe(
      `${common}&us_privacy=1YNN&f=i&uid=`,
    )
  })
})
