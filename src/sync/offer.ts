// What a page view is offered: the chosen partners with their addresses. The visitor gets an id here where the browser keeps one, and partners who answer
// nothing are remembered in the cookie as told.

import type { CollectorParts } from '../collect/answer.ts'
import { isPush, ownOrigin, syncAddress } from './address.ts'
import { type Chosen, chooseSyncs, type SyncAsk } from './choose.ts'
import { countSync } from './outcomes.ts'
import type { PageSync } from './page.ts'
import { identify, type SyncRequest, type SyncSettings, setUids } from './request.ts'
import { withPushes } from './uids.ts'

export type Offer = {
  readonly syncs: readonly PageSync[]
  readonly omitted: Chosen['omitted']
  readonly setCookies: readonly string[]
}

const NOTHING: Offer = { syncs: [], omitted: [], setCookies: [] }

export function offerSyncs(
  request: SyncRequest,
  ask: SyncAsk,
  host: string | undefined,
  parts: CollectorParts,
  { partners, publicUrl, key }: SyncSettings,
): Offer {
  const { nowMs, signals, gate, uids } = request
  const origin = ownOrigin(publicUrl, host)
  if (request.isRobot || request.isOptedOut) {
    countSync(parts.counts, undefined, request.isOptedOut ? 'opted_out' : 'robot')
    return NOTHING
  }
  if (origin === undefined) return NOTHING
  const chosen = chooseSyncs(partners, { ask, gate, uids }, { nowMs, turn: nowMs })
  for (const { partner, why } of chosen.omitted) countSync(parts.counts, partner, why === 'unknown' ? 'invalid' : why)
  if (chosen.partners.length === 0) return { ...NOTHING, omitted: chosen.omitted }
  const { visitor, setCookies } = identify(request, parts, 'new')
  const syncs = chosen.partners.flatMap((partner) => {
    const address = syncAddress(partner, { origin, signals, visitor, key })
    countSync(parts.counts, partner, address === undefined ? 'no_visitor' : 'offered')
    return address === undefined ? [] : [{ partner, address }]
  })
  const told = syncs.filter(({ partner }) => isPush(partner)).map(({ partner }) => partner.key)
  const remembered = told.length === 0 ? [] : [setUids(withPushes(uids, told, nowMs), request)]
  return { syncs, omitted: chosen.omitted, setCookies: [...setCookies, ...remembered] }
}
