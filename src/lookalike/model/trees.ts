// Boosted oblivious trees: one question a level for the whole tree, so that a tree is a table and its index the answers' bits (Prokhorenkova et al., CatBoost,
// NeurIPS 2018); values and gains of second order (Chen and Guestrin, XGBoost, KDD 2016, section 2.2). They are fitted to what a regression leaves: what columns
// say together. Deterministic given the seed.

import { sigmoid } from './linear.ts'
import type { ObliviousTree } from './model.ts'
import { makeRandom } from './random.ts'
import type { Rows } from './rows.ts'

/** Rows that answer all questions alike are one group: a tree need not look at them one by one. */
export type Groups = {
  readonly asked: readonly number[]
  readonly size: number
  /** The group of each row. */
  readonly of: Uint32Array
  /** Group `k` has `asked[places[offsets[k]]] ...`. */
  readonly offsets: Uint32Array
  readonly places: Uint8Array
  /** Group by group, 1 for each of `asked` that it has. */
  readonly bits: Uint8Array
}

export function groupsOf(rows: Rows, asked: readonly number[]): Groups {
  const place = new Int32Array(rows.width).fill(-1)
  for (const [k, column] of asked.entries()) place[column] = k
  const known = new Map<number, Map<number, number>>()
  const of = new Uint32Array(rows.size)
  const offsets = [0]
  const places: number[] = []
  for (let n = 0; n < rows.size; n++) {
    let low = 0
    let high = 0
    for (let i = rows.offsets[n] as number; i < (rows.offsets[n + 1] as number); i++) {
      const k = place[rows.features[i] as number] as number
      if (k < 0) continue
      if (k < 32) low |= 1 << k
      else high |= 1 << (k - 32)
    }
    let fellows = known.get(low)
    if (!fellows) {
      fellows = new Map()
      known.set(low, fellows)
    }
    let group = fellows.get(high)
    if (group === undefined) {
      group = offsets.length - 1
      fellows.set(high, group)
      for (let k = 0; k < asked.length; k++) if (((k < 32 ? low >>> k : high >>> (k - 32)) & 1) === 1) places.push(k)
      offsets.push(places.length)
    }
    of[n] = group
  }
  const size = offsets.length - 1
  const bits = new Uint8Array(size * asked.length)
  for (let k = 0; k < size; k++)
    for (let i = offsets[k] as number; i < (offsets[k + 1] as number); i++) bits[k * asked.length + (places[i] as number)] = 1
  return { asked, size, of, offsets: Uint32Array.from(offsets), places: Uint8Array.from(places), bits }
}

export type TreesOptions = {
  readonly rounds: number
  readonly depth: number
  readonly rate: number
  /** Share of the rows that each tree sees. */
  readonly share: number
  readonly seed: number
  /** Penalty on the squared values of leaves. */
  readonly penalty: number
  /** How much each row weighs; 0: it is held out. */
  readonly counts: Float32Array
  /** What each row weighs in the trees' covers. */
  readonly covers: Float32Array
  /** After each round, with the margins as they are then; false ends the boosting. */
  readonly onRound?: (round: number) => boolean
}

/** The column whose answer gains most over all leaves, or -1. */
function bestOf(
  width: number,
  leaves: number,
  sums: Float64Array,
  has: Float64Array,
  used: Set<number>,
  penalty: number,
): number {
  let before = 0
  for (let leaf = 0; leaf < leaves; leaf++) before += (sums[2 * leaf] as number) ** 2 / ((sums[2 * leaf + 1] as number) + penalty)
  let best = -1
  let most = before * (1 + 1e-9) + 1e-9
  for (let column = 0; column < width; column++) {
    if (used.has(column)) continue
    let after = 0
    for (let leaf = 0; leaf < leaves; leaf++) {
      const at = 2 * (leaf * width + column)
      const g = has[at] as number
      const h = Math.max(has[at + 1] as number, 0)
      const otherG = (sums[2 * leaf] as number) - g
      const otherH = Math.max((sums[2 * leaf + 1] as number) - h, 0)
      after += (g * g) / (h + penalty) + (otherG * otherG) / (otherH + penalty)
    }
    if (after > most) {
      most = after
      best = column
    }
  }
  return best
}

