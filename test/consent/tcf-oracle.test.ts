// Our reader beside the official library, on strings that the library wrote, on strings it would not write, and on damaged ones.

import {
  GVL,
  PurposeRestriction,
  SegmentEncoder,
  TCModel,
  TCString,
  Segment as TcSegment,
  type VendorList,
} from '@iabtechlabtcf/core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readTcString } from '../../src/consent/tcf.ts'
import { judgeTcString, type TcPolicy } from '../../src/consent/tcf-verdict.ts'
import { RESTRICTION_TYPES } from '../../src/consent/vendors.ts'
import { disclosedSegment, publisherSegment, type Range, type TcFields, type Vendors, writeTc } from './tc-writer.ts'

const HIGHEST_VENDOR = 900
const PURPOSES = Array.from({ length: 11 }, (_, index) => index + 1)
const FLEXIBLE = [2, 7, 8, 9, 10]
const named = (id: number) => ({ id, name: `${id}`, description: '', illustrations: [] })
const byId = <T>(ids: readonly number[], make: (id: number) => T) => Object.fromEntries(ids.map((id) => [id, make(id)]))
const gvl = new GVL({
  gvlSpecificationVersion: 3,
  vendorListVersion: 150,
  tcfPolicyVersion: 5,
  lastUpdated: '2026-05-28T16:00:00Z',
  purposes: byId(PURPOSES, named),
  specialPurposes: {},
  features: {},
  specialFeatures: byId([1, 2], named),
  stacks: {},
  dataCategories: {},
  vendors: byId(
    Array.from({ length: HIGHEST_VENDOR }, (_, index) => index + 1),
    (id) => ({
      ...named(id),
      purposes: PURPOSES,
      legIntPurposes: FLEXIBLE,
      flexiblePurposes: FLEXIBLE,
      specialPurposes: [],
      features: [],
      specialFeatures: [],
    }),
  ),
} as unknown as VendorList)

/** What both readers say about the vendors, purposes and records of interest. */
function differences(text: string, vendors: readonly number[]): string[] {
  const theirs = TCString.decode(text)
  const reading = readTcString(text)
  if (!reading.ok) return [`not read: ${reading.why}`]
  const ours = reading.tc
  const wrong: string[] = []
  const same = (what: string, mine: unknown, other: unknown) => {
    if (mine !== other) wrong.push(`${what}: ours ${mine}, theirs ${other}`)
  }
  same('created', ours.createdMs, theirs.created.getTime())
  same('cmpId', ours.cmpId, theirs.cmpId)
  same('cmpVersion', ours.cmpVersion, theirs.cmpVersion)
  same('consentScreen', ours.consentScreen, theirs.consentScreen)
  same('consentLanguage', ours.consentLanguage, theirs.consentLanguage)
  same('vendorListVersion', ours.vendorListVersion, theirs.vendorListVersion)
  same('policyVersion', ours.policyVersion, theirs.policyVersion)
  same('isServiceSpecific', ours.isServiceSpecific, theirs.isServiceSpecific)
  same('useNonStandardTexts', ours.useNonStandardTexts, theirs.useNonStandardTexts)
  same('purposeOneTreatment', ours.purposeOneTreatment, theirs.purposeOneTreatment)
  same('publisherCountry', ours.publisherCountry, theirs.publisherCountryCode)
  for (let n = 1; n <= 24; n++) {
    same(`purpose ${n}`, ours.purposeConsent(n), theirs.purposeConsents.has(n))
    same(`purpose ${n} LI`, ours.purposeLegitimateInterest(n), theirs.purposeLegitimateInterests.has(n))
    same(`publisher ${n}`, ours.publisherConsent(n), theirs.publisherConsents.has(n))
    if (n <= 12) same(`special feature ${n}`, ours.specialFeature(n), theirs.specialFeatureOptins.has(n))
  }
  for (const vendor of vendors) {
    same(`vendor ${vendor}`, ours.vendorConsent(vendor), theirs.vendorConsents.has(vendor))
    same(`vendor ${vendor} LI`, ours.vendorLegitimateInterest(vendor), theirs.vendorLegitimateInterests.has(vendor))
    same(`vendor ${vendor} disclosed`, ours.disclosed(vendor), theirs.vendorsDisclosed.has(vendor))
    for (let purpose = 1; purpose <= 12; purpose++) {
      const records = theirs.publisherRestrictions.getRestrictions(vendor)
      const types = records.reduce((set, one) => set | (one.purposeId === purpose ? 1 << one.restrictionType : 0), 0)
      same(`restriction ${purpose} of ${vendor}`, ours.restriction(purpose, vendor), types)
    }
  }
  return wrong
}

