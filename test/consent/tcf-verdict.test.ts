import { describe, expect, it } from 'vitest'
import { BitReader } from '../../src/consent/bits.ts'
import { judgeTcString, type TcPolicy } from '../../src/consent/tcf-verdict.ts'
import { takeRestrictions, takeVendors } from '../../src/consent/vendors.ts'
import { ALL_PERMISSIONS, PERMISSIONS, type Permission, permits } from '../../src/core/permissions.ts'
import {
  BEFORE_DISCLOSURE,
  BitWriter,
  disclosedSegment,
  publisherSegment,
  putVendors,
  type Restriction,
  type TcFields,
  writeTc,
} from './tc-writer.ts'
import { D1, WIDE_RESTRICTIONS, WIDE_VENDORS } from './wide.ts'

const US = 123
const policy = (more: Partial<TcPolicy> = {}): TcPolicy => ({
  vendorId: US,
  publisherMode: false,
  purposeOneCountries: new Set(),
  receivers: [],
  ...more,
})

/** The permissions by name, or what is wrong with the string. */
function permitted(text: string, given = policy()): readonly Permission[] | string {
  const verdict = judgeTcString(text, given)
  if (verdict.kind !== 'read') return `${verdict.kind}: ${verdict.why}`
  expect(verdict.why === undefined, 'a reason exactly where storage is refused').toBe(permits(verdict.permissions, 'store'))
  return PERMISSIONS.filter((permission) => permits(verdict.permissions, permission))
}

const receivers = (text: string, given: TcPolicy) => {
  const verdict = judgeTcString(text, given)
  return verdict.kind === 'read' ? verdict.receivers : verdict.kind
}

/** A string that permits everything to vendors 50, 99 and 123, with changes. */
const write = (more: TcFields = {}) =>
  writeTc({
    purposes: [1, 3, 4, 7, 9, 10],
    vendors: { field: [50, 99, US] },
    segments: [disclosedSegment({ field: [50, 99, US] })],
    ...more,
  })

describe('constructed TCF 2.3 strings, judged for vendor 123', () => {
  const DISCLOSED = '.IA9gAAAAAAAAAAAAAAAAAAAC'
  it.each([
    [
      'C1 all purposes',
      'CQlH_MAQlH_MAEsABBENCWFgAPLAAELAAAYgA9gAAAAAAAAAAAAAAACAAACAPYAAAAAAAAAAAAAAAAAAAAgAA.IA9gAAAAAAAAAAAAAAACAAAC',
      [...PERMISSIONS],
    ],
    ['C2 not purpose 1', `CQlH_MAQlH_MAEsABBENCWFgADIAAAAAAAYgA9gAAAAAAAAAAAAAAAAAAACAAAAA${DISCLOSED}`, []],
    ['C3 not our vendor id', 'CQlH_MAQlH_MAEsABBENCWFgALLAAAAAAAYgAxgAAAAAAAAAAAAAAACAAAAA.IA9gAAAAAAAAAAAAAAACAAAC', []],
    [
      'C5 undisclosed, created after the day',
      'CQlH_MAQlH_MAEsABBENCWFgALLAAAAAAAYgA9gAAAAAAAAAAAAAAAAAAACAAAAA',
      'invalid: undisclosed_vendors',
    ],
    ['C6 undisclosed, created before', 'CQgSLEAQgSLEAEsABBENCWFgALLAAAAAAAYgA9gAAAAAAAAAAAAAAAAAAACAAAAA', [...PERMISSIONS]],
    ['C7 global scope', `CQlH_MAQlH_MAEsABBENCWFAALLAAAAAAAYgA9gAAAAAAAAAAAAAAAAAAACAAAAA${DISCLOSED}`, 'invalid: global_scope'],
    [
      'C9 purpose 3 not allowed to us',
      `CQlH_MAQlH_MAEsABBENCWFgALLAAAAAAAYgA9gAAAAAAAAAAAAAAAAAAACAAAAEMABAD2${DISCLOSED}`,
      ['store', 'activate', 'measure', 'report'],
    ],
    ['C12 policy 3', `CQlH_MAQlH_MAEsABBENCWDgALIAAAAAAAYgA9gAAAAAAAAAAAAAAAAAAACAAAAA${DISCLOSED}`, 'invalid: old_policy'],
    ['C14 purpose 1 only', `CQlH_MAQlH_MAEsABBENCWFgAIAAAAAAAAYgA9gAAAAAAAAAAAAAAAAAAACAAAAA${DISCLOSED}`, ['store']],
    ['C15 legitimate interest only', `CQlH_MAQlH_MAEsABBENCWFgAAAAAALAAAYgAAAB7AAAAAAAAAAAAAAAAAAAAEAA${DISCLOSED}`, []],
  ])('%s', (_, text, expected) => {
    expect(permitted(text)).toEqual(expected)
  })
})

