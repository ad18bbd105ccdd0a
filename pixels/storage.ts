// The publisher's own storage, for a text under a name: localStorage, or a first-party cookie where the browser refuses that one.

import { attempt } from './guard.ts'

export const read = (name: string): string | undefined =>
  attempt(() => localStorage.getItem(name)) || attempt(() => (document.cookie.match(`(?:^|; )${name}=([^;]+)`) || [])[1])

/** Without a value: removes it. False where the browser does not do as told. */
export function keep(name: string, seconds: number, value?: string): boolean {
  attempt(() => (value ? localStorage.setItem(name, value) : localStorage.removeItem(name)))
  if (read(name) !== value) {
    attempt(() => {
      // biome-ignore lint/suspicious/noDocumentCookie: the Cookie Store API is missing in insecure contexts.
      document.cookie = `${name}=${value};Max-Age=${value ? seconds : 0};Path=/;SameSite=Lax`
    })
  }
  return read(name) === value
}
