// What a score is made of. Contributions are exact: base and parts add up to the margin. A tree's value is split among its columns by Shapley's values (Lundberg and Lee,
// NeurIPS 2017), everybody being the background, by brute force: a tree asks six columns at the most.

import { leafOf, type Model, type ObliviousTree } from './model.ts'
import type { Rows } from './rows.ts'

/** Also of columns that the visitor lacks, where a tree asks for them. */
export type Contributions = { readonly base: number; readonly parts: Map<number, number> }

const sizeOf = (set: number): number => {
  let size = 0
  for (let rest = set; rest > 0; rest &= rest - 1) size++
  return size
}

/** By set of columns that are known to be as the visitor's are: the tree's mean value over everybody, each with those columns as the visitor has them. */
function expectations({ columns, values, covers }: ObliviousTree, own: number): number[] {
  const all = covers.reduce((sum, cover) => sum + cover, 0)
  return Array.from({ length: 2 ** columns.length }, (_, known) => {
    let sum = 0
    for (const [leaf, cover] of covers.entries()) sum += cover * (values[(leaf & ~known) | (own & known)] as number)
    return all > 0 ? sum / all : 0
  })
}

export function contributions({ bias, weights, normalized, trees }: Model, columns: readonly number[]): Contributions {
  const parts = new Map<number, number>()
  const add = (column: number, part: number) => parts.set(column, (parts.get(column) ?? 0) + part)
  const squares = columns.reduce((sum, column) => sum + (normalized.squares[column] as number), 0)
  const norm = squares > 0 ? Math.sqrt(squares) : 1
  for (const column of columns) add(column, (weights[column] as number) + (normalized.weights[column] as number) / norm)
  const marks = new Uint8Array(weights.length)
  for (const column of columns) marks[column] = 1
  let base = bias
  for (const tree of trees) {
    const depth = tree.columns.length
    const values = expectations(tree, leafOf(tree, marks))
    base += values[0] as number
    // |S|! (depth - |S| - 1)! / depth!
    const shares = [1 / depth]
    for (let size = 1; size < depth; size++) shares.push(((shares[size - 1] as number) * size) / (depth - size))
    for (const [i, column] of tree.columns.entries()) {
      let part = 0
      for (const [known, value] of values.entries())
        if ((known & (1 << i)) === 0) part += (shares[sizeOf(known)] as number) * ((values[known | (1 << i)] as number) - value)
      add(column, part)
    }
  }
  return { base, parts }
}

/** By column, how much having it moves the margin: its weights at the mean length, and its mean effect in the trees over everybody. */
export function importances({ weights, normalized, trees }: Model, { size, offsets, features }: Rows): Float64Array {
  let shortened = 0
  for (let n = 0; n < size; n++) {
    let squares = 0
    for (let i = offsets[n] as number; i < (offsets[n + 1] as number); i++)
      squares += normalized.squares[features[i] as number] as number
    shortened += (squares > 0 ? 1 / Math.sqrt(squares) : 1) / size
  }
  const effects = weights.map((weight, column) => weight + shortened * (normalized.weights[column] as number))
  for (const { columns, values, covers } of trees) {
    const all = covers.reduce((sum, cover) => sum + cover, 0)
    for (const [i, column] of columns.entries())
      for (const [leaf, cover] of covers.entries())
        (effects[column] as number) +=
          (all > 0 ? cover / all : 0) * ((values[leaf | (1 << i)] as number) - (values[leaf & ~(1 << i)] as number))
  }
  return effects
}
