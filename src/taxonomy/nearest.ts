// What somebody may have meant who wrote an id that a taxonomy does not have: a node of that name, or the id or name that is spelled most like it.

import { distance } from 'fastest-levenshtein'
import type { Taxonomy, TaxonomyNode } from './tree.ts'

/** A third of what was written may be wrong: more than that, and a suggestion would be a guess. */
const tolerance = (written: string): number => Math.min(4, Math.floor(written.length / 3))

export function nearestNode(taxonomy: Taxonomy, written: string): TaxonomyNode | undefined {
  const wanted = written.trim().toLowerCase()
  const named = taxonomy.named(wanted)[0]
  if (named) return named
  const leaf = wanted.includes('|') ? wanted.slice(wanted.lastIndexOf('|') + 1).trim() : wanted
  const inPlace = taxonomy.named(leaf).find(({ id }) => taxonomy.pathOf(id).toLowerCase() === wanted)
  if (inPlace) return inPlace
  let best: TaxonomyNode | undefined
  let least = tolerance(leaf) + 1
  for (const node of taxonomy.nodes.values())
    for (const text of [node.id, node.name]) {
      if (Math.abs(text.length - leaf.length) >= least) continue
      const far = distance(leaf, text.toLowerCase())
      if (far < least) {
        least = far
        best = node
      }
    }
  return best
}

/** `; did you mean "243" (Interest | Automotive)?`, or nothing. */
export function suggestion(taxonomy: Taxonomy, written: string): string {
  const node = nearestNode(taxonomy, written)
  return node ? `; did you mean "${node.id}" (${taxonomy.pathOf(node.id)})?` : ''
}
