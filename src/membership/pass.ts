// One pass over the events for any number of audiences, in as many statements as memory asks for.
//
// A statement runs in one thread and several run at once: an aggregation in threads would hand on its groups in hundreds of small blocks, and with
// thousands of columns the handling of blocks is then most of the work (a third of the time of 200 audiences).

import { StoreRefused } from '../core/errors.ts'
import type { AudienceId } from '../core/ids.ts'
import type { ReadWork, Settings, Store } from '../engine/store.ts'
import type { Printed } from '../rules/binder.ts'
import { clausesOf } from '../rules/clauses.ts'
import { layOut } from '../rules/masks.ts'
import { type Plan, planAudiences } from '../rules/plan.ts'
import { EVERYBODY, inRange, type Moment, printMany, printPlan, printTexts, type Range } from '../rules/print.ts'
import { TEXTS_MAX } from '../rules/print-marks.ts'
import type { ResolvedRule } from '../rules/rule.ts'
import { makeBatches } from '../spool/batches.ts'
import { readUncontested } from './contest.ts'
import { sliceVisitors } from './slices.ts'

export type Audience = {
  readonly id: AudienceId
  readonly rule: ResolvedRule
  /** Why what it is made of could not be made: it says `failed`, whatever its members are. */
  readonly refused?: string | undefined
}
/** A statement of printPlan, and the settings to run it with. */
export type PassStatement = Printed & { readonly settings: Settings }

/** What all statements of a pass together may use in the engine; and, where somebody wants to say so, how many events each is given. */
export type PassLimits = { readonly memoryBytes: number; readonly eventsASlice?: number }
/** Where nobody says otherwise: see `segmenter.memory` in the settings. */
export const DEFAULT_LIMITS: PassLimits = { memoryBytes: 2 * 1024 ** 3 }

/** Statements at once. */
const WORKERS = 2
/** Measured with 8 words (200 audiences): 3.1 GiB for 15 M events under way, of which 0.4 are the engine's own. */
const BYTES_AN_EVENT_AND_WORD = 32
/** More than this a slice gains nothing: the groups no longer fit the processor's cache. With a thousand audiences 4 M events took twice as long as two times 2 M. */
const WORDS_A_SLICE_MAX = 48_000_000
const EVENTS_A_SLICE_MAX = 4_000_000
/** Where even a few visitors do not fit, memory is not the matter. */
const EVENTS_A_SLICE_MIN = 10_000
const MEMORY_LIMIT_EXCEEDED = 241

function sliceSize({ memoryBytes, eventsASlice: wanted }: PassLimits, words: number): number {
  if (wanted !== undefined) return wanted
  const fitting = memoryBytes / WORKERS / (BYTES_AN_EVENT_AND_WORD * Math.max(8, words))
  return Math.floor(Math.min(fitting, EVENTS_A_SLICE_MAX, WORDS_A_SLICE_MAX / Math.max(8, words)))
}

const settingsFor = (memoryBytes: number): Settings => ({
  log_queries: 0, // the ends of slices are visitors, and a server's query_log may outlive retention
  max_threads: 1,
  max_memory_usage: Math.floor(memoryBytes / WORKERS),
  max_bytes_before_external_group_by: Math.floor(memoryBytes / WORKERS / 2),
  group_by_two_level_threshold: 0,
  group_by_two_level_threshold_bytes: 0,
  // A sequence is looked at only where all of its steps are.
  short_circuit_function_evaluation: 'force_enable',
  // Looks for comparisons to join in every AND, for half of the time that the analysis of a thousand audiences takes.
  optimize_and_compare_chain: 0,
  // Five hundred audiences are 50,000 elements of syntax, where a server stops by default.
  max_ast_elements: 10_000_000,
  max_expanded_ast_elements: 10_000_000,
})

