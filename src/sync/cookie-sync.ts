// The body of `/cookie_sync` as Prebid.js and Prebid Server's clients send it (endpoints/cookie_sync.go), and the words of its answer.

import { z } from 'zod'
import { LIMITS } from '../core/limits.ts'
import type { Omission, SyncAsk, SyncKind } from './choose.ts'

export type CookieSyncBody =
  | {
      readonly ok: true
      readonly ask: SyncAsk
      /** The consent signals, under the names that requests give them. */
      readonly given: Readonly<Record<string, unknown>>
      readonly debug: boolean
    }
  | { readonly ok: false; readonly message: string }

const names = z.array(z.string()).max(LIMITS.syncBidders)
const filterSchema = z.object({
  bidders: z.union([z.literal('*'), names]).nullish(),
  filter: z.enum(['include', 'exclude']).nullish(),
})
const text = z.string().nullish()

/** Members that nobody knows are none of ours: clients send more (`uuid`, `account`). */
const bodySchema = z.object({
  bidders: names.nullish(),
  limit: z.number().int().nullish(),
  coopSync: z.boolean().nullish(),
  debug: z.boolean().nullish(),
  filterSettings: z.object({ iframe: filterSchema.nullish(), image: filterSchema.nullish() }).nullish(),
  gdpr: z.union([z.literal([0, 1]), z.literal(['', '0', '1'])]).nullish(),
  gdpr_consent: text,
  us_privacy: text,
  gpp: text,
  gpp_sid: text,
})

type Filter = z.output<typeof filterSchema> | null | undefined

function passes(filter: Filter, name: string): boolean {
  if (!filter) return true
  const { bidders, filter: mode } = filter
  const isNamed = !Array.isArray(bidders) || bidders.some((bidder) => bidder.toLowerCase() === name)
  return isNamed === (mode !== 'exclude')
}

export function parseCookieSync(body: string, limitMax: number): CookieSyncBody {
  let value: unknown
  try {
    value = JSON.parse(body)
  } catch {
    return { ok: false, message: 'the body is not JSON' }
  }
  const parsed = bodySchema.safeParse(value)
  if (!parsed.success) {
    // The place only: what stands there may be a consent string.
    const path = parsed.error.issues[0]?.path.join('.') ?? ''
    return { ok: false, message: path === '' ? 'the body must be an object' : `${path} is not what it must be` }
  }
  const { bidders, limit, coopSync, debug, filterSettings, ...given } = parsed.data
  const kinds: Record<SyncKind, Filter> = { iframe: filterSettings?.iframe, redirect: filterSettings?.image }
  return {
    ok: true,
    given,
    debug: debug === true,
    ask: {
      names: bidders && bidders.length > 0 ? bidders : undefined,
      coop: coopSync === true,
      limit: limit && limit > 0 ? Math.min(limit, limitMax) : limitMax,
      allows: (name, kind) => passes(kinds[kind], name),
    },
  }
}

/** Prebid Server's words. */
export const OMISSION_WORDS: Readonly<Record<Omission, string>> = {
  unknown: 'Unsupported bidder',
  in_sync: 'Already in sync',
  refused: 'Rejected by privacy',
  filtered: 'Rejected by request filter',
  over_budget: 'Limit reached',
}
