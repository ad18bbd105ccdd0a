// Consent for a sync: ours and the partner's, each asked for by its own number.

import { describe, expect, it } from 'vitest'
import type { ConsentSignals } from '../../src/consent/signals.ts'
import type { PartnerKey } from '../../src/identity/matches.ts'
import { openGate } from '../../src/sync/gate.ts'
import type { KnownPartner } from '../../src/sync/partners.ts'
import { disclosedSegment, type Restriction, type TcFields, writeTc } from '../consent/tc-writer.ts'
import { openPolicy, VENDOR } from '../support/sources.ts'

const PARTNER = 99
const nothing: ConsentSignals = {
  gdpr: undefined,
  gdprConsent: undefined,
  gpp: undefined,
  gppSid: undefined,
  usPrivacy: undefined,
  gpc: undefined,
  dnt: undefined,
  country: undefined,
}
const partner = (vendorId: number | undefined): KnownPartner => ({
  id: 'p',
  key: 'p' as PartnerKey,
  vendorId,
  sync: undefined,
  redirects: [],
})
const tc = (fields: TcFields, disclosed: readonly number[] = [PARTNER, VENDOR]): string =>
  writeTc({
    purposes: [1, 4],
    vendors: { field: [PARTNER, VENDOR] },
    segments: [disclosedSegment({ field: disclosed })],
    ...fields,
  })

/** `hold` and `sync`, as far as they are allowed; the refusal where nothing is. */
function allowed(
  signals: Partial<ConsentSignals>,
  vendorId: number | 'none' = PARTNER,
  noSignal: 'allow' | 'deny' = 'allow',
): string {
  const gate = openGate({ ...nothing, ...signals }, { ...openPolicy, noSignal })
  if (gate.kind === 'closed') return gate.refusal
  const asked = partner(vendorId === 'none' ? undefined : vendorId)
  return [gate.mayHold(asked) ? 'hold' : '', gate.maySync(asked) ? 'sync' : ''].filter(Boolean).join(' ')
}
const restricted = (purpose: number, vendor: number): Restriction[] => [{ purpose, type: 0, ranges: [[vendor, vendor]] }]

describe('a sync under a TC string', () => {
  it.each([
    ['both allowed', tc({}), 'hold sync'],
    ['purpose 1 only', tc({ purposes: [1] }), 'hold'],
    ['purpose 4 only', tc({ purposes: [4] }), 'consent_refused'],
    ['the partner not among the vendors', tc({ vendors: { field: [VENDOR] } }), ''],
    ['us not among the vendors', tc({ vendors: { field: [PARTNER] } }), 'consent_refused'],
    ['the partner not disclosed', tc({}, [VENDOR]), ''],
    ['purpose 1 ruled out for the partner', tc({ restrictions: restricted(1, PARTNER) }), ''],
    ['purpose 4 ruled out for the partner', tc({ restrictions: restricted(4, PARTNER) }), 'hold'],
    ['purpose 4 ruled out for us', tc({ restrictions: restricted(4, VENDOR) }), 'hold'],
    [
      'vendors by legitimate interest only',
      tc({ vendors: { field: [VENDOR] }, vendorsLi: { field: [PARTNER] }, purposesLi: [4] }),
      '',
    ],
    ['no string', '', 'no_consent'],
    ['no string that can be read', 'CQ', 'consent_malformed'],
  ])('%s: %s', (_, gdprConsent, expected) => {
    expect(allowed({ gdpr: '1', gdprConsent })).toBe(expected)
  })

  it('is nobody’s who has no number in the list', () => {
    const gdprConsent = tc({})
    expect([allowed({ gdprConsent }), allowed({ gdprConsent }, 'none')]).toEqual(['hold sync', ''])
    expect(allowed({ gdpr: '0', gdprConsent }, 'none')).toBe('')
  })
})

describe('a sync without a TC string', () => {
  it.each([
    ['no signal', {}, 'hold sync'],
    ['a US Privacy no', { usPrivacy: '1YYN' }, 'us_opt_out'],
    ['a US Privacy yes', { usPrivacy: '1YNN' }, 'hold sync'],
    ['GPC', { gpc: '0, 1' }, 'gpc'],
    ['DNT', { dnt: '1' }, 'dnt'],
    ['an address in Germany', { country: 'DE' }, 'no_consent'],
    ['an address in the US', { country: 'US' }, 'hold sync'],
  ])('%s: %s', (_, signals, expected) => {
    expect(allowed(signals, 'none')).toBe(expected)
  })

  it('is refused where silence is a no', () => {
    expect([allowed({}, PARTNER, 'deny'), allowed({ usPrivacy: '1YNN' }, PARTNER, 'deny')]).toEqual(['no_consent', 'hold sync'])
  })
})
