// The decision as a whole: what was sent, and what comes of it. Each refusal stands beside something alike that is not refused.

import { describe, expect, it } from 'vitest'
import {
  CONSENT_REFUSALS,
  type ConsentPolicy,
  type ConsentRefusal,
  type ConsentSignals,
  decideConsent,
  explainConsent,
} from '../../src/consent/signals.ts'
import { ALL_PERMISSIONS, type Permission, permissionSet } from '../../src/core/permissions.ts'
import { disclosedSegment, type TcFields, writeTc } from './tc-writer.ts'

const SILENCE: ConsentSignals = {
  gdpr: undefined,
  gdprConsent: undefined,
  gpp: undefined,
  gppSid: undefined,
  usPrivacy: undefined,
  gpc: undefined,
  dnt: undefined,
  country: undefined,
}
const POLICY: ConsentPolicy = {
  vendorId: 123,
  publisherMode: false,
  purposeOneCountries: new Set(),
  receivers: [50, 99],
  noSignal: 'allow',
}
const DENYING: ConsentPolicy = { ...POLICY, noSignal: 'deny' }

const decide = (signals: Partial<ConsentSignals>, policy = POLICY) => decideConsent({ ...SILENCE, ...signals }, policy)
/** The refusal's name, or the names of what is permitted. */
const outcome = (signals: Partial<ConsentSignals>, policy = POLICY) => {
  const { refusal, permissions, receivers, signalled } = decide(signals, policy)
  expect(refusal === undefined).toBe(permissions !== 0)
  if (refusal) expect(receivers, 'who is refused is shared with nobody').toEqual([])
  if (permissions === ALL_PERMISSIONS && receivers === 'any') return signalled ? 'all' : 'all, unasked'
  return refusal ?? { permissions, receivers }
}

const tc = (more: TcFields = {}) =>
  writeTc({
    purposes: [1, 3, 4, 7, 9, 10],
    vendors: { field: [50, 99, 123] },
    segments: [disclosedSegment({ field: [50, 99, 123] })],
    ...more,
  })
const YES = tc()
const NO = tc({ purposes: [] })
const GLOBAL = tc({ serviceSpecific: false })
const set = (...names: Permission[]) => permissionSet(names)
const EVERYTHING = { permissions: ALL_PERMISSIONS, receivers: [50, 99] }

/** GPP strings: TC string; US Privacy; national; national and California; none. */
const gppTc = (text: string) => `DBABMA~${text}`
const NAT_NO_OPT_OUT = 'DBABLA~CAAgAAAAAABA.QA'
const NAT_OPT_OUT = 'DBABLA~CAAQAAAAAABA.QA'
const NAT_GPC = 'DBABLA~CAAgAAAAAABA.YA'
const NAT_CHILD = 'DBABLA~BAAAVVVVUQA.QA'
const CA_NO_OPT_OUT_VA_OPT_OUT = 'DBABh4A~BlgWEYCY.QA~BSFgmiU'
const PRIVACY_YES = 'DBABTA~1YNN'
const PRIVACY_NO = 'DBABTA~1YYN'
const EMPTY_GPP = 'DBAA'
const CANADA = 'DBABjw~CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA~1YNN'

describe('silence', () => {
  it('is what the operator makes of it', () => {
    expect(outcome({})).toBe('all, unasked')
    expect(outcome({}, DENYING)).toBe('no_consent')
    expect(decide({}, DENYING).signalled).toBe(false)
  })

  it('is also an empty text, and what says nothing of the visitor', () => {
    for (const signals of [
      { gdpr: '', gdprConsent: '', gpp: '', gppSid: '', usPrivacy: '' },
      { gdpr: '$' + '{GDPR}' },
      { gppSid: '-1' },
      { gpp: EMPTY_GPP },
      { gpp: EMPTY_GPP, gppSid: '-1' },
      { gpp: NAT_OPT_OUT, gppSid: '-1' },
      { usPrivacy: '1---' },
      { gpc: '0', dnt: '0' },
      { country: 'US' },
      { country: '' },
    ] satisfies Partial<ConsentSignals>[]) {
      expect(outcome(signals), JSON.stringify(signals)).toBe('all, unasked')
      expect(outcome(signals, DENYING), JSON.stringify(signals)).toBe('no_consent')
    }
  })
})

