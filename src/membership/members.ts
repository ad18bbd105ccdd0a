// Who is in: the last build's members, or today's rules on the events up to a moment.

import type { AudienceId } from '../core/ids.ts'
import type { Store } from '../engine/store.ts'
import type { Moment } from '../rules/print.ts'
import { readLatestBuilds } from './latest.ts'
import { type Audience, DEFAULT_LIMITS, type PassLimits, passOver } from './pass.ts'

export type Members = {
  readonly asOfMs: number
  readonly audiences: readonly { readonly id: AudienceId; readonly members: readonly string[] }[]
}

type Row = { readonly audience: AudienceId; readonly members: readonly string[] }

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
  })
  return new Map([...members].map(([id, found]) => [id, [...found].sort()]))
}

async function readBuilt(
  store: Store,
  ids: readonly AudienceId[],
  build: number,
  nowMs: number,
): Promise<Map<AudienceId, readonly string[]>> {
  const rows = await store.rows<Row>({
    owner: 'membership.members',
    sql: `SELECT audience, arraySort(groupUniqArray(toString(visitor))) AS members FROM madeleine.members
          WHERE build = {build:UInt64} AND audience IN {ids:Array(String)} AND expires > fromUnixTimestamp64Milli({now:Int64}, 'UTC') GROUP BY audience`,
    values: { build, ids, now: nowMs },
  })
  return new Map(rows.map((row) => [row.audience, row.members]))
}

/**
 * Of the last build that any of the audiences was in, at its moment. An audience that was not in that build is evaluated at the same moment, so that the
 * answer has one; where none was ever built, all are evaluated now.
 */
export async function readMembers(
  store: Store,
  audiences: readonly Audience[],
  { retentionMs, nowMs, limits }: { readonly retentionMs: number; readonly nowMs: number; readonly limits?: PassLimits },
): Promise<Members> {
  const latest = await readLatestBuilds(store, retentionMs, nowMs)
  const builds = audiences.flatMap(({ id }) => latest.get(id) ?? [])
  const last = builds.reduce<(typeof builds)[number] | undefined>(
    (newest, build) => (newest && newest.build >= build.build ? newest : build),
    undefined,
  )
  const atMs = last?.asOfMs ?? nowMs
  const isBuilt = ({ id }: Audience) => last !== undefined && latest.get(id)?.build === last.build
  const fromBuild = audiences.filter(isBuilt)
  const built = last
    ? await readBuilt(
        store,
        fromBuild.map(({ id }) => id),
        last.build,
        nowMs,
      )
    : new Map<AudienceId, readonly string[]>()
  // Newer builds may have swept this one away between the two questions. Rather than an empty answer, the same rules at the same moment.
  const isSwept = ({ id }: Audience) => !built.has(id) && (latest.get(id)?.size ?? 0) > 0
  const evaluated = await evaluateMembers(
    store,
    audiences.filter((audience) => !isBuilt(audience) || isSwept(audience)),
    { atMs, nowMs, retentionMs },
    limits,
  )
  return { asOfMs: atMs, audiences: audiences.map(({ id }) => ({ id, members: built.get(id) ?? evaluated.get(id) ?? [] })) }
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
