// The addresses that a sync is made of: ours, from outside; the callback to which a partner sends its id; the partner's own with everything filled in.

import type { ConsentSignals } from '../consent/signals.ts'
import type { VisitorId } from '../core/ids.ts'
import { idForPartner } from '../identity/partner-id.ts'
import { fillSyncTemplate, parseOrigin } from '../settings/sync-template.ts'
import type { KnownPartner } from './partners.ts'

/** As configured, or as the browser says it has reached us: a proxy with TLS stands before all but this machine. Undefined where it says nothing usable. */
export function ownOrigin(publicUrl: string | undefined, host: string | undefined): string | undefined {
  if (publicUrl !== undefined) return publicUrl
  if (host === undefined || !/^(?:[a-z0-9.-]+|\[[\da-f:.]+\])(?::\d{1,5})?$/i.test(host)) return undefined
  return parseOrigin(`http://${host}`) ?? parseOrigin(`https://${host}`)
}

export type SyncContext = {
  readonly origin: string
  readonly signals: ConsentSignals
  readonly visitor: VisitorId | undefined
  readonly key: string
}

/** Prebid Server's default callback, with `us_privacy` where there was one: `/setuid` weighs it too. */
export function callbackOf(partner: KnownPartner, { origin, signals }: SyncContext): string {
  const { gdpr = '', gdprConsent = '', gpp = '', gppSid = '', usPrivacy } = signals
  const given = { bidder: partner.key, gdpr, gdpr_consent: gdprConsent, gpp, gpp_sid: gppSid }
  const query = new URLSearchParams(usPrivacy ? { ...given, us_privacy: usPrivacy } : given)
  // The macro as it is: the partner looks for it in the decoded text.
  return `${origin}/setuid?${query}&f=${partner.sync?.type === 'iframe' ? 'b' : 'i'}&uid=${partner.sync?.uidMacro ?? ''}`
}

/** Undefined where the partner needs an id of ours and the browser has none. */
export function syncAddress(partner: KnownPartner, context: SyncContext): string | undefined {
  if (!partner.sync) return undefined
  const { template } = partner.sync
  const { signals, visitor, key } = context
  if (visitor === undefined && isTold(partner)) return undefined
  return fillSyncTemplate(template, {
    gdpr: signals.gdpr ?? '',
    gdpr_consent: signals.gdprConsent ?? '',
    us_privacy: signals.usPrivacy ?? '',
    gpp: signals.gpp ?? '',
    gpp_sid: signals.gppSid ?? '',
    our_id: visitor === undefined ? '' : idForPartner(key, partner.key, visitor),
    redirect: callbackOf(partner, context),
  })
}

const holds = (partner: KnownPartner, macro: string): boolean =>
  partner.sync?.template.parts.some((part) => typeof part !== 'string' && part.macro === macro) ?? false
/** Whether the partner is told our id. */
const isTold = (partner: KnownPartner): boolean => holds(partner, 'our_id')
/** Without a callback in its address nothing may ever come back. */
export const isPush = (partner: KnownPartner): boolean => !holds(partner, 'redirect')
