// Published TC strings, field by field, and texts that are none.

import { describe, expect, it } from 'vitest'
import type { TcString } from '../../src/consent/tc-string.ts'
import { readTcString, TC_CHARS_MAX } from '../../src/consent/tcf.ts'
import { allowedSegment, BitWriter, coreBits, disclosedSegment, publisherSegment, type TcFields, writeTc } from './tc-writer.ts'

function read(text: string): TcString {
  const reading = readTcString(text)
  if (!reading.ok) throw new Error(`${reading.why}: ${text}`)
  return reading.tc
}
const why = (text: string) => {
  const reading = readTcString(text)
  return reading.ok ? 'read' : reading.why
}

const upTo = (highest: number, holds: (n: number) => boolean): number[] =>
  Array.from({ length: highest }, (_, index) => index + 1).filter(holds)
const range = (first: number, last: number) => upTo(last, (n) => n >= first)

/** Everything a string says, in the form of the tables below. */
const all = (tc: TcString) => ({
  created: new Date(tc.createdMs).toISOString(),
  cmp: tc.cmpId,
  cmpVersion: tc.cmpVersion,
  screen: tc.consentScreen,
  language: tc.consentLanguage,
  gvl: tc.vendorListVersion,
  policy: tc.policyVersion,
  serviceSpecific: tc.isServiceSpecific,
  nonStandardTexts: tc.useNonStandardTexts,
  purposeOneTreatment: tc.purposeOneTreatment,
  country: tc.publisherCountry,
  specialFeatures: upTo(12, (n) => tc.specialFeature(n)),
  purposes: upTo(24, (n) => tc.purposeConsent(n)),
  purposesLi: upTo(24, (n) => tc.purposeLegitimateInterest(n)),
  vendors: upTo(2_000, (n) => tc.vendorConsent(n)),
  vendorsLi: upTo(2_000, (n) => tc.vendorLegitimateInterest(n)),
  disclosed: tc.hasDisclosed ? upTo(2_000, (n) => tc.disclosed(n)) : 'no segment',
  restrictions: upTo(24, () => true).flatMap((purpose) =>
    [0, 1, 2].flatMap((type) => {
      const vendors = upTo(2_000, (vendor) => (tc.restriction(purpose, vendor) & (1 << type)) !== 0)
      return vendors.length === 0 ? [] : [[purpose, type, vendors]]
    }),
  ),
  publisher: tc.hasPublisher ? upTo(24, (n) => tc.publisherConsent(n)) : 'no segment',
})

const T1 = 'CQSbk4AQSbk4ANwAAAENAwCgAAAAAAAAAAYgACPAAAAA.IDKQA4AAgAKAGQAygAAA.YAAAAAAAAAAA'
const T2 = 'CQSbk4AQSbk4ANwAAAENAwCgAAAAAAAAAAYgACPAAAAA.IDKQA4AAgAKAGQAygAAA'
const T18 = 'CPtGDMAPtGDMALMAAAENA_C_AAAAAAAAACiQAAAAAAAA'

/** iabtcf-es issue 201: 480 vendors, and restrictions that name the same ones again and again. */
const ISSUE_201 =
  'CO4VGswO4VGswAfZCBDEAzCsAP_AAH_AAAigGUNf_X9fb2vj-_599_t0eY1f9_63t-wzjheMs-8NyZ-X_J4Wv2MyvB34JqQKGRgkunLBAQdtHGncTQgBwIlViTLMY02MjzNKJrJEilsbe2dYGH9vn8XT_ZKZ70-_v__7v3___33_5Ayhr_6_r7e18f3_Pvv9ujzGr_v_W9v2GccLxln3huTPy_5PC1-xmV4O_BNSBQyMEl05YICDto407iaEAOBEqsSZZjGmxkeZpRNZIkUtjb2zrAw_t8_i6f7JTPen39___d-___--__ICgKAOAAcAA4AFAAjgB6AEYALcGACAW0AtoJAHAAOAAcACgARwA9ACMAFuFABALaAW0GgDgAHAAOABQAI4AegBGAC3DgAgFtALaEQBwADgAHAAoAEcAPQAjABbiQAQC2gFtCoA4ABwADgAUACOAHoARgAtxYAIBbQC2hkAcAA4ABwAKABHAD0AIwAW40AEAtoBbQ6AOAAcAA4AFAAjgB6AEYALceACAW0AtohAHAAOAAcACgARwA9ACMAFuRABALaAW0SgDgAHAAOABQAI4AegBGAC3JgAgFtALaKQBwADgAHAAoAEcAPQAjABblQAQC2gFtA'