const id = fc.integer({ min: 1, max: HIGHEST_VENDOR })
const few = fc.uniqueArray(id, { maxLength: 12 })
const runs = fc
  .uniqueArray(id, { maxLength: 20 })
  .map((edges) => edges.sort((a, b) => a - b))
  .map((edges) => edges.flatMap((first, n) => (n % 2 === 0 ? upTo(first, edges[n + 1] ?? first) : [])))
const dense = fc.array(fc.boolean(), { maxLength: HIGHEST_VENDOR }).map((bits) => bits.flatMap((bit, n) => (bit ? [n + 1] : [])))
const vendorIds = fc.oneof(few, runs, dense)
const purposes = fc.uniqueArray(fc.integer({ min: 1, max: 24 }))
const upTo = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, n) => first + n)
const created = fc.integer({ min: 0, max: 2 ** 36 - 1 })
const everybody = upTo(1, HIGHEST_VENDOR + 5)

describe('strings written by the library', () => {
  const model = fc.record({
    created,
    cmpId: fc.integer({ min: 2, max: 4_095 }),
    cmpVersion: fc.integer({ min: 0, max: 4_095 }),
    screen: fc.integer({ min: 0, max: 63 }),
    country: fc.stringMatching(/^[A-Z]{2}$/),
    flags: fc.tuple(fc.boolean(), fc.boolean(), fc.boolean()),
    purposes,
    purposesLi: purposes,
    vendors: vendorIds,
    vendorsLi: vendorIds,
    disclosed: vendorIds,
    publisher: purposes,
    custom: fc.integer({ min: 0, max: 20 }),
    restrictions: fc.array(
      fc.record({
        purpose: fc.constantFrom(...FLEXIBLE),
        type: fc.integer({ min: 0, max: RESTRICTION_TYPES.length - 1 }),
        vendors: fc.oneof(few, runs),
      }),
      { maxLength: 4 },
    ),
  })

  it('say the same to both', () => {
    fc.assert(
      fc.property(model, (given) => {
        const tc = new TCModel(gvl)
        tc.cmpId = given.cmpId
        tc.cmpVersion = given.cmpVersion
        tc.consentScreen = given.screen
        tc.publisherCountryCode = given.country
        ;[tc.isServiceSpecific, tc.useNonStandardTexts, tc.purposeOneTreatment] = given.flags
        tc.purposeConsents.set([...given.purposes])
        tc.purposeLegitimateInterests.set([...given.purposesLi])
        tc.vendorConsents.set([...given.vendors])
        tc.vendorLegitimateInterests.set([...given.vendorsLi])
        tc.vendorsDisclosed.set([...given.disclosed])
        tc.publisherConsents.set([...given.publisher])
        tc.numCustomPurposes = given.custom
        for (const { purpose, type, vendors } of given.restrictions)
          for (const vendor of vendors) tc.publisherRestrictions.add(vendor, new PurposeRestriction(purpose, type))
        tc.created = new Date(given.created * 100)
        tc.lastUpdated = tc.created
        // Segment by segment: its own entry point first drops whatever does not suit its vendor list.
        const text = [TcSegment.CORE, TcSegment.VENDORS_DISCLOSED, TcSegment.PUBLISHER_TC]
          .map((segment) => SegmentEncoder.encode(tc, segment))
          .join('.')
        expect(differences(text, everybody)).toEqual([])
      }),
      { numRuns: 60 },
    )
  })

  it('through its own entry point too, which adds and removes', () => {
    fc.assert(
      fc.property(vendorIds, vendorIds, purposes, (consents, disclosed, given) => {
        const tc = new TCModel(gvl)
        tc.cmpId = 300
        tc.vendorConsents.set([...consents])
        tc.vendorsDisclosed.set([...disclosed])
        tc.purposeConsents.set([...given])
        expect(differences(TCString.encode(tc), everybody)).toEqual([])
      }),
      { numRuns: 20 },
    )
  })
})

