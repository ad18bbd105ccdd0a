// Whether consent must be looked up visitor by visitor: only where somebody has refused something.

import { contestSql } from '../consent/standing.ts'
import type { Permission } from '../core/permissions.ts'
import type { Store } from '../engine/store.ts'

export async function readUncontested(
  store: Store,
  { atMs, nowMs, retentionMs }: { readonly atMs: number; readonly nowMs: number; readonly retentionMs: number },
  permission: Permission = 'profile',
): Promise<boolean> {
  const [row] = await store.rows<{ n: number }>({
    owner: 'membership.contest',
    sql: contestSql(permission, "fromUnixTimestamp64Milli({from:Int64}, 'UTC')"),
    values: { from: Math.max(atMs, nowMs) - retentionMs },
  })
  return row?.n === 0
}
