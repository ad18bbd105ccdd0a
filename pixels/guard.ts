// The tag is a guest in a publisher's page: whatever goes wrong in it ends here, in silence. Every entry point (the script itself, `madeleine()`,
// listeners, timers, the wrapped History methods) passes through `guarded`.

export function guarded<A extends unknown[]>(act: (...given: A) => void): (...given: A) => void {
  return (...given) => {
    try {
      act(...given)
    } catch {
      // An event lost is our loss; an exception would be the publisher's.
    }
  }
}
