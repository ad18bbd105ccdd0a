// The US Privacy text (`1YNN`): version, notice given, sale opted out, limited service provider agreement. Withdrawn in 2024, still sent.

export const US_PRIVACY_VERDICTS = ['not_opted_out', 'opted_out', 'not_applicable', 'malformed'] as const
export type UsPrivacyVerdict = (typeof US_PRIVACY_VERDICTS)[number]

const FORM = /^1[YN-]([YN-])[YN-]$/

/** `1---` says that the law does not apply, `1Y-N` leaves the one answer open that we ask for: neither is a word of the visitor's. */
export function judgeUsPrivacy(text: string): UsPrivacyVerdict {
  switch (FORM.exec(text)?.[1]) {
    case 'Y':
      return 'opted_out'
    case 'N':
      return 'not_opted_out'
    case '-':
      return 'not_applicable'
    default:
      return 'malformed'
  }
}
