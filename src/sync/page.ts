// The page that `/sync` answers in a publisher's frame: pictures and frames of the partners that are due, and nothing else. Its policy names the partners'
// origins, so that no address in it can lead anywhere they are not registered for, and the one script, by its hash.

import { createHash } from 'node:crypto'
import type { KnownPartner } from './partners.ts'

export type PageSync = { readonly partner: KnownPartner; readonly address: string }

/** An address has passed the URL parser's alphabet; in an attribute these four still mean something. */
const attribute = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')

const element = ({ partner, address }: PageSync): string =>
  partner.sync?.type === 'iframe'
    ? `<iframe data-src="${attribute(address)}" width="1" height="1" sandbox="allow-scripts allow-same-origin" title=""></iframe>`
    : `<img data-src="${attribute(address)}" width="1" height="1" alt="">`

/**
 * One after the other, as Prebid.js does it: each answer of `/setuid` writes the cookie of partners' ids whole, and of two at a time one would be lost (seen in
 * Chromium). A partner that does not answer is waited for for three seconds.
 */
const SCRIPT = `const waiting = [...document.querySelectorAll('[data-src]')]
const next = () => {
  const element = waiting.shift()
  if (!element) return
  let isOver = false
  const over = () => {
    if (!isOver) next()
    isOver = true
  }
  element.onload = element.onerror = over
  setTimeout(over, 3000)
  element.src = element.dataset.src
}
next()`
const SCRIPT_HASH = `'sha256-${createHash('sha256').update(SCRIPT).digest('base64')}'`

export const syncPage = (syncs: readonly PageSync[]): string =>
  `<!doctype html>\n<meta charset="utf-8">\n<title>sync</title>\n${syncs.map((sync) => `${element(sync)}\n`).join('')}<script>${SCRIPT}</script>\n`

/** A policy holds along redirects too: a partner's own detours, and the way back to us, stand in it. */
export function syncPagePolicy(syncs: readonly PageSync[], own: string): string {
  const sources = (type: 'redirect' | 'iframe') => {
    const of = syncs.filter(({ partner }) => partner.sync?.type === type)
    const origins = of.flatMap(({ partner }) => [partner.sync?.template.origin ?? '', ...partner.redirects])
    return of.length === 0 ? "'none'" : [...new Set([...origins, own])].join(' ')
  }
  const ours = `default-src 'none'; script-src ${SCRIPT_HASH}; base-uri 'none'; form-action 'none'`
  return `${ours}; img-src ${sources('redirect')}; frame-src ${sources('iframe')}`
}