const range = fc.tuple(id, fc.nat(40)).map(([first, width]): Range => [first, Math.min(first + width, HIGHEST_VENDOR)])
const vendors: fc.Arbitrary<Vendors> = fc.oneof(
  fc.record({ field: vendorIds }),
  // In any order and overlapping, as no writer would have it.
  fc.record({ ranges: fc.array(range, { maxLength: 12 }), max: fc.constant(HIGHEST_VENDOR) }),
)
const fields = fc.record({
  created: created.map((tenths) => new Date(tenths * 100).toISOString()),
  policy: fc.integer({ min: 2, max: 6 }),
  serviceSpecific: fc.boolean(),
  purposes,
  purposesLi: purposes,
  purposeOneTreatment: fc.boolean(),
  vendors,
  vendorsLi: vendors,
  restrictions: fc.array(
    fc.record({
      purpose: fc.integer({ min: 1, max: 12 }),
      type: fc.integer({ min: 0, max: 2 }),
      ranges: fc.array(range, { maxLength: 4 }),
    }),
    { maxLength: 5 },
  ),
  segments: fc
    .tuple(vendors.map(disclosedSegment), fc.tuple(purposes, fc.nat(30)), fc.boolean())
    .map(([disclosed, [own, custom], swapped]) => {
      const segments = [disclosed, publisherSegment(own, custom)]
      return swapped ? segments.reverse() : segments
    }),
})

it('strings that no library writes say the same to both', () => {
  fc.assert(
    fc.property(fields, (given) => {
      expect(differences(writeTc(given), everybody)).toEqual([])
    }),
    { numRuns: 60 },
  )
})

describe('damage', () => {
  const policies: readonly TcPolicy[] = [false, true].map((publisherMode) => ({
    vendorId: 123,
    publisherMode,
    purposeOneCountries: new Set(['DE']),
    receivers: upTo(1, 200),
  }))
  const judge = (text: string, policy: TcPolicy): { permissions: number; receivers: readonly number[] } => {
    const verdict = judgeTcString(text, policy)
    return verdict.kind === 'read' ? verdict : { permissions: 0, receivers: [] }
  }
  /** Likely to permit something, so that there is something to lose. */
  const generous = fields.map(
    (given): TcFields => ({
      ...given,
      created: '2026-06-01T00:00:00Z',
      policy: 5,
      serviceSpecific: true,
      purposes: [1, 3, ...given.purposes],
      vendors:
        'field' in given.vendors
          ? { field: [123, ...given.vendors.field] }
          : { ...given.vendors, ranges: [...given.vendors.ranges, [100, 150]] },
      segments: [disclosedSegment({ ranges: [[1, 150]] }), ...given.segments.filter((segment) => !segment.startsWith('I'))],
    }),
  )

  it('a string that is cut off anywhere permits no more than before', () => {
    let permitting = 0
    fc.assert(
      fc.property(generous, (given) => {
        const text = writeTc(given)
        for (const policy of policies) {
          const whole = judge(text, policy)
          if (whole.permissions !== 0) permitting++
          for (let length = 0; length < text.length; length++) {
            const cut = judge(text.slice(0, length), policy)
            expect(cut.permissions & ~whole.permissions, `${length} characters of ${text}`).toBe(0)
            expect(cut.receivers.filter((vendor) => !whole.receivers.includes(vendor))).toEqual([])
          }
        }
      }),
      { numRuns: 25 },
    )
    expect(permitting, 'positive control').toBeGreaterThan(10)
  })

  it('no change of a string makes the reader throw, or read what the library refuses', () => {
    const CHARS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    const at = fc.noBias(fc.nat(100_000))
    const change = fc.oneof(
      { weight: 4, arbitrary: fc.record({ at, kind: fc.constant('replace'), char: fc.constantFrom(...CHARS) }) },
      {
        weight: 1,
        arbitrary: fc.record({
          at,
          kind: fc.constantFrom('replace', 'insert', 'remove'),
          char: fc.constantFrom(...CHARS, ...'.~=+/ é'),
        }),
      },
    )
    let read = 0
    fc.assert(
      fc.property(fields, fc.array(change, { minLength: 1, maxLength: 3 }), (given, changes) => {
        let text = writeTc(given)
        for (const { at, kind, char } of changes) {
          const index = at % text.length
          text = text.slice(0, index) + (kind === 'remove' ? '' : char) + text.slice(kind === 'insert' ? index : index + 1)
        }
        const reading = readTcString(text)
        for (const policy of policies) judge(text, policy)
        if (!reading.ok) return
        read++
        // The library refuses CMP ids and countries that do not exist, which decide nothing here.
        if (reading.tc.cmpId < 2 || !/^[A-Z]{2}$/.test(reading.tc.publisherCountry)) return
        expect(differences(text, [1, 2, 99, 123, 150, 899])).toEqual([])
      }),
      { numRuns: 400 },
    )
    expect(read, 'positive control').toBeGreaterThan(50)
  })

  it('nor does any text at all', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.base64String(), fc.stringMatching(/^C[\w.-]*$/)), (text) => {
        for (const policy of policies) expect(judge(text, policy).permissions).toBe(0)
      }),
      { numRuns: 500 },
    )
  })
})
