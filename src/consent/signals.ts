// From what the visitor's side says to what is permitted. Every signal is weighed, and the strictest wins: nothing that one of them allows makes up
// for what another refuses, and what cannot be read refuses.

import { ALL_PERMISSIONS, type PermissionSet } from '../core/permissions.ts'
import type { TcPolicy } from './tcf-verdict.ts'
import { type SignalName, type Weighing, weighGdpr, weighGpp, weighHeaders, weighTcString, weighUsPrivacy } from './weigh.ts'

/** As sent; undefined or '' is not sent. A parameter that came twice comes joined by a comma, which none of them survives. */
export type ConsentSignals = {
  readonly gdpr: string | undefined
  readonly gdprConsent: string | undefined
  readonly gpp: string | undefined
  readonly gppSid: string | undefined
  readonly usPrivacy: string | undefined
  /** The headers `Sec-GPC` and `DNT`. */
  readonly gpc: string | undefined
  readonly dnt: string | undefined
  /** Of the address (ISO, upper case). */
  readonly country: string | undefined
}

export type ConsentPolicy = TcPolicy & {
  /** What applies where neither the law nor the visitor's side said anything. */
  readonly noSignal: 'allow' | 'deny'
}

/** Where several apply, the first of this list is the one that is named. */
export const CONSENT_REFUSALS = [
  'gpc',
  'dnt',
  'known_child',
  'us_opt_out',
  'consent_malformed',
  'consent_invalid',
  'consent_refused',
  'no_consent',
] as const
export type ConsentRefusal = (typeof CONSENT_REFUSALS)[number]

export type ConsentDecision = {
  readonly permissions: PermissionSet
  /** Vendor numbers that may receive; `any` where no TC string limits them. */
  readonly receivers: readonly number[] | 'any'
  /** The visitor's side said something, so this may govern the visitor's other events too. */
  readonly signalled: boolean
  /** Set exactly where `store` is not permitted. */
  readonly refusal: ConsentRefusal | undefined
}

export type ConsentFinding = { readonly signal: SignalName; readonly finding: string }

const NOBODY: readonly number[] = []

const silent = (): void => {}

/** Most hits outside of Europe and most pixels bring nothing, and are not walked through for it. */
const isSilent = ({ gdpr, gdprConsent, gpp, gppSid, usPrivacy, gpc, dnt, country }: ConsentSignals): boolean =>
  !(gdpr || gdprConsent || gpp || gppSid || usPrivacy || gpc || dnt || country)
const UNASKED = {
  allow: { permissions: ALL_PERMISSIONS, receivers: 'any', signalled: false, refusal: undefined },
  deny: { permissions: 0, receivers: NOBODY, signalled: false, refusal: 'no_consent' },
} as const satisfies Record<ConsentPolicy['noSignal'], ConsentDecision>

export const decideConsent = (signals: ConsentSignals, policy: ConsentPolicy): ConsentDecision =>
  isSilent(signals) ? UNASKED[policy.noSignal] : walk(signals, policy, silent)

/** The same decision with what each signal said, for whoever asks why. */
export function explainConsent(
  signals: ConsentSignals,
  policy: ConsentPolicy,
): ConsentDecision & { readonly findings: readonly ConsentFinding[] } {
  const findings: ConsentFinding[] = []
  const decision = walk(signals, policy, (signal, finding, section) => {
    findings.push({ signal, finding: section === undefined ? finding : `section ${section}: ${finding}` })
  })
  return { ...decision, findings }
}

function walk(signals: ConsentSignals, policy: ConsentPolicy, note: Weighing['note']): ConsentDecision {
  const seen: Weighing = {
    signals,
    policy,
    note,
    refusals: new Set(),
    signalled: false,
    cleared: false,
    gdprApplies: false,
    tcStrings: 0,
    permissions: ALL_PERMISSIONS,
    receivers: 'any',
  }
  weighHeaders(seen)
  if (signals.usPrivacy) weighUsPrivacy(seen, 'us_privacy', signals.usPrivacy)
  weighGpp(seen)
  if (signals.gdprConsent) weighTcString(seen, 'gdpr_consent', signals.gdprConsent)
  weighGdpr(seen)
  if (seen.tcStrings === 0 && !seen.cleared && policy.noSignal === 'deny') seen.refusals.add('no_consent')

  const refusal = CONSENT_REFUSALS.find((name) => seen.refusals.has(name))
  if (refusal) return { permissions: 0, receivers: NOBODY, signalled: seen.signalled, refusal }
  return { permissions: seen.permissions, receivers: seen.receivers, signalled: seen.signalled, refusal: undefined }
}