/** False where there are too many: then each event's text is tried by itself. */
async function prepareTexts(store: Store, plan: Plan, moment: Moment, pass: bigint): Promise<boolean> {
  for (const { sql, values } of printTexts(plan, moment)) {
    await store.run({
      owner: 'membership.pass',
      sql: `INSERT INTO madeleine.pass_texts (pass, place, text, tried) SELECT {pass:UInt64}, place, text, tried FROM (${sql})`,
      values: { ...values, pass },
    })
  }
  const places = await store.rows<{ texts: number }>({
    owner: 'membership.pass',
    sql: 'SELECT count() AS texts FROM madeleine.pass_texts WHERE pass = {pass:UInt64} GROUP BY place',
    values: { pass },
  })
  return places.every(({ texts }) => texts <= TEXTS_MAX)
}

export type PassOptions = {
  readonly audiences: readonly Audience[]
  readonly moment: Omit<Moment, 'isUncontested'>
  readonly limits: PassLimits
  /** Share of the pass that is done, from 0 to 1. */
  readonly onShare?: ((share: number) => void) | undefined
}

/**
 * Runs `each` with statements that together have a row for every known visitor once (see printPlan). A statement that memory did not suffice for is asked
 * again in two halves: what `each` stores must bear being stored twice. Answers what all statements read, of which `each` says what it knows.
 */
export async function passOver(
  store: Store,
  { audiences, moment, limits, onShare = () => {} }: PassOptions,
  each: (statement: PassStatement) => Promise<ReadWork | undefined>,
): Promise<ReadWork> {
  if (audiences.length === 0) return { rows: 0, bytes: 0 }
  let rows = 0
  let bytes = 0
  const plan = planAudiences(audiences)
  const needsModel = audiences.some(({ rule }) =>
    clausesOf(rule).some(({ leaf }) => leaf.kind === 'list' && leaf.needs === 'model'),
  )
  const whole = {
    ...moment,
    isUncontested: await readUncontested(store, moment),
    isModelUncontested: needsModel && (await readUncontested(store, moment, 'model')),
  }
  const perSlice = sliceSize(limits, layOut(plan, moment.retentionMs).words.length)
  const queue = (await sliceVisitors(store, { eventsASlice: perSlice, within: EVERYBODY })).map((range) => ({
    range,
    events: perSlice,
  }))
  const slices = queue.length
  const pass = makeBatches(Date.now)()
  const settings = settingsFor(limits.memoryBytes)

  async function ask(statement: PassStatement): Promise<void> {
    const read = await each(statement)
    rows += read?.rows ?? 0
    bytes += read?.bytes ?? 0
  }
  async function overSlice(range: Range, prepared: bigint | undefined): Promise<void> {
    const among = inRange(range)
    await ask({ ...printPlan(plan, whole, { among, lane: 16, prepared }), settings })
    // Asked after it: whoever had too many events for the narrow lanes has not fewer now.
    const { sql, values } = printMany(among)
    const [row] = await store.rows<{ many: number }>({ owner: 'membership.pass', sql, values, settings })
    if ((row?.many ?? 0) > 0) await ask({ ...printPlan(plan, whole, { among, lane: 32, prepared }), settings })
  }
  let done = 0
  async function work(prepared: bigint | undefined): Promise<void> {
    for (let next = queue.shift(); next; next = queue.shift()) {
      try {
        await overSlice(next.range, prepared)
        done += next.events / perSlice
        onShare(Math.min(1, done / slices))
      } catch (error) {
        const isTooLarge = error instanceof StoreRefused && error.clickhouseCode === MEMORY_LIMIT_EXCEEDED
        const half = Math.floor(next.events / 2)
        const halves =
          isTooLarge && half >= EVENTS_A_SLICE_MIN ? await sliceVisitors(store, { eventsASlice: half, within: next.range }) : []
        if (halves.length <= 1) {
          queue.length = 0 // the pass has failed: the other statements end, and no more begin
          throw error
        }
        queue.push(...halves.map((range) => ({ range, events: half })))
      }
    }
  }
  try {
    const prepared = (await prepareTexts(store, plan, whole, pass)) ? pass : undefined
    const ended = await Promise.allSettled(Array.from({ length: WORKERS }, () => work(prepared)))
    for (const end of ended) if (end.status === 'rejected') throw end.reason
    return { rows, bytes }
  } finally {
    await store.run({ owner: 'membership.pass', sql: `ALTER TABLE madeleine.pass_texts DROP PARTITION ${pass}` })
  }
}