it('each purpose gives its permission', () => {
  expect(permitted(write())).toEqual([...PERMISSIONS])
  expect(permitted(write({ purposes: [1, 3] }))).toEqual(['store', 'profile'])
  expect(permitted(write({ purposes: [1, 4] }))).toEqual(['store', 'activate'])
  expect(permitted(write({ purposes: [1, 7] }))).toEqual(['store', 'measure'])
  expect(permitted(write({ purposes: [1, 9] }))).toEqual(['store', 'report'])
  expect(permitted(write({ purposes: [1, 3, 10] }))).toEqual(['store', 'profile', 'model'])
  expect(permitted(write({ purposes: [1, 10] })), 'no model without a profile').toEqual(['store'])
  expect(permitted(write({ purposes: [3, 4, 7, 9, 10] })), 'nothing without storage').toEqual([])
  expect(permitted(write({ purposes: [2, 5, 6, 8, 11] }))).toEqual([])
})

it('the first day on which vendors must be disclosed is 1 March 2026', () => {
  const created = (moment: string, disclosing: boolean) =>
    permitted(write({ created: moment, ...(disclosing ? {} : { segments: [] }) }))
  expect(created('2026-02-28T23:59:59.900Z', false)).toEqual([...PERMISSIONS])
  expect(created('2026-03-01T00:00:00Z', false)).toBe('invalid: undisclosed_vendors')
  expect(created('2026-03-01T00:00:00Z', true)).toEqual([...PERMISSIONS])
})

it('a string that discloses other vendors permits us nothing, whenever it was created', () => {
  const others = [disclosedSegment({ field: [50, 99] })]
  const none = [disclosedSegment({ field: [], max: 1_524 })]
  for (const created of ['2025-06-01T00:00:00Z', '2026-06-01T00:00:00Z']) {
    expect(permitted(write({ created }))).toEqual([...PERMISSIONS])
    expect(permitted(write({ created, segments: others }))).toEqual([])
    expect(permitted(write({ created, segments: none })), 'a segment of zeros is a segment').toEqual([])
  }
})

it('policy 4 is the oldest that counts', () => {
  expect(permitted(write({ policy: 4 }))).toEqual([...PERMISSIONS])
  expect(permitted(write({ policy: 3 }))).toBe('invalid: old_policy')
})

describe('restrictions', () => {
  const on = (purpose: number, type: number, first = US, last = US): Restriction => ({ purpose, type, ranges: [[first, last]] })
  const without = (...names: Permission[]) => PERMISSIONS.filter((permission) => !names.includes(permission))
  it.each([
    ['of another vendor', [on(3, 0, 99, 99)], [...PERMISSIONS]],
    ['of another purpose', [on(2, 0)], [...PERMISSIONS]],
    ['to consent, which it is', [on(1, 1), on(3, 1), on(4, 1)], [...PERMISSIONS]],
    ['not allowed', [on(4, 0)], without('activate')],
    ['legitimate interest required', [on(4, 2)], without('activate')],
    ['not allowed to a range we are in', [on(7, 0, 100, 200)], without('measure')],
    ['not allowed to a range that ends before us', [on(7, 0, 100, 122)], [...PERMISSIONS]],
    ['no profile, and so no model', [on(3, 0)], without('profile', 'model')],
    ['no storage, and so nothing', [on(1, 2)], []],
    ['a denial before a confirmation', [on(9, 0), on(9, 1)], without('report')],
    ['a denial after a confirmation', [on(9, 1), on(9, 2)], without('report')],
  ])('%s', (_, restrictions, expected) => {
    expect(permitted(write({ restrictions }))).toEqual(expected)
  })
})

