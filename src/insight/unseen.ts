// Event names that rules ask for and that never came in: probably misspelt, or not yet sent.

import { nearest } from '../core/nearest.ts'
import type { Store } from '../engine/store.ts'
import type { EventPlace } from '../settings/segments.ts'

export type Unseen = EventPlace & { readonly message: string }

/** Nothing where no event is stored at all: a new installation has seen none. */
export async function findUnseen(
  store: Store,
  named: readonly EventPlace[],
  retentionMs: number,
  nowMs: number,
): Promise<Unseen[]> {
  const rows = await store.rows<{ event: string }>({
    owner: 'insight.unseen',
    sql: "SELECT DISTINCT event FROM madeleine.events WHERE ts > fromUnixTimestamp64Milli({from:Int64}, 'UTC')",
    values: { from: nowMs - retentionMs },
  })
  const seen = rows.map(({ event }) => event)
  if (seen.length === 0) return []
  return named.flatMap((place) => {
    if (seen.includes(place.name)) return []
    const meant = nearest(place.name, seen)
    const hint = meant === undefined ? '' : `; did you mean \`${meant}\`?`
    return [{ ...place, message: `no event called \`${place.name}\` has come in${hint}` }]
  })
}
