// `estimate`: how large audiences are. Exactly where there are few events; otherwise from a sample of visitors that is drawn by their ids alone, never by what they
// did, with an interval. Nothing about fewer visitors than `privacy.minimum_report` leaves this file.

import { contestSql } from '../consent/standing.ts'
import type { AudienceId } from '../core/ids.ts'
import { fourWeeks } from '../engine/migrations/migration.ts'
import type { Settings, Store } from '../engine/store.ts'
import { type Audience, DEFAULT_LIMITS, type PassLimits } from '../membership/pass.ts'
import { Binder, type Printed } from '../rules/binder.ts'
import { planAudiences } from '../rules/plan.ts'
import { printMany, printPlan } from '../rules/print.ts'

export type Estimate = {
  readonly id: AudienceId
  readonly size: number
  readonly exact: boolean
  /** The true size lies between them, both included. */
  readonly low: number
  readonly high: number
  /** In how many of a hundred samples it does; 1 where it always does. */
  readonly confidence: number
  /** The size is below the minimum, or the sample cannot say that it is not: `size` and `low` are 0, and `high` is the same whatever was found. */
  readonly belowMinimum: boolean
  readonly atMs: number
}

export type EstimateOptions = {
  readonly retentionMs: number
  readonly nowMs: number
  readonly minimumReport: number
  readonly limits?: PassLimits
  /** Up to so many events are all read. */
  readonly exactEventsMax?: number
  /** About so many are read of more. At most half of `exactEventsMax`. */
  readonly sampleEvents?: number
}

// Measured on 30 M events in 13 parts, embedded engine, one audience, 2 cores with other work for eight: a sample 0.4 to 1 s, 1.7 M events read whole 0.6 to 0.8 s.
const EXACT_EVENTS_MAX = 2_000_000
const SAMPLE_EVENTS = 1_000_000
const CONFIDENCE = 0.95
/** The normal distribution's 97.5 % point. */
const Z = 1.959964
/** Of fewer visitors in a sample nothing is told, however many they stand for: a rule may be written so that it holds one person. */
const SAMPLE_VISITORS_MIN = 10

/** `share`: the probability with which any one visitor is in it. `among`: which ones they are, as SQL ` AND ...`. */
type Sample = { readonly share: number; readonly among: (binder: Binder) => string }

// The sample is four stripes of the id space, at the same place in each quarter of it by the column's order, which begins with the second half of the text: a random
// UUID of RFC 9562 lies in the third quarter by its variant, a hash that was written as one in any. The table's key finds them, and little else is read (16 stripes
// took twice the time of four, with 13 parts). The place is no round number, since ids written by hand are.
const CELLS = 4
const CELL_BITS = 62n
const STRIPE_START = 0x18722191a02d60fan // 0.382 of a cell: the widest stripe, half of one, has room
const STRIPE_SHARE_MAX = 0.5
const WHOLE: Sample = { share: 1, among: () => '' }

const idAt = (upper: bigint): string => {
  const hex = upper.toString(16).padStart(16, '0')
  return `00000000-0000-0000-${hex.slice(0, 4)}-${hex.slice(4)}`
}

function stripes(wanted: number): Sample {
  const width = BigInt(Math.max(1, Math.round(Math.min(wanted, STRIPE_SHARE_MAX) * 2 ** Number(CELL_BITS))))
  const among = (binder: Binder): string => {
    const ranges = Array.from({ length: CELLS }, (_, cell) => {
      const from = (BigInt(cell) << CELL_BITS) + STRIPE_START
      return `visitor >= ${binder.bind('UUID', idAt(from))} AND visitor < ${binder.bind('UUID', idAt(from + width))}`
    })
    return ` AND (${ranges.join(' OR ')})`
  }
  return { share: Number(width) / 2 ** Number(CELL_BITS), among }
}

/** Reads every row's visitor, and is fair whatever ids look like. */
function hashed(wanted: number): Sample {
  const one = Math.max(2, Math.round(1 / wanted))
  return { share: 1 / one, among: (binder) => ` AND cityHash64(visitor) % ${binder.bind('UInt64', one)} = 0` }
}

