// The publisher's tag, served as /t.js: finds its own script element, takes over `madeleine()` with the calls queued so far, and hands what happens to
// the document to the reporter. What it keeps in the browser is the person's choice and, where consent permits, an id of this site. It must stay below
// 3.5 KiB gzipped.

import { isVisible } from './dwell.ts'
import { attempt, guarded } from './guard.ts'
import { HELD_MAX } from './limits.ts'
import { outbox } from './outbox.ts'
import { reporter } from './report.ts'

type Call = ArrayLike<unknown>
type Madeleine = ((...call: unknown[]) => void) & { isTag?: true; q?: { push(call: Call): unknown } }

declare global {
  interface Window {
    madeleine?: Madeleine
  }
}

const TAGGED = 'script[src][data-source]'

/** `currentScript` is empty in modules and inlined copies, and a page's element named "currentScript" can stand in its place. */
function ownScript(): HTMLScriptElement | undefined {
  const running = document.currentScript as HTMLScriptElement
  if (attempt(() => running.matches(TAGGED))) return running
  return [...document.querySelectorAll<HTMLScriptElement>(TAGGED)].find((script) => /^[^?#]+\/t\.js([?#]|$)/.test(script.src))
}

function install(script: HTMLScriptElement, source: string, queued: unknown): void {
  const box = outbox(script, source)
  const report = reporter(script, source, box.put)
  let held: unknown[][] | undefined = []

  const madeleine: Madeleine = guarded((...call: unknown[]) => {
    const [command, callback] = call
    // Three that wait for nothing.
    if (command === 'status') (callback as (status: unknown) => void)(box.status())
    else if (command === 'optOut') box.choose(true)
    else if (command === 'optIn') {
      if (!held) report.visibility(isVisible()) // The time until now is dropped, if it was opted out.
      box.choose(false)
    } else if (!held) report.call(...call)
    else if (held.length < HELD_MAX) held.push(call)
  })
  madeleine.isTag = true
  // The stub writes to `madeleine.q`, so a copy of it that a module of the page has kept still arrives.
  madeleine.q = { push: guarded((call: Call) => madeleine(...Array.from(call))) }
  window.madeleine = madeleine
  for (const call of Array.isArray(queued) ? queued : []) madeleine.q.push(call)

  /** Not before the document is parsed, as an element in it may declare the category, unless it is being left; never while it is prerendered. */
  function start(isLeft?: unknown): void {
    const isPrerendered = (document as { prerendering?: boolean }).prerendering
    if (!held || isPrerendered || (document.readyState === 'loading' && isLeft !== true)) return
    const calls = held
    held = undefined
    for (const call of calls) attempt(() => report.call(...call))
    report.settle()
    report.navigate() // The address may have changed meanwhile: that is the next page.
  }

  const on = guarded((target: EventTarget, type: string, act: (event: Event) => void) =>
    target.addEventListener(type, guarded(act), true),
  )

  function show(isShown: boolean): void {
    if (!isShown) start(true)
    if (isShown || !held) report.visibility(isShown)
    box.hurry(!isShown)
  }

  const navigate = () => {
    if (!held) report.navigate()
  }
  for (const name of ['pushState', 'replaceState'] as const) {
    attempt(() => {
      const original = history[name]
      history[name] = function (this: History, ...given) {
        const answer = original.apply(this, given)
        attempt(navigate)
        return answer
      }
    })
  }
  on(window, 'popstate', navigate)
  // Routers on the Navigation API change the address without either; where both speak, the second finds the same address.
  on(window.navigation, 'currententrychange', navigate)
  on(document, 'visibilitychange', () => show(isVisible()))
  on(window, 'pagehide', () => show(false))
  on(window, 'pageshow', (event) => {
    if ((event as PageTransitionEvent).persisted) report.restore()
  })
  on(document, 'DOMContentLoaded', start)
  on(document, 'prerenderingchange', start)
  start()
}

attempt(() => {
  const script = ownScript()
  const source = script?.getAttribute('data-source')
  const { isTag, q }: Partial<Madeleine> = window.madeleine || {}
  if (script && source && !isTag) install(script, source, q)
})