describe('headers', () => {
  it.each([
    ['1', 'gpc'],
    ['0, 1', 'gpc'],
    ['1,1', 'gpc'],
    [' 1 ', 'gpc'],
    ['0', 'all, unasked'],
    ['true', 'all, unasked'],
    ['11', 'all, unasked'],
    ['1.0', 'all, unasked'],
    ['', 'all, unasked'],
  ])('Sec-GPC: %j', (gpc, expected) => {
    expect(outcome({ gpc })).toBe(expected)
  })

  it('DNT: 1 refuses, others say nothing', () => {
    expect(outcome({ dnt: '1' })).toBe('dnt')
    expect(outcome({ dnt: '0' })).toBe('all, unasked')
    expect(outcome({ dnt: 'null' })).toBe('all, unasked')
  })

  it('refuse whatever else permits', () => {
    expect(outcome({ gdprConsent: YES })).toEqual(EVERYTHING)
    expect(outcome({ gdprConsent: YES, gpc: '1' })).toBe('gpc')
    expect(outcome({ gdprConsent: YES, dnt: '1' })).toBe('dnt')
    expect(decide({ gpc: '1' }).signalled).toBe(true)
  })
})

describe('where the GDPR applies', () => {
  it.each([
    ['by parameter', { gdpr: '1' }],
    ['by anything but 0', { gdpr: '2' }],
    ['by a word', { gdpr: 'false' }],
    ['by a repeated parameter', { gdpr: '0,0' }],
    ['by gpp_sid', { gppSid: '2' }],
    ['by gpp_sid among others', { gpp: NAT_NO_OPT_OUT, gppSid: '7,2' }],
    ['by gpp_sid, whatever gdpr says', { gdpr: '0', gppSid: '2' }],
    ['by country', { country: 'DE' }],
    ['by country, the United Kingdom', { country: 'GB' }],
    ['by country, Switzerland', { country: 'CH' }],
    ['by country, Norway', { country: 'NO' }],
    ['by country, Réunion', { country: 'RE' }],
    ['by country, whatever gdpr says', { gdpr: '0', country: 'DE' }],
    ['by country, whatever gpp_sid says', { gpp: EMPTY_GPP, gppSid: '-1', country: 'DE' }],
    ['by parameter, whatever gpp_sid says', { gdpr: '1', gpp: NAT_NO_OPT_OUT, gppSid: '7' }],
  ] as const)('%s, there is no consent without a TC string, and there is with one', (_, signals) => {
    expect(outcome(signals)).toBe('no_consent')
    expect(outcome({ ...signals, gdprConsent: YES })).toEqual(EVERYTHING)
    expect(outcome({ ...signals, gdprConsent: NO })).toBe('consent_refused')
  })

  it('a country alone is no word of the visitor, a parameter is', () => {
    expect(decide({ country: 'DE' }).signalled).toBe(false)
    expect(decide({ country: 'DE', gdpr: '$' + '{GDPR}' }).signalled).toBe(false)
    expect(decide({ gdpr: '1' }).signalled).toBe(true)
    expect(decide({ gppSid: '2' }).signalled).toBe(true)
  })

  it('32 countries and 7 territories of the Union', () => {
    const letters = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZ']
    const all = letters.flatMap((a) => letters.map((b) => a + b))
    const applying = all.filter((country) => outcome({ country }) === 'no_consent')
    expect(applying).toHaveLength(39)
    for (const country of ['US', 'TR', 'UK', 'EU', 'RS']) expect(applying).not.toContain(country)
  })

  it('gdpr=0 clears what nothing else claims', () => {
    expect(outcome({ gdpr: '0' })).toBe('all, unasked')
    expect(outcome({ gdpr: '0' }, DENYING)).toBe('all, unasked')
    expect(outcome({ gdpr: '0', country: 'US' }, DENYING)).toBe('all, unasked')
  })
})