const BYTE_VALUES = 256
/** The table's `index_granularity`. */
const EVENTS_A_MARK = 512
const MARKS_MAX = 100_000
/** Of the ids looked at, how many may have a second half that another one has too. Of random ones none does. */
const SHARED_HALVES_MAX = 0.01
const PARTS_OF_A_CELL = BYTE_VALUES / CELLS

/**
 * Whether ids are even inside each cell, from how many begin with which byte: Pearson's chi-squared, refused at 6 standard deviations, which even ids reach
 * by chance once in millions of times. A cell's parts may expect less than one id; such a part counts as if it did.
 */
export function areEven(counts: readonly number[]): boolean {
  let squares = 0
  let freedom = 0
  for (let first = 0; first < BYTE_VALUES; first += PARTS_OF_A_CELL) {
    const parts = Array.from({ length: PARTS_OF_A_CELL }, (_, n) => counts[first + n] ?? 0)
    const expected = parts.reduce((sum, n) => sum + n, 0) / PARTS_OF_A_CELL
    if (expected === 0) continue
    for (const found of parts) squares += (found - expected) ** 2 / Math.max(1, expected)
    freedom += PARTS_OF_A_CELL - 1
  }
  return squares <= freedom + 6 * Math.sqrt(2 * freedom)
}

/**
 * Random ids may be sampled by where they lie. Imported ones need not be random: numbers in the text of a UUID, or version 1, which carries the machine, lie in lumps
 * that a stripe holds whole or not at all. The table's index, in memory, has every 512th event's visitor: 59,000 ids of 30 M events in 40 ms; of more events, so
 * many. The first of a part is left out, as it is its smallest.
 */
async function areIdsEven(store: Store, events: number): Promise<boolean> {
  const rows = await store.rows<{ byte: number; ids: number; halves: number }>({
    owner: 'insight.estimate',
    sql: `SELECT toUInt8(bitShiftRight(toUInt128(id), 56)) AS byte, count() AS ids, uniqExact(toUInt64(toUInt128(id))) AS halves FROM (
            SELECT DISTINCT visitor AS id FROM mergeTreeIndex('madeleine', 'events')
            WHERE mark_number > 0 AND rows_in_granule > 0 AND mark_number % {every:UInt64} = 0
          ) GROUP BY byte`,
    values: { every: Math.ceil(events / EVENTS_A_MARK / MARKS_MAX) },
  })
  const counts = new Array<number>(BYTE_VALUES).fill(0)
  for (const { byte, ids } of rows) counts[byte] = ids
  const total = (of: 'ids' | 'halves') => rows.reduce((sum, row) => sum + row[of], 0)
  return total('halves') >= (1 - SHARED_HALVES_MAX) * total('ids') && areEven(counts)
}

/** Of the partitions that retention reaches into: the parts know their rows, and nothing is read. */
async function countEvents(store: Store, fromMs: number): Promise<number> {
  const binder = new Binder()
  const [row] = await store.rows<{ events: number }>({
    owner: 'insight.estimate',
    sql: `SELECT count() AS events FROM madeleine.events WHERE ${fourWeeks('ts')} >= ${fourWeeks(binder.moment(fromMs))}`,
    values: binder.values,
  })
  return row?.events ?? 0
}

const COUNTED = (sql: string): string => `SELECT arrayJoin(held) AS audience, count() AS visitors FROM (${sql}) GROUP BY audience`