/** iabtcf-es issue 142: the bit field is shorter than it says. */
const ISSUE_142 =
  'CLSYjTaOngnCIAOABBENAXCMAGOAABBAAA7IA5n-m7fP6_3fbqVv6E__PoA5Aqff3aJx8tv_1967rfnQEQoAIAAQCrwkAEABAcACABIMACAAuApEVABABUSABgBCAVSAtIoACACIArYQAHACgAFgAVwBJgDcAI7AWgMAAgBiKgAgBMgFfKQAQBRkQAQA4AFiBAAoA-AEVAJlAVgAtYcACAJcAr4eABAK8OgBgFzAOmAqwgABAWyA.IFukWSQh'

const VECTORS: readonly [name: string, text: string, expected: Partial<ReturnType<typeof all>>][] = [
  [
    'TCF specification',
    T1,
    {
      created: '2025-06-03T00:00:00.000Z',
      cmp: 880,
      language: 'EN',
      gvl: 48,
      policy: 2,
      serviceSpecific: true,
      country: 'DE',
      purposes: [],
      vendors: [1, 2, 3, 4],
      disclosed: [1, 2, 3, 4, 5, 100, 404],
      publisher: [],
      restrictions: [],
    },
  ],
  [
    'the same without its last segment',
    T2,
    { vendors: [1, 2, 3, 4], disclosed: [1, 2, 3, 4, 5, 100, 404], publisher: 'no segment' },
  ],
  [
    'prebid-server and go-gpp',
    'CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA',
    {
      created: '2022-04-20T22:00:00.000Z',
      cmp: 31,
      cmpVersion: 640,
      screen: 1,
      gvl: 126,
      policy: 2,
      serviceSpecific: true,
      country: 'DE',
      specialFeatures: [],
      purposes: [],
      purposesLi: [],
      vendors: [],
      vendorsLi: [],
      restrictions: [],
      disclosed: 'no segment',
      publisher: 'no segment',
    },
  ],
  ['one vendor', 'CPGWkCaPGWkCaApAAAENABCAAAAAAAAAAAAAABEAAAAA', { cmp: 41, purposes: [], vendors: [2] }],
  [
    'basic_enforcement_test (CMP 0)',
    'CPerMsAPerMsAAAAAAENCfCAAEAAAAAAAAAAAQAAAAAEAAAAAAAA',
    { cmp: 0, purposes: [2], vendors: [32] },
  ],
  [
    'full_enforcement_test, legitimate interest',
    'CPfCRQAPfCRQAAAAAAENCgCAAAAAAOAAAAAAAQAAAAAAAIAAAAACAAAA',
    { purposes: [], purposesLi: [1, 2, 3], vendors: [], vendorsLi: [32] },
  ],
  [
    'full_enforcement_test, not allowed',
    'CPfMKEAPfMKEAAAAAAENCgCAAOAAAAAAAAAAAQAAAAAEAIAAAAAAAGCAAgAgCAAQAQBgAIAIAAAA',
    {
      purposes: [1, 2, 3],
      vendors: [32],
      restrictions: [
        [1, 0, [32]],
        [2, 0, [32]],
        [3, 0, [32]],
      ],
    },
  ],
  [
    'full_enforcement_test, legitimate interest required',
    'CPfFkMAPfFkMAAAAAAENCgCAAOAAAAAAAAAAAQAAAAAEAIAAAAAAAGDAAgAgCgAQAQBwAIAIAAAA',
    {
      purposes: [1, 2, 3],
      vendors: [32],
      restrictions: [
        [1, 2, [32]],
        [2, 2, [32]],
        [3, 2, [32]],
      ],
    },
  ],
  [
    'go-gdpr bitfield_test',
    'COwGVJOOwGVJOADACHENAOCAAO6as_-AAAhoAFNLAAoAAAA',
    {
      cmp: 3,
      cmpVersion: 2,
      screen: 7,
      gvl: 14,
      purposes: [1, 2, 3, 5, 6, 7, 9, 12, 13, 15, 17, 19, 20, 23, 24],
      vendors: [1, 2, 4, 7, 9, 10],
    },
  ],
  [
    'go-gdpr pubrestrict_test',
    'COwAdDhOwAdDhN4ABAENAPCgAAQAAv___wAAAFP_AAp_4AI6ACACAA',
    {
      cmp: 888,
      gvl: 15,
      purposes: [6, 23],
      purposesLi: range(1, 24),
      vendors: range(1, 10),
      vendorsLi: range(1, 10),
      restrictions: [[7, 1, [32]]],
    },
  ],
  [
    'go-gdpr metadata_test, ranges',
    'COvcSpYOvcSpYC9AAAENAPCAAAAAAAAAAAAACvwDQABAAIAAYABIAC4AJQAagA9ACEAPgAjIBJoCvAK-AAAAAA',
    {
      created: '2020-02-27T19:51:49.600Z',
      cmp: 189,
      vendors: [2, 8, 12, 18, 23, 37, 53, 61, 66, 248, 281, 294, 350, 351],
    },
  ],
  ['go-gdpr metadata_test', T18, { policy: 2, nonStandardTexts: true, specialFeatures: [1, 2, 3, 4], country: 'US' }],
  [
    'iabtcf-es issue 456',
    'CQCQqgAQCQqgAF-feBENAXEgAAAAAAAAAB5YAAAAAAAA.YAAAAAAAAAAA',
    {
      created: '2024-07-24T00:00:00.000Z',
      cmp: 382,
      policy: 4,
      serviceSpecific: true,
      country: 'PL',
      purposes: [],
      vendors: [],
      disclosed: 'no segment',
      publisher: [],
    },
  ],
]

