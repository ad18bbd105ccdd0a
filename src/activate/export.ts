// `export`: brings every destination up to date with the last tick.

import { resolve } from 'node:path'
import { messageOf } from '../core/errors.ts'
import type { AudienceId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import type { Store } from '../engine/store.ts'
import type { AudienceRules } from '../membership/build.ts'
import { readStandings } from '../membership/standing.ts'
import type { Destination } from '../settings/load.ts'
import {
  commitDelivery,
  type DeliveryKind,
  prepareDelivery,
  readChanges,
  readDelivery,
  readLastDelivery,
  readWritten,
} from './delivery.ts'
import { writeDeliveryFile } from './file.ts'

export type AudienceDelivery = {
  readonly audience: AudienceId
  readonly as: string
  readonly added: number
  readonly removed: number
  /** Visitors that were to be added and were not. */
  readonly skipped: number
  /** Why something was not sent: what the audience is if not complete (`not_built`, `stale`, `waiting_for_list`, `failed`), `below_minimum_size`, or the failure's text. */
  readonly reason: string | undefined
  readonly failed: boolean
  readonly file: string | undefined
}

export type DestinationDelivery = {
  readonly id: string
  /** Visitors. */
  readonly added: number
  readonly removed: number
  readonly skipped: number
  /** Audiences. */
  readonly failed: number
  readonly audiences: readonly AudienceDelivery[]
}

export type ExportOptions = {
  readonly store: Store
  /** Every audience that there is. */
  readonly known: AudienceRules
  readonly destinations: readonly Destination[]
  readonly data: string
  readonly retentionMs: number
  readonly kind: DeliveryKind
  readonly dryRun: boolean
  readonly now: () => number
}

type Entry = Destination['audiences'][number]

export async function exportAudiences(options: ExportOptions): Promise<DestinationDelivery[]> {
  const { store, known, destinations, data, retentionMs, kind, dryRun, now } = options
  let lastDelivery = await readLastDelivery(store)

  /** Deliveries are numbered by their moment and never go back, whatever the clock does: the last one that names a visitor is the one that counts. */
  function nextDelivery(): number {
    lastDelivery = Math.max(now(), lastDelivery + 1)
    return lastDelivery
  }

  async function deliver(destination: Destination, { audience, as }: Entry): Promise<AudienceDelivery> {
    const nothing = { audience, as, added: 0, removed: 0, skipped: 0, reason: undefined, failed: false, file: undefined }
    const nowMs = now()
    const { last, of } = await readStandings(store, known, retentionMs)
    const stands = of(audience)
    if (!last || stands !== 'complete') return { ...nothing, reason: stands, failed: stands !== 'waiting_for_list' }
    const { id, vendorId } = destination
    const target = { destination: id, audience, tick: last.tick, asOfMs: last.atMs, vendorId }
    const moment = { nowMs, retentionMs }
    const changes = await readChanges(store, target, moment)
    // Too few to hide in: nobody is added. Removals always go out, as changes.
    const adds = changes.eligible >= destination.minimumSize
    const sent: DeliveryKind = adds ? kind : 'delta'
    const wanted = kind === 'full' ? changes.eligible : changes.add
    const withheld = adds ? {} : { skipped: wanted, reason: wanted > 0 ? 'below_minimum_size' : undefined }
    const planned = { added: adds ? wanted : 0, removed: changes.remove }
    const isNeeded = planned.added + planned.removed > 0 || (sent === 'full' && changes.held > 0)
    if (!isNeeded || dryRun) return { ...nothing, ...withheld, ...(isNeeded ? planned : {}) }
    const delivery = nextDelivery()
    await prepareDelivery(store, delivery, target, moment, { kind: sent, adds })
    const written = await readWritten(store, delivery, target)
    const pages = readDelivery(store, delivery, target, LIMITS.pageRows)
    const file = await writeDeliveryFile(
      { path: resolve(data, destination.path), as, format: destination.format, kind: sent },
      pages,
      nowMs,
    )
    await commitDelivery(store, delivery, target, { kind: sent, ...written, atMs: nowMs })
    return { ...nothing, ...withheld, ...written, file }
  }

  const done: DestinationDelivery[] = []
  for (const destination of destinations) {
    const audiences: AudienceDelivery[] = []
    for (const entry of destination.audiences) {
      try {
        audiences.push(await deliver(destination, entry))
      } catch (error) {
        audiences.push({ ...entry, added: 0, removed: 0, skipped: 0, reason: messageOf(error), failed: true, file: undefined })
      }
    }
    const sum = (of: (audience: AudienceDelivery) => number) => audiences.reduce((total, audience) => total + of(audience), 0)
    done.push({
      id: destination.id,
      added: sum((audience) => audience.added),
      removed: sum((audience) => audience.removed),
      skipped: sum((audience) => audience.skipped),
      failed: sum((audience) => (audience.failed ? 1 : 0)),
      audiences,
    })
  }
  return done
}
