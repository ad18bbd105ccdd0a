// The first-party id of this browser on this site, for where the collector's own cookie does not work: a random UUID and the day of its last use, counted from
// 1970. It
// ends 90 days after that, as everything about a visitor does. It leaves the page in the body of a request only, never in an address.

import { DAY_MS, ID_DAYS_MAX, ID_S } from './limits.ts'
import { keep, read } from './storage.ts'

const NAME = '_mid'

const today = (): number => Math.floor(Date.now() / DAY_MS)

/** Version 4. `crypto.randomUUID` is missing on plain http. */
const randomId = (): string =>
  [1e7, 1e3, 4e3, 8e3, 1e11]
    .join('-')
    .replace(/[018]/g, (digit) => (+digit ^ (+crypto.getRandomValues(new Uint8Array(1)) & (15 >> (+digit / 4)))).toString(16))

export function storedId(): string | undefined {
  const [, id, day] = /^([\da-f-]{36})\.(\d+)$/.exec(read(NAME) || '') || []
  return today() - +(day as string) < ID_DAYS_MAX ? id : undefined
}

export const removeId = (): unknown => keep(NAME, 0)

/** Read, made or prolonged: only to be called where storage is permitted. Undefined where the browser keeps nothing: an id a page would count pages. */
export function usedId(): string | undefined {
  const id = storedId() || randomId()
  return keep(NAME, ID_S, `${id}.${today()}`) ? id : undefined
}