/** Adds the trees' values to `margins`, of rows that are held out too, and gives the trees. */
export function fitTrees(groups: Groups, labels: Uint8Array, margins: Float64Array, options: TreesOptions): ObliviousTree[] {
  const { rounds, depth, rate, share, seed, penalty, counts, covers, onRound } = options
  const { asked, size, of, offsets, places, bits } = groups
  const width = asked.length
  const random = makeRandom(seed)
  const g = new Float64Array(size)
  const h = new Float64Array(size)
  const leafOf = new Uint8Array(size)
  const coverOf = new Float64Array(size)
  for (let n = 0; n < labels.length; n++) (coverOf[of[n] as number] as number) += covers[n] as number
  const has = new Float64Array(2 * width * 2 ** Math.max(depth - 1, 0))
  const trees: ObliviousTree[] = []

  /** Sums by leaf and column of the groups that answer `column` with yes (all groups: -1). */
  function count(column: number): void {
    for (let k = 0; k < size; k++) {
      const hk = h[k] as number
      if (hk === 0 || (column >= 0 && bits[k * width + column] === 0)) continue
      const gk = g[k] as number
      const base = (leafOf[k] as number) * width
      const to = offsets[k + 1] as number
      for (let i = offsets[k] as number; i < to; i++) {
        const at = 2 * (base + (places[i] as number))
        ;(has[at] as number) += gk
        ;(has[at + 1] as number) += hk
      }
    }
  }

  for (let round = 0; round < rounds; round++) {
    g.fill(0)
    h.fill(0)
    for (let n = 0; n < labels.length; n++) {
      const weight = counts[n] as number
      if (weight === 0 || random() >= share) continue
      const p = sigmoid(margins[n] as number)
      const k = of[n] as number
      ;(g[k] as number) += weight * (p - (labels[n] as number))
      ;(h[k] as number) += weight * p * (1 - p)
    }
    leafOf.fill(0)
    has.fill(0)
    count(-1)
    const sums = new Float64Array(2 ** (depth + 1))
    for (let k = 0; k < size; k++) {
      ;(sums[0] as number) += g[k] as number
      ;(sums[1] as number) += h[k] as number
    }
    const chosen: number[] = []
    const used = new Set<number>()
    while (chosen.length < depth) {
      const leaves = 2 ** chosen.length
      const column = bestOf(width, leaves, sums, has, used, penalty)
      if (column < 0) break
      for (let leaf = 0; leaf < leaves; leaf++) {
        const at = 2 * (leaf * width + column)
        for (const i of [0, 1]) {
          sums[2 * (leaves + leaf) + i] = has[at + i] as number
          ;(sums[2 * leaf + i] as number) -= has[at + i] as number
        }
      }
      for (let k = 0; k < size; k++) (leafOf[k] as number) |= (bits[k * width + column] as number) << chosen.length
      chosen.push(column)
      used.add(column)
      if (chosen.length === depth) break
      count(column)
      const half = 2 * leaves * width // those that lack it are those of before without those that have it
      for (let i = 0; i < half; i++) (has[i] as number) -= has[half + i] as number
    }
    if (chosen.length === 0) break
    const leaves = 2 ** chosen.length
    const values = Array.from(
      { length: leaves },
      (_, leaf) => (-rate * (sums[2 * leaf] as number)) / (Math.max(sums[2 * leaf + 1] as number, 0) + penalty),
    )
    const cover = new Array<number>(leaves).fill(0)
    for (let k = 0; k < size; k++) (cover[leafOf[k] as number] as number) += coverOf[k] as number
    for (let n = 0; n < labels.length; n++) (margins[n] as number) += values[leafOf[of[n] as number] as number] as number
    trees.push({ columns: chosen.map((k) => asked[k] as number), values, covers: cover })
    if (onRound?.(round + 1) === false) break
  }
  return trees
}

/** What trees say of each row, added to its margin. */
export function addTrees({ asked, size, of, bits }: Groups, trees: readonly ObliviousTree[], margins: Float64Array): void {
  const place = new Map(asked.map((column, k) => [column, k]))
  const values = new Float64Array(size)
  for (const tree of trees) {
    const places = tree.columns.map((column) => place.get(column) as number)
    for (let k = 0; k < size; k++) {
      let leaf = 0
      for (let i = 0; i < places.length; i++) leaf |= (bits[k * asked.length + (places[i] as number)] as number) << i
      ;(values[k] as number) += tree.values[leaf] as number
    }
  }
  for (let n = 0; n < margins.length; n++) (margins[n] as number) += values[of[n] as number] as number
}