describe('purpose 1 that was not asked', () => {
  const unasked = (more: TcFields = {}) =>
    write({ purposeOneTreatment: true, purposes: [3, 4, 7, 9, 10], country: 'DE', ...more })
  const free = policy({ purposeOneCountries: new Set(['DE', 'FI']), receivers: [50] })

  it('is not given, unless the publisher is in a country that asks for none', () => {
    expect(permitted(unasked())).toEqual([])
    expect(permitted(unasked({ purposes: [1, 3] })), 'even with the bit set').toEqual([])
    expect(permitted(unasked(), free)).toEqual([...PERMISSIONS])
    expect(permitted(unasked({ country: 'FR' }), free)).toEqual([])
    expect(permitted(unasked({ purposeOneTreatment: false }), free), 'where it was asked, the answer counts').toEqual([])
  })

  it('still takes the vendor, its disclosure and no restriction', () => {
    expect(permitted(unasked({ vendors: { field: [50] } }), free)).toEqual([])
    expect(permitted(unasked({ segments: [disclosedSegment({ field: [50] })] }), free)).toEqual([])
    expect(permitted(unasked({ restrictions: [{ purpose: 1, type: 0, ranges: [[US, US]] }] }), free)).toEqual([])
  })

  it('holds for receivers and publishers too', () => {
    expect(receivers(unasked(), free)).toEqual([50])
    const segments = [disclosedSegment({ field: [50] }), publisherSegment([3, 4])]
    expect(permitted(unasked({ segments }), { ...free, publisherMode: true })).toEqual(['store', 'profile', 'activate'])
    expect(permitted(unasked({ segments }), policy({ publisherMode: true }))).toEqual([])
  })
})

describe('who judges by what', () => {
  it('nobody without a vendor id', () => {
    expect(judgeTcString(write(), policy({ vendorId: undefined }))).toEqual({
      kind: 'read',
      permissions: 0,
      receivers: [],
      why: 'no_vendor_id',
    })
    expect(judgeTcString(write(), policy())).toMatchObject({ permissions: ALL_PERMISSIONS, why: undefined })
  })

  it('a publisher by its own segment, and by nothing else', () => {
    const publisher = policy({ vendorId: undefined, publisherMode: true })
    const own = (consents: number[], more: TcFields = {}) =>
      write({ segments: [disclosedSegment({ field: [50] }), publisherSegment(consents)], ...more })
    expect(permitted(own([1, 3, 4, 7, 9, 10], { purposes: [], vendors: { field: [] } }), publisher)).toEqual([...PERMISSIONS])
    expect(permitted(own([1]), publisher)).toEqual(['store'])
    expect(permitted(own([3, 4]), publisher)).toEqual([])
    expect(permitted(own([1]), policy({ publisherMode: true })), 'before the vendor id').toEqual(['store'])
    expect(permitted(own([1, 3], { restrictions: [{ purpose: 3, type: 0, ranges: [[1, 9_999]] }] }), publisher)).toEqual([
      'store',
      'profile',
    ])
    expect(judgeTcString(write(), publisher)).toMatchObject({ permissions: 0, why: 'no_publisher_segment' })
    expect(permitted(own([1], { serviceSpecific: false }), publisher), 'a string must still be valid').toBe(
      'invalid: global_scope',
    )
  })

  it('names why storage is refused', () => {
    expect(judgeTcString(write({ vendors: { field: [50] } }), policy())).toMatchObject({ why: 'vendor_refused' })
    expect(judgeTcString(write({ segments: [disclosedSegment({ field: [50] })] }), policy())).toMatchObject({
      why: 'vendor_undisclosed',
    })
    expect(judgeTcString(write({ purposes: [3] }), policy())).toMatchObject({ why: 'purpose_refused' })
  })
})

