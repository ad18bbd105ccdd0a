// A TC string whose form has been checked (tcf.ts), asked one question at a time: each looks at the bits it needs and no others.

import { bitAt, bitsAt } from './bits.ts'
import { hasVendor, type Restrictions, restrictionTypes, type VendorSet } from './vendors.ts'

/** First bits of the core segment's fields (IAB Tech Lab, "TC String Format", core string). */
const AT = {
  created: 6,
  cmpId: 78,
  cmpVersion: 90,
  consentScreen: 102,
  consentLanguage: 108,
  vendorListVersion: 120,
  policyVersion: 132,
  isServiceSpecific: 138,
  useNonStandardTexts: 139,
  specialFeatures: 140,
  purposeConsents: 152,
  purposeLegitimateInterests: 176,
  purposeOneTreatment: 200,
  publisherCountry: 201,
} as const
const PURPOSES = 24
const SPECIAL_FEATURES = 12

/** What the check of the form found out on its way. */
export type TcParts = {
  readonly vendorConsents: VendorSet
  readonly vendorLegitimateInterests: VendorSet
  readonly restrictions: Restrictions
  readonly disclosedVendors: VendorSet | undefined
  /** Where the publisher's consent bits begin. */
  readonly publisherAt: number | undefined
}

export class TcString {
  readonly version = 2
  readonly #text: string
  readonly #parts: TcParts

  constructor(text: string, parts: TcParts) {
    this.#text = text
    this.#parts = parts
  }

  /** Written in tenths of a second, 36 bits. */
  get createdMs(): number {
    return (bitsAt(this.#text, AT.created, 18) * 2 ** 18 + bitsAt(this.#text, AT.created + 18, 18)) * 100
  }
  get cmpId(): number {
    return bitsAt(this.#text, AT.cmpId, 12)
  }
  get cmpVersion(): number {
    return bitsAt(this.#text, AT.cmpVersion, 12)
  }
  get consentScreen(): number {
    return bitsAt(this.#text, AT.consentScreen, 6)
  }
  get consentLanguage(): string {
    return this.#letters(AT.consentLanguage)
  }
  get vendorListVersion(): number {
    return bitsAt(this.#text, AT.vendorListVersion, 12)
  }
  get policyVersion(): number {
    return bitsAt(this.#text, AT.policyVersion, 6)
  }
  get isServiceSpecific(): boolean {
    return bitAt(this.#text, AT.isServiceSpecific)
  }
  get useNonStandardTexts(): boolean {
    return bitAt(this.#text, AT.useNonStandardTexts)
  }
  get purposeOneTreatment(): boolean {
    return bitAt(this.#text, AT.purposeOneTreatment)
  }
  get publisherCountry(): string {
    return this.#letters(AT.publisherCountry)
  }
  get hasDisclosed(): boolean {
    return this.#parts.disclosedVendors !== undefined
  }
  get hasPublisher(): boolean {
    return this.#parts.publisherAt !== undefined
  }

  specialFeature(feature: number): boolean {
    return this.#numbered(AT.specialFeatures, feature, SPECIAL_FEATURES)
  }
  purposeConsent(purpose: number): boolean {
    return this.#numbered(AT.purposeConsents, purpose, PURPOSES)
  }
  purposeLegitimateInterest(purpose: number): boolean {
    return this.#numbered(AT.purposeLegitimateInterests, purpose, PURPOSES)
  }
  vendorConsent(vendor: number): boolean {
    return hasVendor(this.#text, this.#parts.vendorConsents, vendor)
  }
  vendorLegitimateInterest(vendor: number): boolean {
    return hasVendor(this.#text, this.#parts.vendorLegitimateInterests, vendor)
  }
  /** False without the segment: ask `hasDisclosed` first. */
  disclosed(vendor: number): boolean {
    const { disclosedVendors } = this.#parts
    return disclosedVendors !== undefined && hasVendor(this.#text, disclosedVendors, vendor)
  }
  /** The types of restriction on this purpose and vendor, as a set of `restrictionBit`s. */
  restriction(purpose: number, vendor: number): number {
    return restrictionTypes(this.#parts.restrictions, purpose, vendor)
  }
  /** What the visitor told the publisher itself; false without the segment. */
  publisherConsent(purpose: number): boolean {
    const { publisherAt } = this.#parts
    return publisherAt !== undefined && this.#numbered(publisherAt, purpose, PURPOSES)
  }

  #numbered(at: number, number: number, count: number): boolean {
    return number >= 1 && number <= count && bitAt(this.#text, at + number - 1)
  }
  #letters(at: number): string {
    return String.fromCharCode(65 + bitsAt(this.#text, at, 6), 65 + bitsAt(this.#text, at + 6, 6))
  }
}
