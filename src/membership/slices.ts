// Visitors in slices, so that a pass over any number of events needs a bounded memory: neighbours in the order of the table's key, so that a slice reads
// its own rows and few others.

import type { Store } from '../engine/store.ts'
import { Binder } from '../rules/binder.ts'
import { inRange, type Range } from '../rules/print.ts'

/** Ids drawn at random to find where slices of equal numbers of events end: with 10,000, slices of a hundredth differ by some 10 %. */
const SAMPLE = 10_000

/** Ranges of about so many stored events each, which together hold everybody within a range. One that holds a single visitor is not cut further. */
export async function sliceVisitors(
  store: Store,
  { eventsASlice, within }: { readonly eventsASlice: number; readonly within: Range },
): Promise<Range[]> {
  const binder = new Binder()
  const [row] = await store.rows<{ events: number; sample: string[] }>({
    owner: 'membership.slices',
    sql: `SELECT count() AS events, arrayMap(id -> toString(id), arraySort(groupArraySample(${SAMPLE}, 1)(visitor))) AS sample
          FROM madeleine.events WHERE true${inRange(within)(binder)}`,
    values: binder.values,
  })
  const { events = 0, sample = [] } = row ?? {}
  const slices = Math.max(1, Math.ceil(events / eventsASlice))
  const ends = Array.from({ length: slices - 1 }, (_, n) => sample[Math.floor(((n + 1) * sample.length) / slices)])
  const distinct = [...new Set(ends.filter((end) => end !== undefined && end !== within.from && end !== sample[0]))]
  const cuts = [within.from, ...distinct, within.to]
  return cuts.slice(1).map((to, n) => ({ from: cuts[n], to }))
}