describe('receivers', () => {
  const partners = policy({ receivers: [50, 99, 7] })
  const not = (purpose: number, type: number): TcFields => ({ restrictions: [{ purpose, type, ranges: [[50, 60]] }] })
  it.each([
    ['those with consent of their own', {}, [50, 99]],
    ['not the undisclosed', { segments: [disclosedSegment({ field: [99, US] })] }, [99]],
    ['not where storage is not allowed to them', not(1, 0), [99]],
    ['not where activation must rest on legitimate interest', not(4, 2), [99]],
    ['whatever is said of other purposes', not(3, 0), [50, 99]],
    ['whatever confirms consent', not(4, 1), [50, 99]],
    ['none where we may not activate', { purposes: [1, 3, 7, 9, 10] }, []],
    ['none where we may not store', { purposes: [3, 4] }, []],
    ['none where we have no consent', { vendors: { field: [50, 99] } }, []],
  ])('%s', (_, more, expected) => {
    expect(receivers(write(more), partners)).toEqual(expected)
  })

  it('a publisher shares with those that have consent by their own bits', () => {
    const publisher = { ...partners, publisherMode: true }
    const segments = [disclosedSegment({ field: [50, US] }), publisherSegment([1, 4])]
    expect(receivers(write({ segments }), publisher)).toEqual([50])
    expect(receivers(write({ segments, purposes: [1, 3] }), publisher), 'no purpose 4 for vendors').toEqual([])
    expect(receivers(write({ segments: [segments[0] as string, publisherSegment([1])] }), publisher)).toEqual([])
  })

  it('before disclosure was demanded, a string without it serves partners too', () => {
    expect(receivers(write({ created: BEFORE_DISCLOSURE, segments: [] }), partners)).toEqual([50, 99])
  })
})

describe('strings that name millions of vendors', () => {
  it('are read and judged like others', () => {
    expect([D1.length, WIDE_RESTRICTIONS.length, WIDE_VENDORS.length]).toEqual([162, 1_152, 2_251])
    const first = policy({ vendorId: 1, receivers: [3, 4] })
    expect(permitted(D1, first)).toEqual(['store'])
    expect(permitted(WIDE_RESTRICTIONS, first)).toEqual(['store'])
    expect(permitted(WIDE_VENDORS, first)).toEqual(['store'])
    expect(permitted(WIDE_VENDORS, policy({ vendorId: 2 })), 'undisclosed').toEqual([])
  })

  it('are kept by the bounds of their ranges, never by the vendors in them', () => {
    const ranges = Array.from({ length: 400 }, (_, index): [number, number] => [index + 1, 65_535])
    const written = putVendors(new BitWriter(), { ranges }).text
    const bits = new BitReader(written)
    bits.enter(0, written.length)
    const set = takeVendors(bits)
    expect(bits.overrun).toBe(false)
    expect(set?.ranges).toEqual(ranges.flat())
  })

  it('cannot claim more entries than they have bits for', () => {
    // 4,095 records of 4,095 entries each, none of which is there.
    const claims = new BitWriter().put(4_095, 12).put(1, 6).put(0, 2).put(4_095, 12).put(5, 16).put(5, 16).text
    const bits = new BitReader(claims)
    bits.enter(0, claims.length)
    const before = bits.at
    takeRestrictions(bits)
    expect(bits.overrun).toBe(true)
    expect(bits.at - before, 'stopped before the first entry').toBe(12 + 6 + 2 + 12)
  })
})
