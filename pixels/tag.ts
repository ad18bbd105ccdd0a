// The publisher's tag, served as /t.js: finds its own script element, takes over `madeleine()` with the calls queued so far, and hands what happens to
// the document to the reporter. It keeps nothing in the browser: no cookie, no storage, no id. It must stay below 3 KB gzipped.

import { isVisible } from './dwell.ts'
import { guarded } from './guard.ts'
import { reporter } from './report.ts'

type Call = ArrayLike<unknown>
type Madeleine = ((...call: unknown[]) => void) & { isTag?: true; q?: { push(call: Call): unknown } }

declare global {
  interface Window {
    madeleine?: Madeleine
  }
}

/** Calls kept while the document loads or is prerendered; a page that makes more of them is looping. */
const HELD_CALLS_MAX = 1_000
const TAGGED = 'script[src][data-source]'

/** `currentScript` is empty in modules and inlined copies, and a page's element named "currentScript" can stand in its place. */
function ownScript(): HTMLScriptElement | undefined {
  const running: unknown = document.currentScript
  if (running instanceof HTMLScriptElement && running.matches(TAGGED)) return running
  return [...document.querySelectorAll<HTMLScriptElement>(TAGGED)].find((script) => /^[^?#]+\/t\.js([?#]|$)/.test(script.src))
}

function install(script: HTMLScriptElement, source: string): void {
  const report = reporter(script, source)
  const queued = window.madeleine?.q
  let held: Call[] | undefined = Array.isArray(queued) ? queued.slice(0, HELD_CALLS_MAX) : []

  const madeleine: Madeleine = guarded((...call: unknown[]) => {
    if (!held) report.call(...call)
    else if (held.length < HELD_CALLS_MAX) held.push(call)
  })
  madeleine.isTag = true
  // The stub writes to `madeleine.q`, so a copy of it that a module of the page has kept still arrives.
  madeleine.q = { push: guarded((call: Call) => madeleine(...Array.from(call))) }
  window.madeleine = madeleine

  /** Not before the document is parsed, as an element in it may declare the category, unless it is being left; never while it is prerendered. */
  function start(isLeft: boolean): void {
    const isPrerendered = (document as { prerendering?: boolean }).prerendering
    if (!held || isPrerendered || (document.readyState === 'loading' && !isLeft)) return
    const calls = held
    held = undefined
    for (const call of calls) guarded(() => report.call(...Array.from(call)))()
    report.settle()
    report.navigate() // The address may have changed meanwhile: that is the next page.
    report.visibility(isVisible())
  }

  const on = guarded((target: EventTarget | undefined, type: string, act: (event: Event) => void) =>
    target?.addEventListener(type, guarded(act), true),
  )

  function show(isShown: boolean): void {
    if (!isShown) start(true)
    if (isShown || !held) report.visibility(isShown)
  }

  const navigate = () => {
    if (!held) report.navigate()
  }
  for (const name of ['pushState', 'replaceState'] as const) {
    guarded(() => {
      const original = history[name]
      history[name] = function (this: History, ...given) {
        const answer = original.apply(this, given)
        guarded(navigate)()
        return answer
      }
    })()
  }
  on(window, 'popstate', navigate)
  // Routers on the Navigation API change the address without either; where both speak, the second finds the same address.
  on(window.navigation, 'currententrychange', navigate)
  on(document, 'visibilitychange', () => show(isVisible()))
  on(window, 'pagehide', () => show(false))
  on(window, 'pageshow', (event) => {
    if ((event as PageTransitionEvent).persisted) report.restore()
  })
  on(document, 'DOMContentLoaded', () => start(false))
  on(document, 'prerenderingchange', () => start(false))
  start(false)
}

guarded(() => {
  const script = ownScript()
  const source = script?.getAttribute('data-source')
  if (script && source && !window.madeleine?.isTag) install(script, source)
})()
