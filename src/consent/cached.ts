// The same readings for less: a visitor sends one string with every hit, and everybody who accepts all sends nearly the same one.

import { LRUCache } from 'lru-cache'
import { type GppReading, readGpp } from './gpp.ts'
import { judgeTcString, type TcPolicy, type TcVerdict } from './tcf-verdict.ts'

/** Entries of each of the two caches, and the longest string worth keeping: 5 MB together at the most, whatever is sent. */
export const CONSENT_STRINGS_CACHED = 2_000
export const CONSENT_STRING_CACHED_CHARS = 1_024

/** Only well-formed strings are kept: they have one byte a character, and garbage is soon read again. */
const gppStrings = new LRUCache<string, GppReading>({ max: CONSENT_STRINGS_CACHED })
const tcStrings = new LRUCache<string, { readonly policy: TcPolicy; readonly verdict: TcVerdict }>({
  max: CONSENT_STRINGS_CACHED,
})

/** A parameter is a slice of its URL or body and would keep all of that alive, and so would slices of it. */
const ownCopy = (text: string): string => Buffer.from(text).toString()

export function readGppCached(text: string): GppReading {
  if (text.length > CONSENT_STRING_CACHED_CHARS) return readGpp(text)
  const known = gppStrings.get(text)
  if (known) return known
  const own = ownCopy(text)
  const reading = readGpp(own)
  if (reading.ok) gppStrings.set(own, reading)
  return reading
}

/** A string belongs to one site and so to one policy; under another it is judged anew. */
export function judgeTcStringCached(text: string, policy: TcPolicy): TcVerdict {
  if (text.length > CONSENT_STRING_CACHED_CHARS) return judgeTcString(text, policy)
  const known = tcStrings.get(text)
  if (known && isSame(known.policy, policy)) return known.verdict
  const verdict = judgeTcString(text, policy)
  if (verdict.kind !== 'malformed') tcStrings.set(ownCopy(text), { policy, verdict })
  return verdict
}

/** Policies are copied and spread by their users; what a verdict depends on is these four. */
const isSame = (a: TcPolicy, b: TcPolicy): boolean =>
  a.vendorId === b.vendorId &&
  a.publisherMode === b.publisherMode &&
  a.purposeOneCountries === b.purposeOneCountries &&
  a.receivers === b.receivers
