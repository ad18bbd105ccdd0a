// The tag is a guest in a publisher's page: whatever goes wrong in it ends here, in silence. Every entry point (the script itself, `madeleine()`,
// listeners, timers, the wrapped History methods, the callbacks of a consent platform) passes through `guarded`.

/** What the browser may refuse (storage in a sandboxed frame, say): undefined then. */
export function attempt<T>(act: () => T): T | undefined {
  try {
    return act()
  } catch {
    // An event lost is our loss; an exception would be the publisher's.
    return undefined
  }
}

export function guarded<A extends unknown[]>(act: (...given: A) => void): (...given: A) => void {
  return (...given) => attempt(() => act(...given))
}
