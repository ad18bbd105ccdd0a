// What the collector's answers have in common: headers, the image, and the making durable that every yes waits for.

import { createHash, timingSafeEqual } from 'node:crypto'
import { MadeleineError, messageOf } from '../core/errors.ts'
import { log } from '../core/log.ts'
import type { Tombstone } from '../identity/tombstones.ts'
import type { Spool } from '../spool/spool.ts'
import type { Locate } from './address.ts'
import { type CollectCounts, countDecision } from './counts.ts'
import type { DecideSettings } from './decide.ts'
import type { Hit, HitParts } from './hit.ts'
import { takeBack } from './opt-out.ts'

export type CollectorParts = HitParts & {
  readonly settings: DecideSettings & { readonly allowedOrigins: readonly string[] }
  readonly spool: Pick<Spool, 'append' | 'counts'>
  readonly apiKey: string | undefined
  readonly locate: Locate
  /** Tells other collectors of an opt-out. */
  readonly shareTombstones: (tombstones: readonly Tombstone[]) => void
  readonly tag: string
  readonly now: () => number
  readonly counts: CollectCounts
}

/** The smallest transparent GIF: an image, because `<img>` fires `error` on an empty answer. */
const GIF = Buffer.from('R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7', 'base64')
export const GIF_BYTES = GIF.length
/** As text of one byte a character: Node then sends it in one piece with the headers, which is cheaper than gathering two. */
export const GIF_LATIN1 = GIF.toString('latin1')

export const NOT_CACHED = {
  'cache-control': 'no-store, no-cache, must-revalidate, private, max-age=0',
  pragma: 'no-cache',
  expires: '0',
  'cross-origin-resource-policy': 'cross-origin', // a page with COEP require-corp blocks the image without it
  'x-content-type-options': 'nosniff',
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()

export type HasKey = (authorization: string | undefined) => boolean

export function keyCheck(apiKey: string | undefined): HasKey {
  const expected = apiKey === undefined ? undefined : digest(`Bearer ${apiKey}`)
  return (authorization) =>
    expected !== undefined && authorization !== undefined && timingSafeEqual(digest(authorization), expected)
}

export type Kept = Pick<Hit, 'events' | 'decisions' | 'notes' | 'foreignCookies' | 'askAgain'>

/** Makes durable what a hit leaves, and counts it. False where the disk did not take it: then nothing is counted. */
export async function keep(parts: CollectorParts, hit: Kept, nowMs: number): Promise<boolean> {
  const { spool, counts, shareTombstones } = parts
  try {
    if (hit.events.length > 0 || hit.notes) await spool.append(hit.events, hit.notes)
  } catch (error) {
    // Of a refusal the spool has told itself, once a second and not for each request.
    if (!(error instanceof MadeleineError)) log.error({ err: messageOf(error) }, 'events could not be written down')
    if (hit.notes) takeBack(hit.notes, parts, nowMs)
    return false
  }
  if (hit.notes?.tombstones) shareTombstones(hit.notes.tombstones)
  counts.foreignCookies += hit.foreignCookies
  if (hit.askAgain) counts.askedAgain++
  else for (const decision of hit.decisions) countDecision(counts, decision)
  return true
}