it.each(VECTORS)('reads %s', (_, text, expected) => {
  expect(all(read(text))).toMatchObject(expected)
})

it('reads a real string with 18 restriction records', () => {
  const { vendors, restrictions } = all(read(ISSUE_201))
  expect(vendors).toHaveLength(479)
  expect(restrictions).toContainEqual([1, 1, [7, 20, 71, 122, 140, 183]])
})

it.each([...'ABCEIQg_'].map((char, index) => [char, [0, 1, 2, 4, 8, 16, 32, 63][index]] as const))(
  'reads a policy version written as %s as %i',
  (char, policy) => {
    expect(read(T18.slice(0, 22) + char + T18.slice(23)).policyVersion).toBe(policy)
  },
)

describe('what is no TC string', () => {
  it.each([
    ['nothing', '', 'truncated'],
    ['a dot', '.', 'truncated'],
    ['one character', 'C', 'truncated'],
    ['the word undefined', 'undefined', 'version'],
    ['the word null', 'null', 'version'],
    ['an unexpanded macro', '$' + '{GDPR_CONSENT_123}', 'alphabet'],
    ['version 1, iabtcf-es', 'BO2e4qiO2e4qiB9ABADEDS-AAAAxKABgACBiQA', 'version'],
    ['version 1, prebid-server', 'BONciguONcjGKADACHENAOLS1rAHDAFAAEAASABQAMwAeACEAFw', 'version'],
    ['cut off, go-gdpr', 'COvcSpYOvcSpYC9AAAENAPCAAAAAAAAAAAAAAFAAAAA', 'truncated'],
    ['cut off in its ranges, go-gdpr', 'COvcSpYOvcSpYC9AAAENAPCAAAAAAAAAAAAAAFQBgAAgABAACAAEAAQAAgAA', 'truncated'],
    [
      'the corrupt example of a vendor',
      'COsbk4AOSbk4AnWAAAENAwCgAAAAAAAAAAYgACPAAAAA.TDKO4AAqAKAGQAyqAAA.YAAAAAAAAAA',
      'truncated',
    ],
    ['a bit field cut short, iabtcf-es issue 142', ISSUE_142, 'truncated'],
    ['a GPP string', `DBABMA~${T2}`, 'alphabet'],
    ['two strings joined by a comma', `${T2},${T2}`, 'alphabet'],
    ['two strings joined by a dot', `${T2}.${T2}`, 'segment'],
    ['ordinary base64', T2.replace('I', '+'), 'alphabet'],
    ['padding', `${T2}=`, 'alphabet'],
    ['a space before', ` ${T2}`, 'alphabet'],
    ['a letter beyond ASCII that shares its low bits', T2.replace('Q', String.fromCharCode(0x151)), 'alphabet'],
    ['an empty last segment', `${T2}.`, 'truncated'],
    ['an empty segment between', T1.replace('.', '..'), 'truncated'],
    ['disclosed vendors twice', `${T2}.${T2.split('.')[1]}`, 'segment'],
    ['the publisher twice', `${T1}.YAAAAAAAAAAA`, 'segment'],
    ['a segment of type 4', `${T2}.gAAAAAAA`, 'segment'],
    ['too long, though only by padding', T2.padEnd(TC_CHARS_MAX + 1, 'A'), 'too_long'],
  ])('%s', (_, text, expected) => {
    expect(read(T2).vendorConsent(1), 'the string it is made of').toBe(true)
    expect(why(text)).toBe(expected)
  })

  const fields = (more: TcFields): string => writeTc({ purposes: [1], ...more })
  it.each([
    ['vendor 0', { vendors: { ranges: [[0, 0]] } }, 'entry'],
    ['a range from vendor 0', { vendors: { ranges: [[0, 5]] } }, 'entry'],
    ['a range that runs backwards', { vendors: { ranges: [[9, 5]] } }, 'entry'],
    ['a vendor beyond the highest', { vendors: { ranges: [[5, 9]], max: 8 } }, 'entry'],
    ['a restriction of vendor 0', { restrictions: [{ purpose: 1, type: 0, ranges: [[0, 0]] }] }, 'entry'],
    ['a restriction that runs backwards', { restrictions: [{ purpose: 1, type: 0, ranges: [[9, 5]] }] }, 'entry'],
    ['a restriction of a fourth type', { restrictions: [{ purpose: 1, type: 3, ranges: [[5, 9]] }] }, 'entry'],
    ['a restriction of purpose 0', { restrictions: [{ purpose: 0, type: 0, ranges: [[5, 9]] }] }, 'entry'],
    ['a disclosed vendor 0', { segments: [disclosedSegment({ ranges: [[0, 0]] })] }, 'entry'],
    ['an allowed vendor 0', { segments: [allowedSegment({ ranges: [[0, 0]] })] }, 'entry'],
  ] as const)('%s', (_, more, expected) => {
    expect(why(fields({ vendors: { ranges: [[5, 9]] }, restrictions: [{ purpose: 1, type: 0, ranges: [[5, 9]] }] }))).toBe('read')
    expect(why(fields(more))).toBe(expected)
  })

  it('ones after the end of the core, and after that of a segment', () => {
    const core = coreBits({ purposes: [1] })
    expect(why(new BitWriter().text + core.text), 'positive control').toBe('read')
    expect(why(`${core.text}AAAA`), 'zeros are padding').toBe('read')
    expect(why(`${core.text}AAAB`)).toBe('leftover')
    expect(why(`${core.text}.${publisherSegment([1])}AAAA`)).toBe('read')
    expect(why(`${core.text}.${publisherSegment([1])}B`)).toBe('leftover')
    expect(why(`${core.text}.${disclosedSegment({ field: [1] })}B`)).toBe('leftover')
  })
})

