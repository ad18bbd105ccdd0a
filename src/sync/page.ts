// The page that `/sync` answers in a publisher's frame: pictures and frames of the partners that are due, and nothing else. It has no script, and its policy
// names the partners' origins, so that no address in it can lead anywhere they are not registered for.

import type { KnownPartner } from './partners.ts'

export type PageSync = { readonly partner: KnownPartner; readonly address: string }

/** An address has passed the URL parser's alphabet; in an attribute these four still mean something. */
const attribute = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')

const element = ({ partner, address }: PageSync): string =>
  partner.sync?.type === 'iframe'
    ? `<iframe src="${attribute(address)}" width="1" height="1" sandbox="allow-scripts allow-same-origin" title=""></iframe>`
    : `<img src="${attribute(address)}" width="1" height="1" alt="">`

export const syncPage = (syncs: readonly PageSync[]): string =>
  `<!doctype html>\n<meta charset="utf-8">\n<title>sync</title>\n${syncs.map((sync) => `${element(sync)}\n`).join('')}`

/** A policy holds along redirects too: a partner's own detours, and the way back to us, stand in it. */
export function syncPagePolicy(syncs: readonly PageSync[], own: string): string {
  const sources = (type: 'redirect' | 'iframe') => {
    const of = syncs.filter(({ partner }) => partner.sync?.type === type)
    const origins = of.flatMap(({ partner }) => [partner.sync?.template.origin ?? '', ...partner.redirects])
    return of.length === 0 ? "'none'" : [...new Set([...origins, own])].join(' ')
  }
  return `default-src 'none'; img-src ${sources('redirect')}; frame-src ${sources('iframe')}; base-uri 'none'; form-action 'none'`
}
