// Who a request comes from: the ids it brought, what the browser says of third-party cookies, and what follows for the answer. Pure but for new ids.
// `Sec-Fetch-Storage-Access` is believed before anything else (Chromium from 133, Firefox from 147). A cookie that comes back proves less: Firefox
// hands third-party cookies back, apart by site. So a browser without the header is sent round once, and Firefox is never taken for more than one site.

import { createHash } from 'node:crypto'
import { parseVisitorId, type VisitorId } from '../core/ids.ts'
import type { Scope } from '../event/event.ts'
import { type CookieSigner, newVisitor, type RequestCookies, visitorCookie } from './cookie.ts'

export type IdentityRequest = {
  readonly cookies: RequestCookies
  /** `Sec-Fetch-Storage-Access` as received. */
  readonly storageAccess: string | undefined
  readonly isFirefox: boolean
  /** The tag's own id on this site, from the body of `/e` and from nowhere else. */
  readonly firstPartyId: string | undefined
  /** The tag has sent it before: by now a browser that keeps our cookies would have brought one. */
  readonly isFirstPartyIdKnown: boolean
  readonly source: string
  /** A pixel can be sent round, a beacon can't; `came_back`: this is the second time. */
  readonly round: 'possible' | 'impossible' | 'came_back'
}

export type Identity =
  | {
      readonly kind: 'known' | 'new'
      readonly visitor: VisitorId
      readonly scope: Scope
      readonly setCookies: readonly string[]
      /** Cookies that carried our name and not our signature: replaced. */
      readonly foreign: number
    }
  /** To be asked again with these cookies: what the browser keeps of them will show. */
  | { readonly kind: 'ask_again'; readonly setCookies: readonly string[]; readonly foreign: number }
  /** The browser keeps nothing: an id made for it would be seen once, and counted as a person. */
  | { readonly kind: 'none'; readonly foreign: number }

/**
 * The visitor behind a site's own id. Hashed with the site's source, so that it is nobody's cookie id (those are random: the hash would have to be inverted)
 * and means nothing on another site, whatever a page sends.
 */
export function firstPartyVisitor(id: string, source: string): VisitorId | undefined {
  const given = parseVisitorId(id)
  if (!given) return undefined
  const hex = createHash('sha256').update(`madeleine first-party id\n${source}\n${given}`).digest('hex')
  // RFC 9562 section 5.8: version 8 is for ids made by a rule of one's own.
  return parseVisitorId(`${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`)
}

export function recognise(request: IdentityRequest, signer: CookieSigner, nowMs: number): Identity {
  const { cookies, storageAccess, isFirefox, firstPartyId, isFirstPartyIdKnown, source, round } = request
  const isApart = storageAccess === 'none' || storageAccess === 'inactive'
  let foreign = 0
  for (const partitioned of [false, true]) {
    const value = partitioned ? cookies.partitioned : cookies.visitor
    const given = value === undefined ? undefined : signer.verify(value, nowMs)
    if (given?.kind === 'foreign') foreign++
    // With access to all of its cookies a browser is one visitor everywhere, whatever it was called on this site before.
    if (given?.kind !== 'known' || (partitioned && storageAccess === 'active')) continue
    const scope = partitioned || isApart || (storageAccess === undefined && isFirefox) ? 'partition' : 'global'
    const setCookies = given.refresh ? [visitorCookie(signer.sign(given.visitor, nowMs), partitioned)] : []
    return { kind: 'known', visitor: given.visitor, scope, setCookies, foreign }
  }
  const visitor = newVisitor()
  const cookie = (partitioned: boolean) => visitorCookie(signer.sign(visitor, nowMs), partitioned)
  const own = firstPartyId === undefined ? undefined : firstPartyVisitor(firstPartyId, source)
  // `active` is sent from pages without credentials (COEP credentialless), and `none` by browsers that keep no cookie at all (both seen in Chromium 156):
  // what the tag has been known by stands in, and the cookie is offered again.
  if (own && isFirstPartyIdKnown && storageAccess !== undefined)
    return { kind: 'known', visitor: own, scope: 'first_party', setCookies: [cookie(isApart)], foreign }
  if (storageAccess === 'active') return { kind: 'new', visitor, scope: 'global', setCookies: [cookie(false)], foreign }
  if (isApart) return { kind: 'new', visitor, scope: 'partition', setCookies: [cookie(true)], foreign }
  if (own) return { kind: 'known', visitor: own, scope: 'first_party', setCookies: [], foreign }
  const both = [cookie(false), cookie(true)]
  const hasCookie = cookies.visitor !== undefined || cookies.partitioned !== undefined
  if (!hasCookie && round === 'possible') return { kind: 'ask_again', setCookies: both, foreign }
  if (!hasCookie && round === 'came_back') return { kind: 'none', foreign }
  return { kind: 'new', visitor, scope: 'partition', setCookies: both, foreign }
}

export type RequestIds = {
  /** Proven by our signature: of the browser, and of the browser on this site. */
  readonly global: VisitorId | undefined
  readonly partitioned: VisitorId | undefined
  /** By the site's own id, which anybody may have written: good for a refusal at that source, and for nothing that is remembered for long. */
  readonly firstParty: VisitorId | undefined
}

/** Every id that a request carries, for a refusal or an opt-out: the one use of an id of someone who does not want to be known. */
export function idsOf(
  { cookies, firstPartyId, source }: Pick<IdentityRequest, 'cookies' | 'firstPartyId' | 'source'>,
  signer: CookieSigner,
  nowMs: number,
): RequestIds {
  const known = (value: string | undefined) => {
    const given = value === undefined ? undefined : signer.verify(value, nowMs)
    return given?.kind === 'known' ? given.visitor : undefined
  }
  return {
    global: known(cookies.visitor),
    partitioned: known(cookies.partitioned),
    firstParty: firstPartyId === undefined ? undefined : firstPartyVisitor(firstPartyId, source),
  }
}
