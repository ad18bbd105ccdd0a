// What a TC string permits us, and which of the vendors we share with may receive. Everything here rests on consent: we register no legitimate
// interest, so the bits for it are never asked.

import { bitOf, PERMISSIONS, type Permission, type PermissionSet, permits } from '../core/permissions.ts'
import type { TcString } from './tc-string.ts'
import { readTcString, type TcFault } from './tcf.ts'
import { restrictionBit } from './vendors.ts'

export type TcPolicy = {
  /** Our number on the Global Vendor List, where we have one. */
  readonly vendorId: number | undefined
  /** The publisher reads its own consents (PublisherTC segment); takes precedence over `vendorId`. */
  readonly publisherMode: boolean
  /** Publishers' countries (ISO, upper case) whose law asks no consent for purpose 1. */
  readonly purposeOneCountries: ReadonlySet<string>
  /** Vendor numbers of the partners we may share with. */
  readonly receivers: readonly number[]
}

/** Well-formed, but not a string a vendor may rely on. */
export const TC_INVALIDITIES = ['global_scope', 'old_policy', 'undisclosed_vendors'] as const
export type TcInvalidity = (typeof TC_INVALIDITIES)[number]

/** Why a valid string does not even permit storage. */
export const TC_DENIALS = [
  'no_vendor_id',
  'no_publisher_segment',
  'vendor_refused',
  'vendor_undisclosed',
  'purpose_refused',
] as const
export type TcDenial = (typeof TC_DENIALS)[number]

export type TcVerdict =
  | { readonly kind: 'malformed'; readonly why: TcFault }
  | { readonly kind: 'invalid'; readonly why: TcInvalidity }
  | {
      readonly kind: 'read'
      readonly permissions: PermissionSet
      readonly receivers: readonly number[]
      /** Set where `store` is not among the permissions. */
      readonly why: TcDenial | undefined
    }

const PURPOSE_OF: Readonly<Record<Permission, number>> = { store: 1, profile: 3, model: 10, activate: 4, measure: 7, report: 9 }
/** Policy 4 is TCF 2.2, the oldest still in force. */
const POLICY_MIN = 4
/** TCF 2.3: strings created later must disclose their vendors. The last day without was 28 February 2026. */
const DISCLOSURE_REQUIRED_MS = Date.UTC(2026, 2, 1)
/** A purpose that must rest on legitimate interest is as good as forbidden to us; one that must rest on consent is what it was. */
const DENYING = restrictionBit('not_allowed') | restrictionBit('require_legitimate_interest')
const NOBODY: readonly number[] = []

export function judgeTcString(text: string, policy: TcPolicy): TcVerdict {
  const reading = readTcString(text)
  if (!reading.ok) return { kind: 'malformed', why: reading.why }
  const { tc } = reading
  const invalidity = invalidityOf(tc)
  if (invalidity) return { kind: 'invalid', why: invalidity }
  const denied = (why: TcDenial): TcVerdict => ({ kind: 'read', permissions: 0, receivers: NOBODY, why })

  let may: (purpose: number) => boolean
  if (policy.publisherMode) {
    if (!tc.hasPublisher) return denied('no_publisher_segment')
    may = (purpose) => (purpose === 1 && tc.purposeOneTreatment ? isPurposeOneFree(tc, policy) : tc.publisherConsent(purpose))
  } else {
    const { vendorId } = policy
    if (vendorId === undefined) return denied('no_vendor_id')
    if (!tc.vendorConsent(vendorId)) return denied('vendor_refused')
    if (!isDisclosed(tc, vendorId)) return denied('vendor_undisclosed')
    may = (purpose) => mayVendorUse(tc, policy, vendorId, purpose)
  }
  const permissions = permissionsOf(may)
  const why = permits(permissions, 'store') ? undefined : 'purpose_refused'
  return { kind: 'read', permissions, receivers: permits(permissions, 'activate') ? receiversOf(tc, policy) : NOBODY, why }
}

function invalidityOf(tc: TcString): TcInvalidity | undefined {
  if (!tc.isServiceSpecific) return 'global_scope'
  if (tc.policyVersion < POLICY_MIN) return 'old_policy'
  if (!tc.hasDisclosed && tc.createdMs >= DISCLOSURE_REQUIRED_MS) return 'undisclosed_vendors'
  return undefined
}

/** Nothing without storage; no model without the profile it is learnt from. */
function permissionsOf(may: (purpose: number) => boolean): PermissionSet {
  if (!may(PURPOSE_OF.store)) return 0
  let permissions = 0
  for (const permission of PERMISSIONS) if (may(PURPOSE_OF[permission])) permissions |= 1 << bitOf(permission)
  return permits(permissions, 'profile') ? permissions : permissions & ~(1 << bitOf('model'))
}

/** By its own bits, in publisher mode too: what a visitor allows a publisher it does not allow the publisher's partners. */
const receiversOf = (tc: TcString, policy: TcPolicy): readonly number[] =>
  policy.receivers.filter(
    (vendor) =>
      tc.vendorConsent(vendor) &&
      isDisclosed(tc, vendor) &&
      mayVendorUse(tc, policy, vendor, PURPOSE_OF.store) &&
      mayVendorUse(tc, policy, vendor, PURPOSE_OF.activate),
  )

const isDisclosed = (tc: TcString, vendor: number): boolean => !tc.hasDisclosed || tc.disclosed(vendor)

function mayVendorUse(tc: TcString, policy: TcPolicy, vendor: number, purpose: number): boolean {
  const given = purpose === 1 && tc.purposeOneTreatment ? isPurposeOneFree(tc, policy) : tc.purposeConsent(purpose)
  return given && (tc.restriction(purpose, vendor) & DENYING) === 0
}

/** Purpose 1 was never asked: its bit says nothing, the law of the publisher's country does. */
const isPurposeOneFree = (tc: TcString, policy: TcPolicy): boolean => policy.purposeOneCountries.has(tc.publisherCountry)
