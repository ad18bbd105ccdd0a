// Names of spool files. A file belongs to one week of `events` (named by its Monday; a partition there holds four) or to a table beside them, and carries one batch number in its
// name and in each of its lines. `.open`: being written. `.ready`: closed, immutable, to be shipped.
// `.split-of-<batch>`: made from a refused file, valid from the moment that file is gone.

import { DAY_MS } from '../core/duration.ts'

export type Batch = bigint

/** Tables beside `events` that are filled through the spool: what a visitor says must survive a kill as what a visitor does. */
export const NOTES = ['signals', 'tombstones', 'matches'] as const
export type Note = (typeof NOTES)[number]
export const isNote = (partition: string): partition is Note => (NOTES as readonly string[]).includes(partition)

export type SpoolName = {
  /** A Monday as yyyymmdd, or the name of a table beside. */
  readonly partition: string
  readonly batch: Batch
  readonly state: 'open' | 'ready' | { readonly splitOf: Batch }
}

const SHAPE = /^(\d{8}|signals|tombstones|matches)-(\d{1,20})\.(open|ready|split-of-(\d{1,20}))$/

export function parseSpoolName(text: string): SpoolName | undefined {
  const match = SHAPE.exec(text)
  if (!match?.[1] || !match[2]) return undefined
  const state = match[4] !== undefined ? { splitOf: BigInt(match[4]) } : (match[3] as 'open' | 'ready')
  return { partition: match[1], batch: BigInt(match[2]), state }
}

export function spoolName({ partition, batch, state }: SpoolName): string {
  return `${partition}-${batch}.${typeof state === 'string' ? state : `split-of-${state.splitOf}`}`
}

/** The Monday (UTC, yyyymmdd) of the week of `ts`, as toMonday(ts) of the partition key of `events`. 1970-01-01 was a Thursday. */
export function partitionOf(tsMs: number): string {
  if (tsMs >= recent.startMs && tsMs < recent.startMs + WEEK_MS) return recent.partition
  recent = weekOf(tsMs)
  return recent.partition
}

type Week = { readonly startMs: number; readonly partition: string }
const WEEK_MS = 7 * DAY_MS
/** Nearly every event is of the week of the one before. */
let recent: Week = weekOf(0)

function weekOf(tsMs: number): Week {
  const days = Math.floor(tsMs / DAY_MS)
  const monday = days - ((((days + 3) % 7) + 7) % 7)
  const startMs = monday * DAY_MS
  return { startMs, partition: new Date(startMs).toISOString().slice(0, 10).replaceAll('-', '') }
}

/** First moment of a partition's week. */
export function partitionStartMs(partition: string): number {
  return Date.parse(`${partition.slice(0, 4)}-${partition.slice(4, 6)}-${partition.slice(6, 8)}T00:00:00Z`)
}
