// Who may be synced, and with whom. The strictest signal counts, as everywhere; under a TC string a partner is asked for by its own vendor number, as if it
// were us, and one that has none on the list has no consent.

import { type ConsentPolicy, type ConsentRefusal, type ConsentSignals, decideConsent } from '../consent/signals.ts'
import { type Permission, permits } from '../core/permissions.ts'
import type { KnownPartner } from './partners.ts'

export type Gate =
  | {
      readonly kind: 'open'
      /** Purpose 1 for both: the partner's id may be kept here. */
      mayHold(partner: KnownPartner): boolean
      /** And purpose 4 for both: ids are only handed around where an audience could follow. */
      maySync(partner: KnownPartner): boolean
    }
  | { readonly kind: 'closed'; readonly refusal: ConsentRefusal }

export function openGate(signals: ConsentSignals, policy: ConsentPolicy): Gate {
  const own = decideConsent(signals, policy)
  if (own.refusal !== undefined) return { kind: 'closed', refusal: own.refusal }
  function both(partner: KnownPartner, permission: Permission): boolean {
    if (!permits(own.permissions, permission)) return false
    if (own.receivers === 'any') return true // no TC string: nobody was asked about vendors
    const { vendorId } = partner
    return vendorId !== undefined && permits(decideConsent(signals, { ...policy, vendorId }).permissions, permission)
  }
  return {
    kind: 'open',
    mayHold: (partner) => both(partner, 'store'),
    maySync: (partner) => both(partner, 'store') && both(partner, 'activate'),
  }
}
