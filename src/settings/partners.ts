// config/partners.yaml: with whom ids are exchanged, at which address a partner is synced, and to which addresses it may have browsers sent back.

import { z } from 'zod'
import { DAY_MS } from '../core/duration.ts'
import type { ConfigError, Document } from './document.ts'
import { readItems } from './items.ts'
import { duration, text, vendorId } from './schema.ts'
import { parseOrigin, parseSyncTemplate, type SyncTemplate } from './sync-template.ts'

export type Partner = {
  /** The match table's key, and the bidder's name in requests. */
  readonly id: string
  readonly vendorId: number | undefined
  /** Absent: this partner starts syncs itself, or none are made. */
  readonly sync: PartnerSync | undefined
  /** Origins to which `/sync` may send a browser back. */
  readonly redirects: readonly string[]
}

export type PartnerSync = {
  readonly template: SyncTemplate
  readonly type: 'redirect' | 'iframe'
  /** What the partner replaces by its id in our callback; '': it adds its id at the end. */
  readonly uidMacro: string
  readonly refreshMs: number
}

/** Ids in the cookie `uids` live for 14 days: a partner cannot be due later than that. */
const REFRESH_MAX_MS = 14 * DAY_MS
const MACRO_RULE =
  'what the partner replaces in an address: printable characters without `&`, at most 64; empty where it adds its id at the end'

const template = z.string().transform((written, context): SyncTemplate => {
  const parsed = parseSyncTemplate(written)
  if (parsed.ok) return parsed.template
  context.addIssue({ code: 'custom', message: parsed.message })
  return z.NEVER
})

const origin = z
  .string()
  .refine(
    (written) => parseOrigin(written) === written,
    'an origin is https, a host and perhaps a port, such as https://sync.partner.example (http only on this machine)',
  )

export const partnerSchema = z.strictObject({
  id: z.string().regex(/^[a-z0-9][a-z0-9_-]{0,63}$/, 'a partner id is lower-case letters, digits, `-` and `_`, at most 64'),
  name: text.optional(),
  vendor_id: vendorId.optional(),
  sync: z
    .strictObject({
      url: template,
      type: z.enum(['redirect', 'iframe']).default('redirect'),
      uid_macro: z
        .string()
        .regex(/^[\x21-\x25\x27-\x7e]{0,64}$/, MACRO_RULE)
        .default(''),
      refresh: duration.refine((ms) => ms <= REFRESH_MAX_MS, 'refresh is at most 14d').default(7 * DAY_MS),
    })
    .optional(),
  redirects: z.array(origin).default([]),
})

export function readPartners(document: Document | undefined, errors: ConfigError[]): Map<string, Partner> {
  const partners = new Map<string, Partner>()
  if (!document) return partners
  const owners = new Map<string, string>()
  for (const { path, value: partner } of readItems(document, 'partners', partnerSchema, errors).items) {
    if (!partner) continue
    const { id, vendor_id, sync, redirects } = partner
    for (const [n, address] of redirects.entries()) {
      // Which partner asks is told by where the browser is to go back to, and each has an id of its own for a visitor.
      const owner = owners.get(address)
      if (owner !== undefined)
        errors.push(
          document.locate({
            path: [...path, 'redirects', n],
            at: 'value',
            message: `\`${address}\` is registered for \`${owner}\` already`,
          }),
        )
      owners.set(address, id)
    }
    partners.set(id, {
      id,
      vendorId: vendor_id,
      sync: sync && { template: sync.url, type: sync.type, uidMacro: sync.uid_macro, refreshMs: sync.refresh },
      redirects,
    })
  }
  return partners
}
