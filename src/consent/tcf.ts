// Reads an IAB TCF v2 consent string: checks its form once, in time linear in its characters however wide its ranges, and leaves the rest to the
// questions of tc-string.ts. Whether a well-formed string permits anything is decided in tcf-verdict.ts.

import { BitReader, isSegmentedBase64Url } from './bits.ts'
import { TcString } from './tc-string.ts'
import { takeRestrictions, takeVendors, type VendorSet } from './vendors.ts'

/** Why a text is no TC string. */
export const TC_FAULTS = ['too_long', 'version', 'alphabet', 'truncated', 'entry', 'segment', 'leftover'] as const
export type TcFault = (typeof TC_FAULTS)[number]

export type TcReading = { readonly ok: true; readonly tc: TcString } | { readonly ok: false; readonly why: TcFault }

/** A real string of 480 vendors with restrictions has 635 characters; these hold 1,400 range entries. */
export const TC_CHARS_MAX = 4_096

const VERSION_BITS = 6
/** Everything of the core segment before its vendors. */
const HEADER_BITS = 213
const SEGMENT_TYPE_BITS = 3
/** `allowedVendors` narrows legal bases outside the framework. We use none, so it changes nothing here; its form still counts. */
const SEGMENT = { disclosedVendors: 1, allowedVendors: 2, publisherTc: 3 } as const
/** Consents and legitimate interests of 24 purposes. */
const PUBLISHER_PURPOSE_BITS = 48

const fault = (why: TcFault): TcReading => ({ ok: false, why })

export function readTcString(text: string): TcReading {
  if (text.length > TC_CHARS_MAX) return fault('too_long')
  if (!isSegmentedBase64Url(text)) return fault('alphabet')
  const bits = new BitReader(text)
  let end = endOfSegment(text, 0)
  bits.enter(0, end)
  if (bits.take(VERSION_BITS) !== 2) return fault(bits.overrun ? 'truncated' : 'version')
  bits.skip(HEADER_BITS - VERSION_BITS)
  const vendorConsents = takeVendors(bits)
  const vendorLegitimateInterests = vendorConsents && takeVendors(bits)
  const restrictions = vendorLegitimateInterests && takeRestrictions(bits)
  if (bits.overrun) return fault('truncated')
  if (!vendorConsents || !vendorLegitimateInterests || !restrictions) return fault('entry')
  if (!bits.restIsZero()) return fault('leftover')

  let disclosedVendors: VendorSet | undefined
  let publisherAt: number | undefined
  let seen = 0
  while (end < text.length) {
    const start = end + 1
    end = endOfSegment(text, start)
    bits.enter(start, end)
    const type = bits.take(SEGMENT_TYPE_BITS)
    if (bits.overrun) return fault('truncated')
    if (seen & (1 << type)) return fault('segment')
    seen |= 1 << type
    if (type === SEGMENT.publisherTc) {
      publisherAt = bits.at
      skipPublisherTc(bits)
    } else if (type === SEGMENT.disclosedVendors || type === SEGMENT.allowedVendors) {
      const vendors = takeVendors(bits)
      if (!vendors && !bits.overrun) return fault('entry')
      if (type === SEGMENT.disclosedVendors) disclosedVendors = vendors
    } else return fault('segment')
    if (bits.overrun) return fault('truncated')
    if (!bits.restIsZero()) return fault('leftover')
  }
  return {
    ok: true,
    tc: new TcString(text, { vendorConsents, vendorLegitimateInterests, restrictions, disclosedVendors, publisherAt }),
  }
}

function endOfSegment(text: string, start: number): number {
  const dot = text.indexOf('.', start)
  return dot < 0 ? text.length : dot
}

/** The publisher's purposes, then as many of its own as it says, consent and legitimate interest each. */
function skipPublisherTc(bits: BitReader): void {
  bits.skip(PUBLISHER_PURPOSE_BITS)
  bits.skip(2 * bits.take(6))
}
