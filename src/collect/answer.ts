// What the collector's answers have in common: headers, the image, and the making durable that every yes waits for.

import { createHash, timingSafeEqual } from 'node:crypto'
import type { Context } from 'hono'
import { MadeleineError, messageOf } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { log } from '../core/log.ts'
import { isOrder, orderOf } from '../event/order.ts'
import type { Tombstone } from '../identity/tombstones.ts'
import type { Spool } from '../spool/spool.ts'
import type { Locate } from './address.ts'
import { type CollectCounts, countDecision } from './counts.ts'
import type { DecideSettings } from './decide.ts'
import type { Hit, HitParts } from './hit.ts'
import { takeBack } from './opt-out.ts'
import type { Orders, Reservation } from './orders.ts'
import type { Readiness } from './ready.ts'

export type CollectorParts = HitParts & {
  readonly settings: DecideSettings & { readonly allowedOrigins: readonly string[] }
  readonly spool: Pick<Spool, 'append'>
  readonly apiKey: string | undefined
  readonly locate: Locate
  /** Tells other collectors of an opt-out. */
  readonly shareTombstones: (tombstones: readonly Tombstone[]) => void
  readonly orders: Orders
  /** Signs measured links. */
  readonly linkKey: string
  readonly tag: string
  readonly now: () => number
  readonly counts: CollectCounts
  /** As Prometheus text. */
  readonly metrics: () => Promise<string>
  readonly readiness: () => Promise<Readiness>
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

/** Pages that read an answer need it; beacons do not. Only configured origins get it, by name. */
export const corsHeaders = (allowed: readonly string[], origin: string | undefined): Record<string, string> =>
  origin === undefined || !allowed.includes(origin)
    ? {}
    : { 'access-control-allow-origin': origin, 'access-control-allow-credentials': 'true', vary: 'Origin' }

export const preflightHeaders = (
  method: 'GET' | 'POST',
  allowed: readonly string[],
  origin: string | undefined,
): Record<string, string> => ({
  ...corsHeaders(allowed, origin),
  'access-control-allow-methods': method,
  'access-control-allow-headers': 'content-type',
  'access-control-max-age': '7200',
})

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()

export const needsKey = (c: Context): Response =>
  c.json({ error: 'this route needs Authorization: Bearer and the API key' }, 401, { ...NOT_CACHED, connection: 'close' })

/** For a body of which the rest is not read: the connection cannot carry another request. */
export const tooLarge = (c: Context): Response =>
  c.json({ error: `the body is larger than ${LIMITS.requestBytes} bytes` }, 413, { ...NOT_CACHED, connection: 'close' })

export type HasKey = (authorization: string | undefined) => boolean

export function keyCheck(apiKey: string | undefined): HasKey {
  const expected = apiKey === undefined ? undefined : digest(`Bearer ${apiKey}`)
  return (authorization) =>
    expected !== undefined && authorization !== undefined && timingSafeEqual(digest(authorization), expected)
}

export type Kept = Pick<Hit, 'events' | 'decisions' | 'notes' | 'foreignCookies' | 'askAgain' | 'setCookies' | 'identity'>

/** Without the orders that are known. An id is made for nobody whose event is not kept. */
export function withoutKnown<K extends Kept>(hit: K, { isNew }: Reservation): K {
  if (!isNew.includes(false)) return hit
  let [order, event] = [0, 0]
  const isKept = hit.events.map((one) => !isOrder(one) || isNew[order++] === true)
  const decisions = hit.decisions.map((decision) =>
    decision.kind !== 'event' || isKept[event++] ? decision : ({ kind: 'drop', reason: 'duplicate_order' } as const),
  )
  const events = hit.events.filter((_, n) => isKept[n])
  const isNobody = events.length === 0 && hit.identity?.kind === 'new'
  return { ...hit, events, decisions, setCookies: isNobody ? [] : hit.setCookies }
}

/** Counts it. Of a refusal the spool has told itself, once a second and not for each request. */
export function refusedBySpool(counts: CollectCounts, error: unknown, nowMs: number): void {
  if (!(error instanceof MadeleineError)) log.error({ err: messageOf(error) }, 'events could not be written down')
  counts.refused++
  counts.refusedMs = nowMs
}

/** Makes durable what a hit leaves, and counts it. What was kept of it; undefined where the disk did not take it: then nothing is counted. */
export async function keep<K extends Kept>(parts: CollectorParts, asked: K, nowMs: number): Promise<K | undefined> {
  const { spool, counts, orders, shareTombstones } = parts
  let reservation: Reservation | undefined
  let hit = asked
  try {
    if (asked.events.some(isOrder)) {
      reservation = await orders.reserve(asked.events.filter(isOrder).map(orderOf), nowMs)
      hit = withoutKnown(asked, reservation)
    }
    if (hit.events.length > 0 || hit.notes) await spool.append(hit.events, hit.notes)
    reservation?.confirm()
  } catch (error) {
    reservation?.release()
    refusedBySpool(counts, error, nowMs)
    if (asked.notes) takeBack(asked.notes, parts, nowMs)
    return undefined
  }
  if (hit.notes?.tombstones) shareTombstones(hit.notes.tombstones)
  counts.foreignCookies += hit.foreignCookies
  if (hit.askAgain) counts.askedAgain++
  else for (const decision of hit.decisions) countDecision(counts, decision, nowMs)
  return hit
}
