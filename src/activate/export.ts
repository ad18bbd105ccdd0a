// `export`: brings every destination up to date with the last build.

import { resolve } from 'node:path'
import { messageOf } from '../core/errors.ts'
import type { AudienceId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import type { Store } from '../engine/store.ts'
import { readLatestBuilds } from '../membership/latest.ts'
import type { Destination } from '../settings/load.ts'
import { commitDelivery, type DeliveryKind, prepareDelivery, readChanges, readDelivery } from './delivery.ts'
import { writeDeliveryFile } from './file.ts'

export type AudienceDelivery = {
  readonly audience: AudienceId
  readonly as: string
  readonly added: number
  readonly removed: number
  /** Visitors that were to be added and were not. */
  readonly skipped: number
  /** Why something was not sent: `not_built`, `below_minimum_size`, or the failure's text. */
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
  readonly destinations: readonly Destination[]
  readonly data: string
  readonly retentionMs: number
  readonly kind: DeliveryKind
  readonly dryRun: boolean
  readonly now: () => number
}

type Entry = Destination['audiences'][number]

export async function exportAudiences(options: ExportOptions): Promise<DestinationDelivery[]> {
  const { store, destinations, data, retentionMs, kind, dryRun, now } = options
  const latest = await readLatestBuilds(store, retentionMs, now())
  let lastDelivery = 0

  async function deliver(destination: Destination, { audience, as }: Entry): Promise<AudienceDelivery> {
    const nothing = { audience, as, added: 0, removed: 0, skipped: 0, reason: undefined, failed: false, file: undefined }
    const build = latest.get(audience)
    if (!build) return { ...nothing, reason: 'not_built', failed: true }
    const target = { destination: destination.id, audience, build: build.build }
    const nowMs = Math.max(now(), lastDelivery + 1)
    lastDelivery = nowMs
    const moment = { nowMs, retentionMs }
    const changes = await readChanges(store, target, moment)
    // Too few to hide in: nobody is added. Removals always go out.
    const adds = changes.eligible >= destination.minimumSize
    const wanted = kind === 'full' ? changes.eligible : changes.add
    const added = adds ? wanted : 0
    const withheld = { skipped: wanted - added, reason: wanted > added ? 'below_minimum_size' : undefined }
    const removed = changes.remove
    const speaks = kind === 'full' ? adds && (added > 0 || changes.held > 0) : added + removed > 0
    if (!speaks || dryRun) return { ...nothing, ...withheld, added: speaks ? added : 0, removed: speaks ? removed : 0 }
    await prepareDelivery(store, nowMs, target, moment, { kind, adds })
    const pages = readDelivery(store, nowMs, target, LIMITS.pageRows)
    const file = await writeDeliveryFile(
      { path: resolve(data, destination.path), as, format: destination.format, kind },
      pages,
      nowMs,
    )
    await commitDelivery(store, nowMs, target, { kind, added, removed, atMs: nowMs })
    return { ...nothing, ...withheld, added, removed, file }
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
