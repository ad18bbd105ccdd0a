// Chance that can be repeated: the same seed gives the same numbers on every machine. Not for secrets.

export type Random = {
  /** From 0, below 1. */
  next(): number
  chance(probability: number): boolean
  /** A whole number from `low` to `high`, both included. */
  between(low: number, high: number): number
  pick<T>(items: readonly T[]): T
  /** One of the items, each as likely as its weight says. */
  pickBy<T>(items: readonly T[], weight: (item: T) => number): T
  /** Times something happens that goes on with this probability after each time: 0 or more, few of them large. */
  repeats(probability: number): number
}

/** mulberry32 (Tommy Ettinger, public domain): 32 bits of state are plenty for a sample. */
export function makeRandom(seed: number): Random {
  let state = Math.imul(seed, 0x9e3779b1) | 0 // neighbouring seeds start far apart
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  return {
    next,
    chance: (probability) => next() < probability,
    between: (low, high) => low + Math.floor(next() * (high - low + 1)),
    pick<T>(items: readonly T[]) {
      return items[Math.floor(next() * items.length)] as T
    },
    pickBy<T>(items: readonly T[], weight: (item: T) => number) {
      let left = next() * items.reduce((sum, item) => sum + weight(item), 0)
      return (items.find((item) => {
        left -= weight(item)
        return left < 0
      }) ?? items.at(-1)) as T
    },
    repeats: (probability) => Math.floor(Math.log(1 - next()) / Math.log(probability)),
  }
}