it('segments stand in any order, and one of allowed vendors changes nothing', () => {
  const disclosed = disclosedSegment({ field: [3, 7] })
  const publisher = publisherSegment([1, 4], 5)
  const allowed = allowedSegment({ ranges: [[1, 5]] })
  for (const segments of [
    [disclosed, publisher],
    [publisher, disclosed],
    [publisher, allowed, disclosed],
  ]) {
    const tc = read(writeTc({ segments }))
    expect(upTo(50, (n) => tc.disclosed(n))).toEqual([3, 7])
    expect(upTo(24, (n) => tc.publisherConsent(n))).toEqual([1, 4])
  }
})

it('numbers outside a field are not in it', () => {
  const tc = read(
    writeTc({ purposes: range(1, 24), vendors: { field: range(1, 40) }, segments: [disclosedSegment({ field: [1] })] }),
  )
  expect([1, 24].map((n) => tc.purposeConsent(n))).toEqual([true, true])
  expect([-1, 0, 25, 26].map((n) => tc.purposeConsent(n))).toEqual([false, false, false, false])
  expect([1, 40].map((n) => tc.vendorConsent(n))).toEqual([true, true])
  expect([-1, 0, 41, 65_536].map((n) => tc.vendorConsent(n))).toEqual([false, false, false, false])
})

it('several records on one purpose and vendor are all heard', () => {
  const tc = read(
    writeTc({
      restrictions: [
        { purpose: 3, type: 1, ranges: [[1, 200]] },
        { purpose: 3, type: 0, ranges: [[123, 123]] },
        { purpose: 3, type: 2, ranges: [[100, 130]] },
        { purpose: 4, type: 0, ranges: [[1, 65_535]] },
      ],
    }),
  )
  expect([99, 122, 123, 131, 201].map((vendor) => tc.restriction(3, vendor))).toEqual([0b010, 0b110, 0b111, 0b010, 0])
  expect([tc.restriction(4, 65_535), tc.restriction(2, 123), tc.restriction(5, 123)]).toEqual([1, 0, 0])
})
