// Visitors as sparse rows of columns that are there or not: what training sees, all in memory because it is a bounded sample.

/** Row `n` has the columns `features[offsets[n]] ... features[offsets[n + 1] - 1]`, each once. */
export type Rows = {
  readonly size: number
  /** How many columns there are: their numbers are below. */
  readonly width: number
  readonly offsets: Uint32Array
  readonly features: Uint32Array
}

export function rowsOf(lists: readonly (readonly number[])[], width: number): Rows {
  const offsets = new Uint32Array(lists.length + 1)
  for (const [n, list] of lists.entries()) offsets[n + 1] = (offsets[n] ?? 0) + list.length
  const features = new Uint32Array(offsets[lists.length] ?? 0)
  for (const [n, list] of lists.entries()) features.set(list, offsets[n])
  return { size: lists.length, width, offsets, features }
}

/** How many rows have each column. */
export function supports({ width, features }: Rows): Uint32Array {
  const counts = new Uint32Array(width)
  for (let i = 0; i < features.length; i++) (counts[features[i] as number] as number)++
  return counts
}
