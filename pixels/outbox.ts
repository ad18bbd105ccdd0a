// Events on their way out, in order. They wait for the consent platforms, and the second for the answer to the first, which sets the collector's cookie:
// two first requests of a new browser would be two visitors. What a person has opted out of is dropped, what is never released is never sent.

import { consentOf } from './consent.ts'
import { deliver, isSilenced, post } from './delivery.ts'
import { removeId, storedId, usedId } from './fallback-id.ts'
import type { Event } from './fields.ts'
import { guarded } from './guard.ts'
import { HELD_MAX } from './limits.ts'
import { isOptedOut, setOptedOut } from './opt-out.ts'

const SIGNAL = /^(g(dpr|pp)|us_privacy)/

export function outbox(script: HTMLScriptElement, source: string) {
  const held: Event[] = []
  let isInFlight = false
  let isLeaving = false
  const addressOf = (name: string) => new URL(name, script.src).href
  const readConsent = consentOf(script, source, guarded(flush))

  /** Of the first request, so until that is under way. */
  let landed: (() => void) | undefined = guarded(() => {
    isInFlight = false
    flush()
  })

  /** Of an id that storage was refused for, until it has gone out once more: with the refusal, which ends what was collected under it. */
  let parting: string | undefined
  function part(): void {
    parting = storedId() || parting
    removeId()
  }

  function flush(): void {
    if (isSilenced() || isOptedOut()) {
      held.length = 0
      removeId()
      return
    }
    const { isWaiting, said, mayStore } = readConsent()
    if (mayStore === false) part()
    while (!isWaiting && (isLeaving || !isInFlight)) {
      const event = held.shift()
      if (!event) return
      // A page that speaks for itself does so in strings that the tag does not read.
      const isForeign = Object.keys(event).some((name) => SIGNAL.test(name) && event[name] !== said[name])
      if (isForeign) part()
      const fpid_known = storedId() && 1
      const fpid = mayStore && !isForeign ? usedId() : parting
      parting = ''
      isInFlight = !!landed
      // The id comes last: whatever a page calls `fpid` never leaves it.
      deliver(addressOf('e'), { ...said, ...event, fpid: fpid || undefined, fpid_known }, landed)
      landed = undefined
    }
  }

  return {
    put(event: Event): void {
      if (held.length < HELD_MAX) held.push(event)
      flush()
    },

    /** A page that is being left has no time for the answer to the first request. */
    hurry(isLeft: boolean): void {
      isLeaving = isLeft
      flush()
    },

    /** The person's own choice: it waits for nothing, and it is no event, so it goes out under Global Privacy Control too. */
    choose(isOut: boolean): void {
      setOptedOut(isOut)
      post(addressOf(isOut ? 'optout' : 'optin'), JSON.stringify({ source, fpid: storedId() }), true)
      flush() // Drops what is held, and the id.
    },

    status: () => ({ optedOut: isOptedOut(), gpc: isSilenced(), waiting: readConsent().isWaiting }),
  }
}