/** Visitors of each audience in the sample, in the audiences' order: statements of a pass, in as many threads as there are, and counted where they lie. */
async function countIn(
  store: Store,
  audiences: readonly Audience[],
  { retentionMs, nowMs }: EstimateOptions,
  { among }: Sample,
  memoryBytes: number,
): Promise<number[]> {
  const binder = new Binder()
  const [contest] = await store.rows<{ n: number }>({
    owner: 'insight.estimate',
    sql: contestSql('profile', `${binder.moment(nowMs - retentionMs)}${among(binder)}`), // consent is the visitor's own: others' refusals change nothing
    values: binder.values,
  })
  const moment = { atMs: nowMs, nowMs, retentionMs, isUncontested: contest?.n === 0 }
  const plan = planAudiences(audiences)
  const settings: Settings = {
    max_memory_usage: memoryBytes,
    max_bytes_before_external_group_by: Math.floor(memoryBytes / 2),
    short_circuit_function_evaluation: 'force_enable',
    optimize_and_compare_chain: 0,
    max_ast_elements: 10_000_000,
    max_expanded_ast_elements: 10_000_000,
  }
  const found = audiences.map(() => 0)
  async function add({ sql, values }: Printed): Promise<void> {
    const rows = await store.rows<{ audience: number; visitors: number }>({
      owner: 'insight.estimate',
      sql: COUNTED(sql),
      values,
      settings,
    })
    for (const { audience, visitors } of rows) found[audience - 1] = (found[audience - 1] ?? 0) + visitors
  }
  // At once, though whoever crosses the line between the two is then in neither: of a size that is estimated, one.
  const [[row]] = await Promise.all([
    store.rows<{ many: number }>({ owner: 'insight.estimate', ...printMany(among), settings }),
    add(printPlan(plan, moment, { among, lane: 16, prepared: undefined })),
  ])
  if ((row?.many ?? 0) > 0) await add(printPlan(plan, moment, { among, lane: 32, prepared: undefined }))
  return found
}

type Size = Pick<Estimate, 'size' | 'exact' | 'low' | 'high' | 'confidence' | 'belowMinimum'>

/**
 * Each of an unknown number of members is in the sample with probability `share`, so that the number found is binomial, and divided by the share it is the size, without
 * bias. The interval is Wilson's: all sizes of which what was found is less than Z standard deviations away, the deviation being that of the size in
 * question and not of the estimate, which is what keeps it honest for a few and for none (E. B. Wilson, Probable Inference, JASA 22 (1927), 209-212, there solved
 * for an unknown share; Brown, Cai, DasGupta, Statistical Science 16 (2001), 101-133, on why not the usual one).
 */
export function sizeFrom(found: number, share: number): Size {
  const missed = 1 - share
  const centre = found + (Z ** 2 * missed) / 2
  const half = Z * Math.sqrt(missed * (found + (Z ** 2 * missed) / 4))
  return {
    size: Math.round(found / share),
    exact: false,
    low: Math.max(found, Math.floor((centre - half) / share)),
    high: Math.ceil((centre + half) / share),
    confidence: CONFIDENCE,
    belowMinimum: false,
  }
}

/**
 * Nobody learns whether there are none or some below the minimum, so a hidden size is not called exact. Of a sample a size is told where its whole interval
 * is at the minimum or above, and enough visitors were in fact seen.
 */
export function toldSize(found: number, share: number, minimum: number): Size {
  const none = { size: 0, exact: false, low: 0, belowMinimum: true }
  if (share === 1)
    return minimum > 1 && found < minimum
      ? { ...none, high: minimum - 1, confidence: 1 }
      : { size: found, exact: true, low: found, high: found, confidence: 1, belowMinimum: false }
  if (minimum <= 1) return sizeFrom(found, share)
  let least = Math.min(minimum, SAMPLE_VISITORS_MIN)
  while (sizeFrom(least, share).low < minimum) least++
  return found < least ? { ...none, high: sizeFrom(least - 1, share).high, confidence: CONFIDENCE } : sizeFrom(found, share)
}

/**
 * The sizes of several audiences take one reading. The sample is the same each time while the events are: two rules are compared on the same visitors, and asking again
 * and again tells nothing more. Where ids are not random the sample is drawn by their hash, which takes longer as every row's visitor is read.
 */
export async function estimateSizes(
  store: Store,
  audiences: readonly Audience[],
  options: EstimateOptions,
): Promise<readonly Estimate[]> {
  const { nowMs, retentionMs, minimumReport, limits = DEFAULT_LIMITS } = options
  const { exactEventsMax = EXACT_EVENTS_MAX, sampleEvents = SAMPLE_EVENTS } = options
  const events = await countEvents(store, nowMs - retentionMs)
  const wanted = sampleEvents / events
  const sample = events <= exactEventsMax ? WHOLE : (await areIdsEven(store, events)) ? stripes(wanted) : hashed(wanted)
  const found = await countIn(store, audiences, options, sample, limits.memoryBytes)
  return audiences.map(({ id }, n) => ({ id, ...toldSize(found[n] ?? 0, sample.share, minimumReport), atMs: nowMs }))
}
