// A clock that runs while the page is visible. It gives out whole milliseconds and keeps the rest, so that the sum of all it gave is the visible time.

import { DWELL_MS_MIN } from './limits.ts'

export const isVisible = (): boolean => document.visibilityState === 'visible'

/** The clock is read with every change of `visible`, which holds from `now` on. 0: nothing worth a report yet. */
export function dwellClock(): (now: number, visible: boolean) => number {
  let since: number | undefined
  let owed = 0
  return (now, visible) => {
    if (since !== undefined) owed += now - since
    since = visible ? now : undefined
    const given = owed < DWELL_MS_MIN ? 0 : Math.floor(owed)
    owed -= given
    return given
  }
}
