// Counts by label, kept as plain numbers on the hot path and read by the metrics route.

export class Tally {
  readonly #counts = new Map<string, number>()

  add(label: string, n = 1): void {
    this.#counts.set(label, (this.#counts.get(label) ?? 0) + n)
  }

  entries(): IterableIterator<[string, number]> {
    return this.#counts.entries()
  }
}
