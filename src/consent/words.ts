// What each verdict says to someone who looks for the reason. No word here repeats any part of a string: a TC string is personal data (C-604/22).

import type { GppFault } from './gpp.ts'
import type { TcFault } from './tcf.ts'
import type { TcDenial, TcInvalidity } from './tcf-verdict.ts'
import type { UsPrivacyVerdict } from './us-privacy.ts'
import type { UsVerdict } from './us-sections.ts'

export const TC_FAULT_WORDS: Readonly<Record<TcFault, string>> = {
  too_long: 'no TC string: too long',
  version: 'no TC string of version 2',
  alphabet: 'no TC string: holds a character outside base64url',
  truncated: 'no TC string: ends too early',
  entry: 'no TC string: names vendor 0, a vendor beyond its highest, a range that runs backwards, or an unknown restriction',
  segment: 'no TC string: an unknown segment, or one twice',
  leftover: 'no TC string: goes on after its end',
}

export const TC_INVALIDITY_WORDS: Readonly<Record<TcInvalidity, string>> = {
  global_scope: 'invalid: of global scope, not of this service',
  old_policy: 'invalid: of a policy before version 4 (TCF 2.2)',
  undisclosed_vendors: 'invalid: does not disclose its vendors, as strings since March 2026 must',
}

export const TC_DENIAL_WORDS: Readonly<Record<TcDenial, string>> = {
  no_vendor_id: 'permits nothing: no vendor id is configured, and this is no publisher that reads its own consents',
  no_publisher_segment: "permits nothing: holds no consents of the publisher's own",
  vendor_refused: 'permits nothing: no consent for our vendor id',
  vendor_undisclosed: 'permits nothing: our vendor id was not disclosed to the visitor',
  purpose_refused: 'permits nothing: no consent for purpose 1 (storage), or the publisher rules it out',
}

export const GPP_FAULT_WORDS: Readonly<Record<GppFault, string>> = {
  too_long: 'no GPP string: too long',
  alphabet: 'no GPP string: holds a foreign character',
  header: 'no GPP string: its header cannot be read',
  sections: 'no GPP string: its header lists other sections than follow',
}

export const US_WORDS: Readonly<Record<UsVerdict, string>> = {
  not_opted_out: 'not opted out',
  opted_out: 'opted out',
  not_applicable: 'says nothing of an opt-out',
  known_child: 'a known child',
  unreadable: 'cannot be read, which counts as no',
}

export const US_PRIVACY_WORDS: Readonly<Record<UsPrivacyVerdict, string>> = {
  not_opted_out: 'not opted out',
  opted_out: 'opted out',
  not_applicable: 'says nothing of an opt-out',
  malformed: 'no US Privacy string',
}
