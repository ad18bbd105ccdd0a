import { expect, it } from 'vitest'
import {
  CONSENT_STRING_CACHED_CHARS,
  CONSENT_STRINGS_CACHED,
  judgeTcStringCached,
  readGppCached,
} from '../../src/consent/cached.ts'
import { readGpp } from '../../src/consent/gpp.ts'
import { judgeTcString, type TcPolicy } from '../../src/consent/tcf-verdict.ts'
import { disclosedSegment, publisherSegment, writeTc } from './tc-writer.ts'
import { WIDE_VENDORS } from './wide.ts'

const policy: TcPolicy = { vendorId: 123, publisherMode: false, purposeOneCountries: new Set(['DE']), receivers: [50] }
const text = writeTc({
  purposes: [1, 3, 4],
  vendors: { field: [50, 123] },
  segments: [disclosedSegment({ field: [50, 123] }), publisherSegment([1])],
})

it('a string is judged once for a policy', () => {
  const first = judgeTcStringCached(text, policy)
  expect(first).toEqual(judgeTcString(text, policy))
  expect(judgeTcStringCached(text, { ...policy }), 'a copy is the same policy').toBe(first)
})

it('another policy gets its own verdict, and the first one its own again', () => {
  const unasked = writeTc({
    purposes: [4],
    purposeOneTreatment: true,
    vendors: { field: [123] },
    segments: [disclosedSegment({ field: [123] })],
  })
  const others: [string, TcPolicy][] = [
    [text, { ...policy, vendorId: 124 }],
    [text, { ...policy, vendorId: undefined }],
    [text, { ...policy, publisherMode: true }],
    [text, { ...policy, receivers: [] }],
    [unasked, { ...policy, purposeOneCountries: new Set() }],
  ]
  for (const [one, other] of others) {
    expect(judgeTcString(one, other), 'they differ').not.toEqual(judgeTcString(one, policy))
    for (const given of [policy, other, policy, other]) expect(judgeTcStringCached(one, given)).toEqual(judgeTcString(one, given))
  }
})

it('long strings and garbage are read each time, and read right', () => {
  expect(WIDE_VENDORS.length).toBeGreaterThan(CONSENT_STRING_CACHED_CHARS)
  for (const one of [WIDE_VENDORS, text.slice(0, -4), 'undefined', text.replace('A', 'Ł'), `${text}\ud800`]) {
    const before = judgeTcStringCached(one, policy)
    expect(before).toEqual(judgeTcString(one, policy))
    expect(judgeTcStringCached(one, policy)).not.toBe(before)
  }
  const long = `DBABMA~${'A'.repeat(CONSENT_STRING_CACHED_CHARS)}`
  for (const one of [long, 'DBAB', 'DBABMA~Ł', 'DBABMA~\ud800']) {
    const before = readGppCached(one)
    expect(before).toEqual(readGpp(one))
    expect(readGppCached(one)).not.toBe(before)
  }
})

it('a GPP string is read once', () => {
  const gpp = `DBACNYA~${text}~1YNN`
  expect(readGppCached(gpp)).toEqual(readGpp(gpp))
  expect(readGppCached(gpp)).toBe(readGppCached(gpp))
})

it('the cache forgets', () => {
  const first = readGppCached('DBABMA~first')
  expect(readGppCached('DBABMA~first')).toBe(first)
  for (let n = 0; n < CONSENT_STRINGS_CACHED; n++) readGppCached(`DBABMA~other${n}`)
  expect(readGppCached('DBABMA~first')).not.toBe(first)
})