describe('a TC string', () => {
  it('is judged whatever gdpr says of it', () => {
    for (const gdpr of ['0', '1', '', undefined]) {
      expect(outcome({ gdpr, gdprConsent: YES })).toEqual(EVERYTHING)
      expect(outcome({ gdpr, gdprConsent: NO })).toBe('consent_refused')
    }
  })

  it('permits what it permits, to whom it permits', () => {
    expect(outcome({ gdprConsent: tc({ purposes: [1, 3] }) })).toEqual({ permissions: set('store', 'profile'), receivers: [] })
    expect(outcome({ gdprConsent: tc({ vendors: { field: [50, 123] } }) })).toEqual({ ...EVERYTHING, receivers: [50] })
    expect(outcome({ gdprConsent: YES }, { ...POLICY, vendorId: undefined })).toBe('consent_refused')
    expect(outcome({ gdprConsent: YES }, DENYING)).toEqual(EVERYTHING)
  })

  it.each<[string, ConsentRefusal]>([
    ['$' + '{GDPR_CONSENT_123}', 'consent_malformed'],
    ['undefined', 'consent_malformed'],
    ['null', 'consent_malformed'],
    ['1', 'consent_malformed'],
    [`${YES},${YES}`, 'consent_malformed'],
    [gppTc(YES), 'consent_malformed'],
    [YES.slice(0, -6), 'consent_malformed'],
    [GLOBAL, 'consent_invalid'],
    [NO, 'consent_refused'],
  ])('%s is refused as such', (gdprConsent, expected) => {
    expect(outcome({ gdprConsent })).toBe(expected)
    expect(outcome({ gdprConsent, gdpr: '0' })).toBe(expected)
    expect(decide({ gdprConsent }).signalled).toBe(true)
  })

  it('in a GPP string is judged the same', () => {
    for (const gppSid of [undefined, '2']) {
      expect(outcome({ gpp: gppTc(YES), gppSid })).toEqual(EVERYTHING)
      expect(outcome({ gpp: gppTc(NO), gppSid })).toBe('consent_refused')
      expect(outcome({ gpp: gppTc(GLOBAL), gppSid })).toBe('consent_invalid')
      expect(outcome({ gpp: gppTc(''), gppSid })).toBe('consent_malformed')
    }
    expect(outcome({ gpp: gppTc(NO), gppSid: '-1' }), 'out of scope').toBe('all, unasked')
  })

  it('sent twice permits what both permit', () => {
    const some = tc({ purposes: [1, 3, 4], vendors: { field: [50, 123] } })
    const other = tc({ purposes: [1, 4, 7], vendors: { field: [99, 50, 123] } })
    expect(outcome({ gdprConsent: some, gpp: gppTc(other) })).toEqual({ permissions: set('store', 'activate'), receivers: [50] })
    expect(outcome({ gdprConsent: YES, gpp: gppTc(YES) })).toEqual(EVERYTHING)
    expect(outcome({ gdprConsent: YES, gpp: gppTc(NO) })).toBe('consent_refused')
    expect(outcome({ gdprConsent: NO, gpp: gppTc(YES) })).toBe('consent_refused')
    expect(outcome({ gdprConsent: YES, gpp: gppTc('undefined') })).toBe('consent_malformed')
  })
})

