// Where `/sync` may send a browser back to: an address on an origin that a partner has registered, and nowhere else. An id is put into the text behind the
// origin, encoded, so that it cannot become another part of the address.

import { LIMITS } from '../core/limits.ts'
import { parseOrigin } from '../settings/sync-template.ts'
import type { KnownPartner, Partners } from './partners.ts'

export type Target = { readonly partner: KnownPartner; readonly address: string }

/** Undefined where nobody has registered the origin, or the text could be read as leading anywhere else. */
export function parseTarget(text: string, partners: Partners): Target | undefined {
  if (text.length > LIMITS.urlChars) return undefined
  const origin = parseOrigin(text)
  if (origin === undefined) return undefined
  // As it is written too: `https://partner%2eexample` is the same host to one parser and another to the next.
  const rest = text.slice(origin.length)
  const isWritten = text.slice(0, origin.length).toLowerCase() === origin && /^(?::443)?(?:[/?#]|$)/.test(rest)
  const partner = isWritten ? partners.byOrigin(origin) : undefined
  // The origin ends before anything is put behind it: `https://partner.example` and an id would be another host.
  return partner && { partner, address: /[/?#]/.test(rest) ? text : `${text}/` }
}

/** As partners write the place for an id (Prebid Server's static/bidder-info). */
const MACRO = /\$\{(?:UID|USER_ID)\}|\{\{UID\}\}|\{UID\}|\$UID(?!\w)|\[UID\]|%USER_ID%/g

/** At the end where no place is marked. */
export function fillTarget(address: string, id: string): string {
  const encoded = encodeURIComponent(id)
  return address.search(MACRO) < 0 ? address + encoded : address.replace(MACRO, () => encoded)
}
