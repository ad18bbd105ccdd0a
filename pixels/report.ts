// What the tag reports about the pages of one document, and in which order: a page view comes before the events of its page, its dwell time after
// them, and `set` reaches the page view that is still owed. Reads the clock, the address and the document; outbox.ts sends.

import { dwellClock, isVisible } from './dwell.ts'
import { type Event, type Fields, isName, toEvent, toFields } from './fields.ts'
import { guarded } from './guard.ts'

/** A change of the fragment alone is no page: the collector does not keep it either. */
const isSamePage = (a: string, b: string): boolean => a.split('#')[0] === b.split('#')[0]

export function reporter(script: HTMLScriptElement, source: string, put: (event: Event) => void) {
  const isOn = (what: string) => script.getAttribute(`data-${what}`) !== 'off'
  const clock = dwellClock()
  const defaults: Fields = {}
  let url = location.href
  let referrer = document.referrer
  let owesView = true
  /** What dwell time is reported with: the page as its view described it, although the document may show the next one already. */
  let viewed: Fields = {}

  /** An element of the document speaks for its page, the script for the site. */
  function declared(name: string): string | null {
    const attribute = `data-madeleine-${name}`
    const element = document.querySelector(`[${attribute}]`)
    return element ? element.getAttribute(attribute) : script.getAttribute(`data-${name}`)
  }

  const describe = (href: string, given: Fields): Fields => ({
    url: href,
    referrer,
    category: declared('category'),
    keyword: declared('keyword'),
    ...defaults,
    ...given,
  })

  const send = (event: string, fields: Fields): void => put(toEvent(source, event, fields))

  function view(href: string, given: Fields, isSent: boolean): void {
    const fields = describe(href, given)
    const { url, referrer, category, keyword } = fields
    viewed = { url, referrer, category, keyword } as Fields
    if (isSent) send('page_view', fields)
  }

  /** Sends the view owed. */
  function settle(): void {
    if (!owesView) return
    owesView = false
    view(url, {}, isOn('page-view'))
  }

  function dwell(isShown = isVisible()): void {
    const dwell_ms = clock(performance.now(), isShown)
    if (dwell_ms && isOn('dwell')) send('dwell', { ...defaults, ...viewed, dwell_ms })
  }

  dwell()

  return {
    settle,

    call(command?: unknown, first?: unknown, second?: unknown): void {
      if (command === 'set') {
        Object.assign(defaults, toFields(first))
        for (const name of Object.keys(defaults)) if (defaults[name] === null) delete defaults[name]
        return
      }
      settle()
      if (command === 'event' && typeof first === 'string' && isName(first)) {
        send(first, describe(location.href, toFields(second)))
      } else if (command === 'page') {
        dwell()
        view(location.href, toFields(first), true)
      }
    },

    /** The new page's view waits for a task: routers change the address first and the document, which may declare a category, after. */
    navigate(): void {
      if (isSamePage(location.href, url)) return
      settle()
      dwell()
      referrer = url
      url = location.href
      owesView = true
      setTimeout(guarded(settle))
    },

    visibility(isShown: boolean): void {
      if (!isShown) settle()
      dwell(isShown)
    },

    /** Back from the back/forward cache: the document is the same, the visit to it is new. */
    restore(): void {
      dwell()
      owesView = true
      settle()
    },
  }
}
