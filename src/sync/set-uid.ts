// What becomes of a `/setuid`: Prebid Server's statuses (endpoints/setuid.go), in its order. Pure; the first reason to refuse ends the walk.

import { readGppCached } from '../consent/cached.ts'
import { readSectionIds } from '../consent/short-signals.ts'
import type { ConsentSignals } from '../consent/signals.ts'
import { type PartnerUid, parsePartnerUid } from '../identity/matches.ts'
import type { KnownPartner, Partners } from './partners.ts'
import type { SyncRequest } from './request.ts'

export type SetUid =
  /** An empty uid ends the match. `image`: what is answered, a picture or an empty page. */
  | { readonly kind: 'set'; readonly partner: KnownPartner; readonly uid: PartnerUid | ''; readonly image: boolean }
  | {
      readonly kind: 'refused'
      readonly status: 400 | 401 | 451
      readonly message: string
      readonly partner: KnownPartner | undefined
    }

const TC_SECTION = 2

/** Why a request is malformed by what it says of consent; undefined where it is not. `gpp_sid` with section 2 says that the GDPR applies, whatever `gdpr` says. */
export function malformedSignals({ gdpr = '', gdprConsent, gpp = '', gppSid = '' }: ConsentSignals): string | undefined {
  const sections = readSectionIds(gppSid)
  if (sections === 'malformed') return 'gpp_sid must be a list of whole numbers, with commas between'
  if (!['', '0', '1'].includes(gdpr)) return 'gdpr must be 0 or 1'
  if (gdpr !== '1' && !sections?.includes(TC_SECTION)) return undefined
  const reading = readGppCached(gpp)
  const hasConsent = gdprConsent || (reading.ok && reading.sections.has(TC_SECTION)) || (gpp !== '' && !reading.ok)
  return hasConsent ? undefined : 'gdpr_consent is required where the GDPR applies'
}

export function decideSetUid(given: Readonly<Record<string, string>>, request: SyncRequest, partners: Partners): SetUid {
  const partner = partners.byName(given['bidder'])
  const refuse = (status: 400 | 401 | 451, message: string): SetUid => ({ kind: 'refused', status, message, partner })
  if (request.isOptedOut) return refuse(401, 'this browser has opted out')
  if (!given['bidder']) return refuse(400, 'bidder is required')
  if (!partner) return refuse(400, 'bidder is no configured partner')
  const format = given['f'] ?? ''
  if (!['', 'b', 'i'].includes(format)) return refuse(400, 'f must be b or i')
  const malformed = malformedSignals(request.signals)
  if (malformed !== undefined) return refuse(400, malformed)
  const { gate } = request
  if (gate.kind === 'closed')
    return gate.refusal === 'consent_malformed'
      ? refuse(400, 'a consent signal cannot be read')
      : refuse(451, 'what was said about consent does not allow ids to be kept')
  if (!gate.mayHold(partner)) return refuse(451, 'the visitor has not allowed this partner')
  const image = format === '' ? partner.sync?.type !== 'iframe' : format === 'i'
  const written = given['uid'] ?? ''
  if (written === '') return { kind: 'set', partner, uid: '', image }
  const uid = parsePartnerUid(written)
  // Prebid Server keeps these. Here one such id would join everybody it was given for.
  if (!uid || uid === partner.sync?.uidMacro)
    return refuse(400, 'uid is no id: a macro that nobody replaced, a word for nobody, an address, or longer than 512 characters')
  return { kind: 'set', partner, uid, image }
}