describe('gpp and gpp_sid', () => {
  it.each<[string, Partial<ConsentSignals>, string]>([
    ['national, not opted out', { gpp: NAT_NO_OPT_OUT, gppSid: '7' }, 'all'],
    ['national, opted out', { gpp: NAT_OPT_OUT, gppSid: '7' }, 'us_opt_out'],
    ['national, GPC', { gpp: NAT_GPC, gppSid: '7' }, 'us_opt_out'],
    ['national, a child', { gpp: NAT_CHILD, gppSid: '7' }, 'known_child'],
    ['without a list, every section counts', { gpp: CA_NO_OPT_OUT_VA_OPT_OUT }, 'us_opt_out'],
    ['with a list, only those of it', { gpp: CA_NO_OPT_OUT_VA_OPT_OUT, gppSid: '8' }, 'all'],
    ['with a list, all of those', { gpp: CA_NO_OPT_OUT_VA_OPT_OUT, gppSid: '8,9' }, 'us_opt_out'],
    ['US Privacy, not opted out', { gpp: PRIVACY_YES, gppSid: '6' }, 'all'],
    ['US Privacy, opted out', { gpp: PRIVACY_NO, gppSid: '6' }, 'us_opt_out'],
    ['US Privacy of its own serves for a listed section', { gppSid: '6', usPrivacy: '1YNN' }, 'all'],
    ['and is heard', { gppSid: '6', usPrivacy: '1YYN' }, 'us_opt_out'],
    ['but says what it says', { gpp: PRIVACY_YES, gppSid: '6', usPrivacy: '1YYN' }, 'us_opt_out'],
    ['listed and not there', { gpp: NAT_NO_OPT_OUT, gppSid: '7,8' }, 'consent_malformed'],
    ['listed and nothing there', { gppSid: '7' }, 'consent_malformed'],
    ['US Privacy listed and nowhere', { gppSid: '6' }, 'consent_malformed'],
    ['a section we cannot read, listed', { gpp: CANADA, gppSid: '5' }, 'consent_malformed'],
    ['a section we cannot read, not listed', { gpp: CANADA, gppSid: '6' }, 'all'],
    ['a section we cannot read, no list', { gpp: CANADA }, 'consent_malformed'],
    ['a section nobody knows', { gpp: NAT_NO_OPT_OUT, gppSid: '7,300' }, 'consent_malformed'],
    ['a malformed string out of scope', { gpp: 'DBAB', gppSid: '-1' }, 'consent_malformed'],
    ['an unexpanded string', { gpp: '$' + '{GPP_STRING_123}' }, 'consent_malformed'],
    ['an unexpanded list', { gpp: NAT_NO_OPT_OUT, gppSid: '$' + '{GPP_SID}' }, 'consent_malformed'],
    ['a word for a string', { gpp: 'undefined' }, 'consent_malformed'],
    ['two strings', { gpp: `${NAT_NO_OPT_OUT},${NAT_NO_OPT_OUT}`, gppSid: '7' }, 'consent_malformed'],
    ['a list with a hole', { gpp: NAT_NO_OPT_OUT, gppSid: '7,' }, 'consent_malformed'],
    ['a list with a word', { gpp: NAT_NO_OPT_OUT, gppSid: '7,x' }, 'consent_malformed'],
    ['a list with a fraction', { gpp: NAT_NO_OPT_OUT, gppSid: '7.0' }, 'consent_malformed'],
    ['a list that contradicts itself', { gpp: NAT_NO_OPT_OUT, gppSid: '-1,7' }, 'consent_malformed'],
    ['a list that repeats itself', { gpp: NAT_NO_OPT_OUT, gppSid: '7,7' }, 'all'],
    ['more than a list should hold', { gpp: NAT_NO_OPT_OUT, gppSid: Array(33).fill('7').join(',') }, 'consent_malformed'],
  ])('%s', (_, signals, expected) => {
    expect(outcome(signals)).toBe(expected)
    expect(outcome(signals, DENYING)).toBe(expected)
    expect(decide(signals).signalled).toBe(true)
  })

  it('a section whose fields are all "not applicable" is no statement', () => {
    const nothing = { gpp: 'DBABLA~CAAAAAAAAABA.QA', gppSid: '7' }
    expect(outcome(nothing, DENYING)).toBe('no_consent')
    expect(decide(nothing).signalled).toBe(false)
  })

  it('a statement about the United States is none about the GDPR', () => {
    expect(outcome({ gpp: NAT_NO_OPT_OUT, gppSid: '7', country: 'DE' })).toBe('no_consent')
    expect(outcome({ gpp: NAT_NO_OPT_OUT, gppSid: '7', country: 'DE', gdprConsent: YES })).toEqual(EVERYTHING)
    expect(outcome({ gpp: NAT_OPT_OUT, gppSid: '7', country: 'DE', gdprConsent: YES })).toBe('us_opt_out')
  })
})

