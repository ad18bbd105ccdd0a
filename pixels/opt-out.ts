// The person's own choice on this site. It is kept in the publisher's storage, so that it holds where the collector's cookie does not work.

import { OPT_OUT_S } from './limits.ts'
import { keep, read } from './storage.ts'

const NAME = '_mid_optout'

/** Where nothing can be kept the choice lasts as long as the document. */
let isUnkept = false

/** Asked anew for every event: the choice may have been made in another tab. */
export const isOptedOut = (): boolean => isUnkept || !!read(NAME)

export function setOptedOut(isOut: boolean): void {
  isUnkept = !keep(NAME, OPT_OUT_S, isOut ? '1' : undefined)
}
