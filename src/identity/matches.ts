// The match table: by which id a partner knows a visitor. Read here for whoever hands us partners' ids; written through the spool (cookie sync) and by imports.

import type { VisitorId } from '../core/ids.ts'
import type { Store } from '../engine/store.ts'

declare const brand: unique symbol
/** A partner's name in the match table: `[a-z0-9][a-z0-9_-]{0,63}`. */
export type PartnerKey = string & { readonly [brand]: 'partner' }
/** An id that a partner gave, as it is. */
export type PartnerUid = string & { readonly [brand]: 'partnerUid' }

export type Match = {
  readonly tsMs: number
  readonly visitor: VisitorId
  readonly partner: PartnerKey
  readonly partnerId: PartnerUid | ''
}

/** Lower case, as partners' names are compared without case. */
export function parsePartnerKey(text: unknown): PartnerKey | undefined {
  const lower = typeof text === 'string' ? text.toLowerCase() : ''
  return /^[a-z0-9][a-z0-9_-]{0,63}$/.test(lower) ? (lower as PartnerKey) : undefined
}

/** Longest partner id: the longest in use are encrypted ones of some 150 characters. */
const UID_CHARS = 512
/** What stands where an id should: partners' macros that nobody replaced (`$UID`, `${UID}`, `[UID]`, `{{UID}}`, `%USER_ID%`, `<TUID>`, `#PMUID`), and words for nobody. */
const MACRO = /^(?:[$#]\w+|\$?\{+[^{}]*\}+|\[[^[\]]*\]|%\w+%|<[^<>]*>)$/
const NOBODY: ReadonlySet<string> = new Set([
  '0',
  '-1',
  'null',
  'undefined',
  'none',
  'nan',
  'optout',
  '00000000-0000-0000-0000-000000000000',
])

/** Undefined where it stands for nobody: one such id would join everybody it was given for. */
export function parsePartnerUid(text: unknown): PartnerUid | undefined {
  if (typeof text !== 'string' || text.length === 0 || text.length > UID_CHARS) return undefined
  // Printable ASCII: anything else was never an id, and would not survive the way to the partner.
  if (!/^[\x21-\x7e]+$/.test(text) || text.includes('@')) return undefined
  return NOBODY.has(text.toLowerCase()) || MACRO.test(text) ? undefined : (text as PartnerUid)
}

/** `partner:<key>:<id>`, as files name visitors that they know by a partner's id. */
export function parsePartnerReference(
  text: string,
): { readonly partner: PartnerKey; readonly partnerId: PartnerUid } | undefined {
  const [, key, id] = /^partner:([^:]+):(.+)$/s.exec(text) ?? []
  const partner = parsePartnerKey(key)
  const partnerId = parsePartnerUid(id)
  return partner && partnerId ? { partner, partnerId } : undefined
}

/**
 * The visitors behind a partner's ids; ids that nobody has are absent. Of several visitors with one id it is the one matched last: the others' cookies are
 * gone, or theirs is a shared one, and naming all of them would make more of an audience than there is.
 */
export async function readVisitorsOf(
  store: Store,
  partner: PartnerKey,
  ids: readonly PartnerUid[],
  { nowMs, retentionMs }: { readonly nowMs: number; readonly retentionMs: number },
): Promise<Map<PartnerUid, VisitorId>> {
  const found = new Map<PartnerUid, VisitorId>()
  for (const some of sliced(ids)) {
    const rows = await store.rows<{ id: PartnerUid; found: VisitorId }>({
      owner: 'identity.matches',
      sql: `SELECT newest AS id, toString(argMax(visitor, last)) AS found FROM (
              SELECT visitor, argMax(partner_id, (ts, batch)) AS newest, max((ts, batch)) AS last
              FROM madeleine.matches
              WHERE partner = {partner:String} AND ts > fromUnixTimestamp64Milli({since:Int64}, 'UTC') AND visitor IN (
                SELECT visitor FROM madeleine.matches WHERE partner = {partner:String} AND partner_id IN {ids:Array(String)}
              )
              GROUP BY visitor
            ) WHERE newest IN {ids:Array(String)} GROUP BY newest`,
      values: { partner, ids: some, since: nowMs - retentionMs },
    })
    for (const { id, found: visitor } of rows) found.set(id, visitor)
  }
  return found
}

/** Values are sent in the address of the statement, of which a server reads 1 MiB, and of one value 128 KiB. */
const VALUE_CHARS_MAX = 98_304

function* sliced(ids: readonly PartnerUid[]): Generator<PartnerUid[]> {
  let some: PartnerUid[] = []
  let chars = 0
  for (const id of ids) {
    chars += encodeURIComponent(id).length + 12 // quotes and a comma, encoded
    some.push(id)
    if (chars < VALUE_CHARS_MAX) continue
    yield some
    some = []
    chars = 0
  }
  if (some.length > 0) yield some
}
