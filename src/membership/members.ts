// Who is in: as of the last tick, or by today's rules on the events up to a moment.

import type { AudienceId } from '../core/ids.ts'
import type { Store } from '../engine/store.ts'
import type { Moment } from '../rules/print.ts'
import { CURRENT_MEMBERS } from './current.ts'
import { isCurrent, readAudienceLog } from './log.ts'
import { type Audience, DEFAULT_LIMITS, type PassLimits, passOver } from './pass.ts'
import { readStandings, type Standing } from './standing.ts'

export type Members = {
  readonly asOfMs: number
  readonly audiences: readonly {
    readonly id: AudienceId
    readonly members: readonly string[]
    /** How the audience stood at the last tick; undefined where the events alone were asked. */
    readonly state?: Standing
  }[]
}

export async function evaluateMembers(
  store: Store,
  audiences: readonly Audience[],
  moment: Omit<Moment, 'isUncontested'>,
  limits = DEFAULT_LIMITS,
): Promise<Map<AudienceId, readonly string[]>> {
  const members = new Map<AudienceId, Set<string>>()
  await passOver(store, { audiences, moment, limits }, async ({ sql, values, settings }) => {
    const rows = await store.rows<{ audience: number; members: readonly string[] }>({
      owner: 'membership.evaluate',
      sql: `SELECT arrayJoin(held) AS audience, groupArray(toString(visitor)) AS members FROM (${sql}) GROUP BY audience`,
      values,
      settings,
    })
    for (const row of rows) {
      const id = audiences[row.audience - 1]?.id
      if (id === undefined) continue
      const found = members.get(id) ?? new Set()
      members.set(id, found)
      for (const visitor of row.members) found.add(visitor)
    }
    return undefined
  })
  return new Map([...members].map(([id, found]) => [id, [...found].sort()]))
}

async function readWritten(store: Store, audience: AudienceId, tick: number, nowMs: number): Promise<readonly string[]> {
  const [row] = await store.rows<{ members: readonly string[] }>({
    owner: 'membership.members',
    sql: `SELECT arraySort(groupArray(toString(visitor))) AS members FROM (${CURRENT_MEMBERS})`,
    values: { audience, tick, now: nowMs },
  })
  return row?.members ?? []
}

export type ReadOptions = {
  readonly retentionMs: number
  readonly nowMs: number
  readonly limits?: PassLimits
  /** A server keeps them. What one kept that runs no more is as if never built. */
  readonly isServed?: boolean
}

/**
 * Of the last tick, at its moment. An audience that was never built, or that a tick has left behind, is evaluated at the same moment, so that the answer has one; where
 * there was no tick, all are evaluated now. One whose rule has changed since the tick has the members of the old rule, and says `stale`.
 */
export async function readMembers(
  store: Store,
  audiences: readonly Audience[],
  { retentionMs, nowMs, limits, isServed = false }: ReadOptions,
): Promise<Members> {
  const standings = await readStandings(store, new Map(audiences.map((one) => [one.id, one])), retentionMs)
  const newest = standings.last
  const last = isServed || newest?.maker === 'build' ? newest : undefined
  const log = last ? await readAudienceLog(store, last.tick) : new Map()
  const atMs = last?.atMs ?? nowMs
  const isWritten = ({ id }: Audience) => isCurrent(log.get(id))
  const members = await evaluateMembers(
    store,
    audiences.filter((audience) => !isWritten(audience)),
    { atMs, nowMs: Math.max(nowMs, atMs), retentionMs },
    limits,
  )
  const found = new Map(members)
  for (const audience of audiences)
    if (last && isWritten(audience)) found.set(audience.id, await readWritten(store, audience.id, last.tick, nowMs))
  return { asOfMs: atMs, audiences: audiences.map(({ id }) => ({ id, state: standings.of(id), members: found.get(id) ?? [] })) }
}

export async function readMembersAsOf(
  store: Store,
  audiences: readonly Audience[],
  moment: { atMs: number; nowMs: number; retentionMs: number },
  limits?: PassLimits,
): Promise<Members> {
  const members = await evaluateMembers(store, audiences, moment, limits)
  return { asOfMs: moment.atMs, audiences: audiences.map(({ id }) => ({ id, members: members.get(id) ?? [] })) }
}
