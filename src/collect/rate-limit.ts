// How many events a second are taken from one network and of one visitor (`collector.rate_limit`). An event over either limit is dropped and takes nothing
// from the other. Networks and visitors are known in memory only and for as long as there is room; a network's address only as a keyed hash of its front part.

import { createHmac, randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { LRUCache } from 'lru-cache'
import type { VisitorId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import { addressOf, networkOf, type TrustedProxies } from './address.ts'

export type RateLimits = {
  /** Events a second; 0 is off. */
  readonly perAddress: number
  readonly perVisitor: number
}

/** A network's keyed hash: the same for all of its addresses, and of no use to anybody without the key of this process. */
export type Network = string

export type RateLimiter = {
  /** Undefined where networks are not limited: then no address is looked at. */
  networkOf(request: IncomingMessage): Network | undefined
  /** True where both may send one more event, which then counts for both. */
  take(network: Network | undefined, visitor: VisitorId): boolean
}

type Bucket = { tokens: number; atMs: number }

type Buckets = { filled(key: string): Bucket }

/** Of so many tokens a second, and room for those of one second: what was not used earlier is not saved up. */
function makeBuckets(perSecond: number, monotonicMs: () => number): Buckets {
  const buckets = new LRUCache<string, Bucket>({ max: LIMITS.rateBuckets })
  return {
    filled(key) {
      const nowMs = monotonicMs()
      const bucket = buckets.get(key) ?? { tokens: perSecond, atMs: nowMs }
      bucket.tokens = Math.min(perSecond, bucket.tokens + ((nowMs - bucket.atMs) / 1_000) * perSecond)
      bucket.atMs = nowMs
      buckets.set(key, bucket)
      return bucket
    },
  }
}

/** Undefined where nothing is limited. `monotonicMs` never goes back, whatever the wall clock does. */
export function makeRateLimiter(
  { perAddress, perVisitor }: RateLimits,
  trusted: TrustedProxies,
  monotonicMs: () => number,
): RateLimiter | undefined {
  if (perAddress === 0 && perVisitor === 0) return undefined
  const networks = perAddress === 0 ? undefined : makeBuckets(perAddress, monotonicMs)
  const visitors = perVisitor === 0 ? undefined : makeBuckets(perVisitor, monotonicMs)
  const key = randomBytes(32)
  return {
    networkOf: (request) =>
      networks &&
      createHmac('sha256', key)
        .update(networkOf(addressOf(request, trusted)))
        .digest('base64url'),
    take(network, visitor) {
      const ofNetwork = network === undefined ? undefined : networks?.filled(network)
      const ofVisitor = visitors?.filled(visitor)
      if ((ofNetwork && !hasOne(ofNetwork)) || (ofVisitor && !hasOne(ofVisitor))) return false
      if (ofNetwork) ofNetwork.tokens--
      if (ofVisitor) ofVisitor.tokens--
      return true
    },
  }
}

/** Thirds of a second do not add up to one exactly. */
const hasOne = ({ tokens }: Bucket): boolean => tokens > 1 - 1e-9
