// Ids that cannot be swapped: branded texts, made only by the parsers here.

declare const brand: unique symbol
type Branded<Name extends string> = string & { readonly [brand]: Name }

/** A browser we hold an id for: a UUID in lower case. */
export type VisitorId = Branded<'visitor'>
/** A segment, lookalike or list: `[a-z0-9][a-z0-9-]{0,63}`. */
export type AudienceId = Branded<'audience'>

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const NIL = '00000000-0000-0000-0000-000000000000'

/** The visitor id in lower case, or undefined. The nil UUID is what broken senders put for "nobody"; as a visitor it would join them all. */
export function parseVisitorId(text: unknown): VisitorId | undefined {
  if (typeof text !== 'string' || text.length !== 36) return undefined
  const lower = text.toLowerCase()
  return UUID.test(lower) && lower !== NIL ? (lower as VisitorId) : undefined
}

export function parseAudienceId(text: unknown): AudienceId | undefined {
  return typeof text === 'string' && /^[a-z0-9][a-z0-9-]{0,63}$/.test(text) ? (text as AudienceId) : undefined
}

export const isEventName = (text: unknown): text is string => typeof text === 'string' && /^[a-z][a-z0-9_]{0,63}$/.test(text)
