// What somebody may have meant who wrote a name that nobody knows.

import { closest, distance } from 'fastest-levenshtein'

/** A third of what was written may be wrong: more than that, and a suggestion would be a guess. */
const tolerance = (written: string): number => Math.max(1, Math.floor(written.length / 3))

export function nearest(written: string, known: readonly string[]): string | undefined {
  if (known.length === 0 || written.length < 2) return undefined
  const best = closest(written, known)
  return distance(written, best) <= tolerance(written) ? best : undefined
}
