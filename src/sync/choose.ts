// Which partners a page view syncs: those that are due, may be synced and fit what was asked for, up to the budget. Pure: `turn` decides who comes first, so
// that partners who never answer do not keep the others waiting for ever.

import type { Gate } from './gate.ts'
import type { KnownPartner, Partners } from './partners.ts'
import { syncedAtMs, type Uids } from './uids.ts'

export type SyncKind = 'redirect' | 'iframe'

export type SyncAsk = {
  /** Partners by name; undefined: all. */
  readonly names: readonly string[] | undefined
  /** After those, any others. */
  readonly coop: boolean
  readonly limit: number
  allows(name: string, kind: SyncKind): boolean
}

/** Why a partner is left out. */
export const OMISSIONS = ['unknown', 'in_sync', 'refused', 'filtered', 'over_budget'] as const
export type Omission = (typeof OMISSIONS)[number]

export type Chosen = {
  readonly partners: readonly KnownPartner[]
  readonly omitted: readonly { readonly name: string; readonly partner: KnownPartner | undefined; readonly why: Omission }[]
}

const turned = <T>(list: readonly T[], turn: number): readonly T[] => {
  const at = list.length === 0 ? 0 : turn % list.length
  return [...list.slice(at), ...list.slice(0, at)]
}

export const isDue = ({ key, sync }: KnownPartner, { entries }: Uids, nowMs: number): boolean => {
  const uid = entries.get(key)
  return sync !== undefined && (uid === undefined || nowMs - syncedAtMs(uid) >= sync.refreshMs)
}

export function chooseSyncs(
  partners: Partners,
  { ask, gate, uids }: { readonly ask: SyncAsk; readonly gate: Gate; readonly uids: Uids },
  { nowMs, turn }: { readonly nowMs: number; readonly turn: number },
): Chosen {
  const named = [...new Set((ask.names ?? []).map((name) => name.toLowerCase()))]
  const candidates: string[] = [...turned(named, turn)]
  if (ask.coop || ask.names === undefined) {
    const others = partners.all.filter(({ key, sync }) => sync !== undefined && !named.includes(key)).map(({ key }) => key)
    candidates.push(...turned(others, turn))
  }
  const chosen: KnownPartner[] = []
  const omitted: Chosen['omitted'][number][] = []
  for (const name of candidates) {
    const partner = partners.byName(name)
    const leave = (why: Omission) => omitted.push({ name, partner, why })
    if (!partner?.sync) leave('unknown')
    else if (gate.kind === 'closed' || !gate.maySync(partner)) leave('refused')
    else if (!isDue(partner, uids, nowMs)) leave('in_sync')
    else if (!ask.allows(partner.key, partner.sync.type)) leave('filtered')
    else if (chosen.length >= ask.limit) leave('over_budget')
    else chosen.push(partner)
  }
  return { partners: chosen, omitted }
}
