// Whom a row is about: a visitor's id, or a partner's id through the match table. Partners' ids are looked up many at once.

import { parseVisitorId, type VisitorId } from '../core/ids.ts'
import type { Store } from '../engine/store.ts'
import { type PartnerKey, type PartnerUid, parsePartnerReference, readVisitorsOf } from '../identity/matches.ts'

export type Person = { readonly visitor: VisitorId } | { readonly problem: string }

const NO_VISITOR = { problem: 'invalid_field: visitor must be a UUID, or partner:<key>:<id>' }
const NO_MATCH = { problem: 'unknown_match: the match table knows no visitor by this id of the partner' }

export const isReference = (text: unknown): text is string => typeof text === 'string' && text.startsWith('partner:')

/** One answer for each text, in their order. */
export async function findPeople(
  store: Store,
  texts: readonly unknown[],
  time: { readonly nowMs: number; readonly retentionMs: number },
): Promise<Person[]> {
  const asked = new Map<PartnerKey, Set<PartnerUid>>()
  const references = texts.map((text) => {
    const reference = isReference(text) ? parsePartnerReference(text) : undefined
    if (reference) {
      const ids = asked.get(reference.partner) ?? new Set()
      asked.set(reference.partner, ids.add(reference.partnerId))
    }
    return reference
  })
  const found = new Map<PartnerKey, Map<PartnerUid, VisitorId>>()
  for (const [partner, ids] of asked) found.set(partner, await readVisitorsOf(store, partner, [...ids], time))
  return texts.map((text, n): Person => {
    const reference = references[n]
    const visitor = reference ? found.get(reference.partner)?.get(reference.partnerId) : parseVisitorId(text)
    if (visitor) return { visitor }
    return reference ? NO_MATCH : NO_VISITOR
  })
}
