// The address at which a partner is synced: free text with macros, because partners name the parameters differently. A macro stands in the path or behind
// it, never where the address says whom it leads to, and what fills it is percent-encoded: whatever a request brings, the partner is the partner.

import { nearest } from '../core/nearest.ts'

export const SYNC_MACROS = ['gdpr', 'gdpr_consent', 'us_privacy', 'gpp', 'gpp_sid', 'our_id', 'redirect'] as const
export type SyncMacro = (typeof SYNC_MACROS)[number]

export type SyncTemplate = {
  readonly origin: string
  readonly parts: readonly (string | { readonly macro: SyncMacro })[]
}

/** Names that never leave the machine: a stand-in partner may be spoken to without TLS there. */
const isLoopback = (host: string): boolean => /^(?:localhost|[a-z0-9.-]+\.localhost|127(?:\.\d{1,3}){3}|\[::1\])$/.test(host)

/** The origin of an https address (http on this machine); undefined where it has a user, or anything else that could lead elsewhere. */
export function parseOrigin(text: string): string | undefined {
  // Before the URL parser, which drops tabs and turns backslashes: `https://partner.example\@evil.example` is of another host.
  if (!/^https?:\/\/[^/?#@\\]+(?:[/?#]|$)/i.test(text) || !/^[\x21-\x5b\x5d-\x7e]+$/.test(text)) return undefined
  if (!URL.canParse(text)) return undefined
  const { protocol, hostname, origin } = new URL(text)
  return protocol === 'https:' || isLoopback(hostname) ? origin : undefined
}

export type ParsedTemplate =
  | { readonly ok: true; readonly template: SyncTemplate }
  | { readonly ok: false; readonly message: string }

const refuse = (message: string): ParsedTemplate => ({ ok: false, message })
const isMacro = (name: string): name is SyncMacro => (SYNC_MACROS as readonly string[]).includes(name)

export function parseSyncTemplate(text: string): ParsedTemplate {
  if (/[^\x21-\x7e]|\\/.test(text)) return refuse('holds a space, a backslash or a character that an address must encode')
  const parts: SyncTemplate['parts'][number][] = []
  for (const [n, part] of text.split(/\{([^{}]*)\}/).entries()) {
    if (n % 2 === 0) {
      if (/[{}]/.test(part)) return refuse('a brace that belongs to no macro')
      if (part !== '') parts.push(part)
    } else if (isMacro(part)) parts.push({ macro: part })
    else {
      const meant = nearest(part, SYNC_MACROS)
      const hint = meant === undefined ? `the macros are ${SYNC_MACROS.join(', ')}` : `did you mean \`{${meant}}\`?`
      return refuse(`unknown macro \`{${part}}\`; ${hint}`)
    }
  }
  const [fixed = ''] = parts
  // The host has ended before the first macro.
  const origin = typeof fixed === 'string' && /^[^:]+:\/\/[^/?#]+[/?#]/.test(fixed) ? parseOrigin(fixed) : undefined
  if (origin === undefined)
    return refuse(
      'must be an https address (http only on this machine) with a fixed host and no user, and macros behind the host',
    )
  if (!parts.some((part) => typeof part !== 'string' && (part.macro === 'redirect' || part.macro === 'our_id')))
    return refuse('holds neither `{redirect}` nor `{our_id}`: neither side would learn an id')
  return { ok: true, template: { origin, parts } }
}

export const fillSyncTemplate = ({ parts }: SyncTemplate, values: Readonly<Record<SyncMacro, string>>): string =>
  parts.map((part) => (typeof part === 'string' ? part : encodeURIComponent(values[part.macro]))).join('')
