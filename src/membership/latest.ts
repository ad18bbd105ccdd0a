// Which build counts: of each audience, the last one that was finished.

import type { AudienceId } from '../core/ids.ts'
import type { Store } from '../engine/store.ts'

export type LatestBuild = { readonly build: number; readonly asOfMs: number; readonly size: number }

export async function readLatestBuilds(store: Store, retentionMs: number, nowMs: number): Promise<Map<AudienceId, LatestBuild>> {
  const rows = await store.rows<{ audience: AudienceId; build: number; asOfMs: number; size: number }>({
    owner: 'membership.latest',
    sql: `SELECT audience, max(builds.build) AS build, argMax(toUnixTimestamp64Milli(as_of), builds.build) AS asOfMs, argMax(builds.size, builds.build) AS size
          FROM madeleine.builds WHERE as_of > fromUnixTimestamp64Milli({from:Int64}, 'UTC') GROUP BY audience`,
    values: { from: nowMs - retentionMs },
  })
  return new Map(rows.map(({ audience, ...latest }) => [audience, latest]))
}
