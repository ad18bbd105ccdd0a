// What becomes of a sync with a partner: a closed list, each a label of `madeleine_sync_total`.

import type { CollectCounts } from '../collect/counts.ts'
import type { KnownPartner } from './partners.ts'

export const SYNC_OUTCOMES = [
  /** The partner's id is in the match table, or is out of it again. */
  'stored',
  'ended',
  /** In the cookie only: the browser has no id of ours, and keeps none. */
  'no_visitor',
  /** The browser was told the partner's address, or was not: it is in sync, another kind was asked for, or the page view has had its share. */
  'offered',
  'in_sync',
  'filtered',
  'over_budget',
  /** A browser was sent back to a partner, with an id or with an empty one. */
  'answered',
  'answered_empty',
  /** Nothing was exchanged. */
  'opted_out',
  'refused',
  'robot',
  'invalid',
  'unregistered',
  'failed',
] as const
export type SyncOutcome = (typeof SYNC_OUTCOMES)[number]

/** Without a partner where nobody was named, or nobody we know. */
export const countSync = ({ syncs }: CollectCounts, partner: KnownPartner | undefined, outcome: SyncOutcome): void =>
  syncs.add(`${partner?.key ?? ''}:${outcome}`)
