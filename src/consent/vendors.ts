// Sets of vendors as a TC string writes them, one bit each or as a list of ranges, and the publisher's restrictions. A range is kept as its two
// bounds: a string of 2,251 characters can name 26 million vendors, and what expands them stops the whole process for half a second.

import { type BitReader, bitAt } from './bits.ts'

export type VendorSet = {
  readonly max: number
  /** Where vendor 1's bit stands in the text; undefined where the set is a list of ranges. */
  readonly fieldAt: number | undefined
  /** first, last, first, last, … */
  readonly ranges: readonly number[]
}

/** type and purpose, first, last, … (see `restrictionKey`) */
export type Restrictions = readonly number[]

/** What a publisher can say of a purpose and a vendor. */
export const RESTRICTION_TYPES = ['not_allowed', 'require_consent', 'require_legitimate_interest'] as const
export type RestrictionType = (typeof RESTRICTION_TYPES)[number]
export const restrictionBit = (type: RestrictionType): number => 1 << RESTRICTION_TYPES.indexOf(type)

const VENDOR_BITS = 16
const MAX_VENDOR = 65_535
/** The least an entry can take: the range flag and one id. */
const ENTRY_BITS_MIN = 1 + VENDOR_BITS
const NO_RANGES: readonly number[] = []

const restrictionKey = (purpose: number, type: number): number => purpose * 4 + type

/** One entry; false where it is empty, names vendor 0 or goes beyond `max`. What lies beyond the end reads as 0, so that is false too. */
function takeEntry(bits: BitReader, max: number, into: number[]): boolean {
  const head = bits.take(ENTRY_BITS_MIN) // the range flag and the first id in one: entries are most of the work
  const first = head & MAX_VENDOR
  const last = head > MAX_VENDOR ? bits.take(VENDOR_BITS) : first
  if (first === 0 || last < first || last > max) return false
  into.push(first, last)
  return true
}

/** Undefined where an entry is none; a text that ends early shows in the reader. */
export function takeVendors(bits: BitReader): VendorSet | undefined {
  const max = bits.take(VENDOR_BITS)
  if (bits.take(1) === 0) {
    const fieldAt = bits.at
    bits.skip(max)
    return { max, fieldAt, ranges: NO_RANGES }
  }
  const entries = bits.take(12)
  if (entries * ENTRY_BITS_MIN > bits.end - bits.at) bits.overrun = true
  const ranges: number[] = []
  for (let entry = 0; entry < entries && !bits.overrun; entry++) if (!takeEntry(bits, max, ranges)) return undefined
  return { max, fieldAt: undefined, ranges }
}

export function hasVendor(text: string, set: VendorSet, vendor: number): boolean {
  if (vendor < 1 || vendor > set.max) return false
  if (set.fieldAt !== undefined) return bitAt(text, set.fieldAt + vendor - 1)
  const { ranges } = set
  for (let at = 0; at < ranges.length; at += 2)
    if (vendor >= (ranges[at] as number) && vendor <= (ranges[at + 1] as number)) return true
  return false
}

/** Undefined where a record is none: of purpose 0, of a fourth type, or with an entry that is none. */
export function takeRestrictions(bits: BitReader): Restrictions | undefined {
  const records = bits.take(12)
  if (records === 0) return NO_RANGES
  const restrictions: number[] = []
  for (let record = 0; record < records && !bits.overrun; record++) {
    const purpose = bits.take(6)
    const type = bits.take(2)
    const entries = bits.take(12)
    if (purpose === 0 || type >= RESTRICTION_TYPES.length) return undefined
    if (entries * ENTRY_BITS_MIN > bits.end - bits.at) bits.overrun = true
    for (let entry = 0; entry < entries && !bits.overrun; entry++) {
      restrictions.push(restrictionKey(purpose, type))
      if (!takeEntry(bits, MAX_VENDOR, restrictions)) return undefined
    }
  }
  return restrictions
}

/** The types (as `restrictionBit`s) a publisher set for this purpose and vendor: several records may name both. */
export function restrictionTypes(restrictions: Restrictions, purpose: number, vendor: number): number {
  let types = 0
  for (let at = 0; at < restrictions.length; at += 3) {
    const type = (restrictions[at] as number) - restrictionKey(purpose, 0)
    if (type < 0 || type >= RESTRICTION_TYPES.length) continue
    if (vendor >= (restrictions[at + 1] as number) && vendor <= (restrictions[at + 2] as number)) types |= 1 << type
  }
  return types
}
