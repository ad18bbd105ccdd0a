// Audiences over everybody: one pass finds who is in, for whoever works with what it found.

import { causeOf, StoreRefused } from '../core/errors.ts'
import type { AudienceId } from '../core/ids.ts'
import { log } from '../core/log.ts'
import type { Store } from '../engine/store.ts'
import { makeBatches } from '../spool/batches.ts'
import { type Audience, type PassLimits, passOver } from './pass.ts'
import type { TouchedMoment } from './verdict.ts'

export type Found = {
  readonly pass: bigint
  readonly audiences: readonly Audience[]
  readonly moment: TouchedMoment
  readonly cost: { readonly rows: number; readonly bytes: number; readonly seconds: number }
}

export type BackfillOptions = {
  readonly audiences: readonly Audience[]
  readonly moment: TouchedMoment
  readonly limits: PassLimits
  readonly onShare?: ((share: number) => void) | undefined
}

/** The engine refuses the pass itself: of the work that follows it nothing was done. */
export class PassRefused extends Error {}

/** Runs `work` on what a pass over everybody finds, which is put away after it. Throws PassRefused. */
export async function withFound<T>(store: Store, options: BackfillOptions, work: (found: Found) => Promise<T>): Promise<T> {
  const { audiences, moment, limits, onShare } = options
  const pass = makeBatches(Date.now)()
  const startedMs = Date.now()
  const { atMs, retentionMs } = moment
  try {
    const read = await passOver(
      store,
      { audiences, moment: { atMs, retentionMs, nowMs: atMs }, limits, onShare },
      ({ sql, values, settings }) =>
        store.run({
          owner: 'membership.pass',
          sql: `INSERT INTO madeleine.evaluated (pass, visitor, held, expires, turns)
                SELECT {number:UInt64}, visitor, held, expires, turns FROM (${sql})`,
          values: { ...values, number: pass },
          settings,
        }),
    ).catch((error: unknown) => {
      throw error instanceof StoreRefused ? new PassRefused(causeOf(error)) : error
    })
    return await work({ pass, audiences, moment, cost: { ...read, seconds: (Date.now() - startedMs) / 1000 } })
  } finally {
    await store.run({ owner: 'membership.pass', sql: `ALTER TABLE madeleine.evaluated DROP PARTITION ${pass}` })
  }
}

/** Audiences over everybody, together; where that is refused, each by itself, so that one that cannot be evaluated takes no other along. Answers why, of those. */
export async function eachFound(
  store: Store,
  options: BackfillOptions,
  work: (found: Found) => Promise<void>,
): Promise<Map<AudienceId, string>> {
  const refused = new Map<AudienceId, string>()
  if (options.audiences.length === 0) return refused
  try {
    await withFound(store, options, work)
  } catch (error) {
    if (!(error instanceof PassRefused)) throw error
    if (options.audiences.length === 1) return new Map(options.audiences.map(({ id }) => [id, error.message]))
    log.warn({ cause: error.message }, 'audiences could not be evaluated together: each by itself')
    for (const audience of options.audiences)
      for (const [id, why] of await eachFound(store, { ...options, audiences: [audience] }, work)) refused.set(id, why)
  }
  return refused
}
