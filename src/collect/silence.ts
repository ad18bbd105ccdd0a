// Sources that have gone quiet: a pixel that fell off a page is seen by nobody but the one who waits for it. A source never heard of is not silent.

import { log } from '../core/log.ts'
import type { Store } from '../engine/store.ts'

export type Silence = {
  /** Every declared source. */
  sources(): readonly { readonly source: string; readonly lastMs: number | undefined; readonly isSilent: boolean }[]
  /** What was heard before we were there. */
  heard(source: string, atMs: number): void
  /** Says once of each source that it has gone silent, and once that it speaks again. */
  tell(): void
}

export type Listened = { readonly id: string; readonly silentAfterMs: number }

/** `lastEventMs`: kept by the collector (counts.ts), by source. */
export function makeSilence(listened: Iterable<Listened>, lastEventMs: Map<string, number>, now: () => number): Silence {
  const declared = [...listened]
  const told = new Set<string>()
  const isSilent = ({ id, silentAfterMs }: Listened): boolean => {
    const lastMs = lastEventMs.get(id)
    return lastMs !== undefined && now() - lastMs > silentAfterMs
  }
  return {
    sources: () =>
      declared.map((source) => ({ source: source.id, lastMs: lastEventMs.get(source.id), isSilent: isSilent(source) })),
    heard(source, atMs) {
      if (atMs > (lastEventMs.get(source) ?? 0)) lastEventMs.set(source, Math.min(atMs, now()))
    },
    tell() {
      for (const source of declared) {
        const was = told.has(source.id)
        const is = isSilent(source)
        if (is && !was) {
          told.add(source.id)
          log.warn({ source: source.id, minutes: Math.floor(source.silentAfterMs / 60_000) }, 'a source has gone silent')
        } else if (was && !is) {
          told.delete(source.id)
          log.warn({ source: source.id }, 'a source that was silent speaks again')
        }
      }
    },
  }
}

/** When each source was heard last, as far back as `sinceMs`, whoever collected it. */
export async function readLastHeard(store: Store, sinceMs: number): Promise<{ source: string; lastMs: number }[]> {
  return store.rows<{ source: string; lastMs: number }>({
    owner: 'collect.silence',
    sql: `SELECT toString(source) AS source, toUnixTimestamp64Milli(max(events.received)) AS lastMs FROM madeleine.events
          WHERE received > fromUnixTimestamp64Milli({since:Int64}, 'UTC') GROUP BY source`,
    values: { since: sinceMs },
  })
}
