// Weighs one signal after another: each can only add a refusal, never take one away.

import { type PermissionSet, permits } from '../core/permissions.ts'
import { judgeTcStringCached, readGppCached } from './cached.ts'
import { GDPR_COUNTRIES, isSwitchedOn, readGdprFlag, readSectionIds } from './short-signals.ts'
import type { ConsentPolicy, ConsentRefusal, ConsentSignals } from './signals.ts'
import { judgeUsPrivacy } from './us-privacy.ts'
import { isUsSection, judgeUsSection } from './us-sections.ts'
import { GPP_FAULT_WORDS, TC_DENIAL_WORDS, TC_FAULT_WORDS, TC_INVALIDITY_WORDS, US_PRIVACY_WORDS, US_WORDS } from './words.ts'

export type SignalName = 'sec-gpc' | 'dnt' | 'us_privacy' | 'gpp_sid' | 'gpp' | 'gdpr' | 'gdpr_consent' | 'country'

export type Weighing = {
  readonly signals: ConsentSignals
  readonly policy: ConsentPolicy
  /** Takes finished sentences only, so that it costs nothing where nobody listens. */
  readonly note: (signal: SignalName, finding: string, section?: number) => void
  readonly refusals: Set<ConsentRefusal>
  signalled: boolean
  /** Someone said that there is nothing against it. */
  cleared: boolean
  gdprApplies: boolean
  tcStrings: number
  permissions: PermissionSet
  receivers: readonly number[] | 'any'
}

const NO_SECTIONS: ReadonlyMap<number, string> = new Map()
const TC_SECTION = 2
const US_PRIVACY_SECTION = 6

/** Something was said and cannot be read: no statement in favour, but a statement. */
function refuseUnread(seen: Weighing): void {
  seen.signalled = true
  seen.refusals.add('consent_malformed')
}

export function weighHeaders(seen: Weighing): void {
  for (const [refusal, signal, header] of [
    ['gpc', 'sec-gpc', seen.signals.gpc],
    ['dnt', 'dnt', seen.signals.dnt],
  ] as const) {
    if (!isSwitchedOn(header)) continue
    seen.note(signal, 'opted out')
    seen.signalled = true
    seen.refusals.add(refusal)
  }
}

export function weighUsPrivacy(seen: Weighing, signal: SignalName, text: string, section?: number): void {
  const verdict = judgeUsPrivacy(text)
  seen.note(signal, US_PRIVACY_WORDS[verdict], section)
  if (verdict === 'not_applicable') return
  seen.signalled = true
  if (verdict === 'not_opted_out') seen.cleared = true
  else seen.refusals.add(verdict === 'opted_out' ? 'us_opt_out' : 'consent_malformed')
}

export function weighGpp(seen: Weighing): void {
  const { gpp = '', gppSid = '' } = seen.signals
  const listed = readSectionIds(gppSid)
  if (listed === 'malformed') {
    seen.note('gpp_sid', 'no list of sections')
    refuseUnread(seen)
  }
  let sections = NO_SECTIONS
  if (gpp !== '') {
    const reading = readGppCached(gpp)
    if (reading.ok) sections = reading.sections
    else {
      seen.note('gpp', GPP_FAULT_WORDS[reading.why])
      refuseUnread(seen)
    }
  }
  // A list that cannot be read narrows nothing.
  for (const id of Array.isArray(listed) ? listed : sections.keys()) weighSection(seen, id, sections.get(id))
}

/** A section that applies; undefined where the string does not hold it. */
function weighSection(seen: Weighing, id: number, text: string | undefined): void {
  if (id === TC_SECTION) {
    seen.gdprApplies = true
    seen.signalled = true
    if (text !== undefined) weighTcString(seen, 'gpp', text, id)
    else if (!seen.signals.gdprConsent) seen.note('gpp_sid', 'applies, and there is no TC string', id)
  } else if (id === US_PRIVACY_SECTION && text !== undefined) weighUsPrivacy(seen, 'gpp', text, id)
  else if (id === US_PRIVACY_SECTION && seen.signals.usPrivacy) return
  else if (isUsSection(id) && text !== undefined) weighUsSection(seen, id, text)
  else {
    seen.note(text === undefined ? 'gpp_sid' : 'gpp', text === undefined ? 'applies, and was not sent' : US_WORDS.unreadable, id)
    refuseUnread(seen)
  }
}

function weighUsSection(seen: Weighing, id: number, text: string): void {
  const verdict = judgeUsSection(id, text)
  seen.note('gpp', US_WORDS[verdict], id)
  if (verdict === 'not_applicable') return
  seen.signalled = true
  if (verdict === 'not_opted_out') seen.cleared = true
  else if (verdict === 'opted_out') seen.refusals.add('us_opt_out')
  else if (verdict === 'known_child') seen.refusals.add('known_child')
  else seen.refusals.add('consent_malformed')
}

/** Several strings permit what all of them permit. */
export function weighTcString(seen: Weighing, signal: SignalName, text: string, section?: number): void {
  seen.tcStrings++
  seen.gdprApplies = true
  seen.signalled = true
  const verdict = judgeTcStringCached(text, seen.policy)
  if (verdict.kind === 'malformed') {
    seen.note(signal, TC_FAULT_WORDS[verdict.why], section)
    seen.refusals.add('consent_malformed')
    return
  }
  if (verdict.kind === 'invalid') {
    seen.note(signal, TC_INVALIDITY_WORDS[verdict.why], section)
    seen.refusals.add('consent_invalid')
    return
  }
  seen.note(signal, verdict.why ? TC_DENIAL_WORDS[verdict.why] : 'read', section)
  if (!permits(verdict.permissions, 'store')) seen.refusals.add('consent_refused')
  seen.permissions &= verdict.permissions
  const { receivers } = seen
  seen.receivers = receivers === 'any' ? verdict.receivers : receivers.filter((vendor) => verdict.receivers.includes(vendor))
}

/** After everything that may bring a TC string. `gdpr=0` never outweighs one, nor the country of the address. */
export function weighGdpr(seen: Weighing): void {
  const { gdpr = '', country } = seen.signals
  const flag = readGdprFlag(gdpr)
  if (flag) {
    seen.note('gdpr', flag === 'applies' ? 'the GDPR applies' : 'the GDPR does not apply')
    // That the law does not apply is enough to keep this event. It is nothing that the visitor said, and lifts no refusal of before.
    if (flag === 'applies') seen.signalled = true
    if (flag === 'applies') seen.gdprApplies = true
    else seen.cleared = true
  }
  if (country !== undefined && GDPR_COUNTRIES.has(country)) {
    seen.note('country', 'the GDPR applies at this address')
    seen.gdprApplies = true
  }
  if (seen.gdprApplies && seen.tcStrings === 0) {
    seen.note('gdpr_consent', 'no TC string')
    seen.refusals.add('no_consent')
  }
}
