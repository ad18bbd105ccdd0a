// How an audience stands: whether its members are those of its rule, and up to when. Only what is complete is delivered.

import type { AudienceId } from '../core/ids.ts'
import type { Store } from '../engine/store.ts'
import { listsOf } from '../rules/clauses.ts'
import type { ResolvedRule } from '../rules/rule.ts'
import { type AudienceLog, isCurrent, keyOf, readAudienceLog, readGenerations } from './log.ts'
import { readLastTick, type Tick } from './ticks.ts'

/** `stale`: its rule, or a list that it reads, is another since its members were found. */
export type Standing = 'complete' | 'not_built' | 'stale' | 'waiting_for_list' | 'failed'

export type Standings = { readonly last: Tick | undefined; of(id: AudienceId): Standing }

type Rules = ReadonlyMap<AudienceId, { readonly rule: ResolvedRule; readonly refused?: string | undefined }>

export async function readStandings(store: Store, known: Rules, retentionMs: number): Promise<Standings> {
  const last = await readLastTick(store)
  const log: AudienceLog = last ? await readAudienceLog(store, last.tick) : new Map()
  const generations = await readGenerations(store)
  return {
    last,
    of(id) {
      const logged = log.get(id)
      const rule = known.get(id)?.rule
      if (!logged || !rule || logged.what === 'deleted') return 'not_built'
      if (logged.what === 'failed' || known.get(id)?.refused !== undefined) return 'failed'
      if (!isCurrent(logged) || logged.key !== keyOf({ id, rule }, generations, retentionMs)) return 'stale'
      return listsOf(rule).some((list) => !generations.has(list)) ? 'waiting_for_list' : 'complete'
    },
  }
}
