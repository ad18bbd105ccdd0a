// Measured links: `/click?...` with a target that we have signed, so that nobody else's address can be reached through ours. What is signed is whom the click is
// counted for and where it goes; consent signals, cache busters and numbers are added later, by whoever shows the link.

import { createHmac, timingSafeEqual } from 'node:crypto'
import { LIMITS } from '../core/limits.ts'

export const CLICK_ROUTE = '/click'

export const LABELS = ['campaign', 'creative', 'placement'] as const
export type Link = { readonly target: string; readonly source: string } & { readonly [L in (typeof LABELS)[number]]: string }

/**
 * Why a browser cannot be sent there, or undefined. Stricter than the URL standard, which forgives what browsers and their users read in different ways:
 * backslashes, tabs, a user name that looks like a host.
 */
export function targetProblem(target: string): string | undefined {
  if (target.length > LIMITS.urlChars) return `is longer than ${LIMITS.urlChars} characters`
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (/[\x00-\x20\x7f\\]/.test(target) || !target.isWellFormed()) return 'has spaces, control characters or backslashes'
  const [, authority] = /^https?:\/\/([^/?#]+)/i.exec(target) ?? []
  if (authority === undefined || !URL.canParse(target)) return 'must be an absolute http or https address'
  return authority.includes('@') ? 'has a user name' : undefined
}

/** As a header may hold it. */
export const locationOf = (target: string): string => (/^[\x21-\x7e]+$/.test(target) ? target : new URL(target).href)

const signatureOf = ({ source, campaign, creative, placement, target }: Link, key: string): string =>
  // As JSON, so that no two links are written alike.
  createHmac('sha256', key)
    .update(`madeleine link\n${JSON.stringify([source, campaign, creative, placement, target])}`)
    .digest('base64url')

/** Path and query of a link that counts. */
export function signedLink(link: Link, key: string): string {
  const query = new URLSearchParams({ source: link.source })
  for (const label of LABELS) if (link[label] !== '') query.set(label, link[label])
  query.set('url', link.target)
  query.set('sig', signatureOf(link, key))
  return `${CLICK_ROUTE}?${query}`
}

/** Where a click goes; undefined where we have not signed that, or nobody can be sent there. */
export function verifiedTarget(given: Readonly<Record<string, string>>, key: string): string | undefined {
  const { url: target = '', source = '', campaign = '', creative = '', placement = '', sig = '' } = given
  const expected = Buffer.from(signatureOf({ target, source, campaign, creative, placement }, key))
  const signature = Buffer.from(sig)
  const isOurs = signature.length === expected.length && timingSafeEqual(signature, expected)
  return isOurs && targetProblem(target) === undefined ? target : undefined
}

export type LinkRequest = {
  readonly url: string
  readonly source: string
  readonly campaign?: string | undefined
  readonly creative?: string | undefined
  readonly placement?: string | undefined
  /** `https://px.example`, where the collector is reached. */
  readonly base?: string | undefined
}
export type LinkProblem = { readonly field: string; readonly message: string }

/** The link, or what is wrong with what was asked for. */
export function makeLink(
  asked: LinkRequest,
  { key, sources }: { readonly key: string; readonly sources: { has(id: string): boolean } },
): { readonly ok: true; readonly url: string } | ({ readonly ok: false } & LinkProblem) {
  const { url: target, source, campaign = '', creative = '', placement = '', base } = asked
  const wrong = (field: string, message: string) => ({ ok: false, field, message }) as const
  const problem = targetProblem(target)
  if (problem !== undefined) return wrong('url', problem)
  if (!sources.has(source)) return wrong('source', 'is not declared in sources.yaml')
  const link = { target, source, campaign, creative, placement }
  for (const label of LABELS) {
    if (link[label].length > LIMITS.textChars) return wrong(label, `is longer than ${LIMITS.textChars} characters`)
    if (!link[label].isWellFormed()) return wrong(label, 'is no text')
  }
  const path = signedLink(link, key)
  if (base === undefined) return { ok: true, url: path }
  if (targetProblem(base) !== undefined || /[?#]/.test(base))
    return wrong('base', 'must be the collector’s address, such as https://px.example')
  return { ok: true, url: base.replace(/\/+$/, '') + path }
}