describe('us_privacy', () => {
  it.each([
    ['1YNN', 'all'],
    ['1YYN', 'us_opt_out'],
    ['1-Y-', 'us_opt_out'],
    ['1---', 'all, unasked'],
    ['1yNN', 'consent_malformed'],
    ['1YNN,1YYN', 'consent_malformed'],
    ['$' + '{US_PRIVACY}', 'consent_malformed'],
  ])('%s', (usPrivacy, expected) => {
    expect(outcome({ usPrivacy })).toBe(expected)
  })

  it('clears where the operator demands a statement', () => {
    expect(outcome({ usPrivacy: '1YNN' }, DENYING)).toBe('all')
    expect(outcome({ usPrivacy: '1---' }, DENYING)).toBe('no_consent')
  })
})

it('of several refusals the first of the list is named', () => {
  const said: Record<ConsentRefusal, Partial<ConsentSignals>> = {
    gpc: { gpc: '1' },
    dnt: { dnt: '1' },
    known_child: { gpp: NAT_CHILD },
    us_opt_out: { usPrivacy: '1YYN' },
    consent_malformed: { gppSid: 'x' },
    consent_invalid: { gdprConsent: GLOBAL },
    consent_refused: { gdprConsent: NO },
    no_consent: { gdpr: '1' },
  }
  for (const [first, one] of Object.entries(said))
    for (const [second, other] of Object.entries(said)) {
      const order = [first, second] as ConsentRefusal[]
      order.sort((a, b) => CONSENT_REFUSALS.indexOf(a) - CONSENT_REFUSALS.indexOf(b))
      // Two TC strings in one parameter are no string, and with one there is no lack of one.
      if (first !== second && 'gdprConsent' in one && 'gdprConsent' in other) continue
      expect(outcome({ ...one, ...other }), `${first} and ${second}`).toBe(order[0])
    }
  expect(outcome({ gdprConsent: NO, gpp: gppTc(GLOBAL) })).toBe('consent_invalid')
})

describe('an explanation', () => {
  const explain = (signals: Partial<ConsentSignals>) => explainConsent({ ...SILENCE, ...signals }, POLICY)

  it('names each signal and what it said', () => {
    const { refusal, findings } = explain({
      gdpr: '1',
      gdprConsent: tc({ vendors: { field: [50] } }),
      gpp: CA_NO_OPT_OUT_VA_OPT_OUT,
      gppSid: '8,9,10',
      usPrivacy: '1YNN',
      gpc: '1',
      country: 'DE',
    })
    expect(refusal).toBe('gpc')
    expect(findings).toEqual([
      { signal: 'sec-gpc', finding: 'opted out' },
      { signal: 'us_privacy', finding: 'not opted out' },
      { signal: 'gpp', finding: 'section 8: not opted out' },
      { signal: 'gpp', finding: 'section 9: opted out' },
      { signal: 'gpp_sid', finding: 'section 10: applies, and was not sent' },
      { signal: 'gdpr_consent', finding: 'permits nothing: no consent for our vendor id' },
      { signal: 'gdpr', finding: 'the GDPR applies' },
      { signal: 'country', finding: 'the GDPR applies at this address' },
    ])
  })

  it('decides as the decision does, and repeats no string', () => {
    const texts = [YES, NO, GLOBAL, 'undefined', '', undefined]
    for (const gdprConsent of texts)
      for (const gpp of [undefined, NAT_OPT_OUT, gppTc(YES), 'DBAB'])
        for (const gppSid of [undefined, '2', '7', 'x']) {
          const signals = { ...SILENCE, gdprConsent, gpp, gppSid }
          const { findings, ...decision } = explain(signals)
          expect(decision).toEqual(decide(signals))
          const words = findings.map(({ finding }) => finding).join()
          for (const text of [gdprConsent, gpp]) if (text && text !== 'undefined') expect(words).not.toContain(text.slice(0, 8))
        }
    expect(explain({}).findings).toEqual([])
  })
})
