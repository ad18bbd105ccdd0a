// The content taxonomy: what is below what.

import { CONTENT_TAXONOMY_3_1 } from './content-facts.ts'

export type ContentNode = { readonly id: string; readonly parent: string; readonly name: string }

export const CONTENT_NODES: ReadonlyMap<string, ContentNode> = new Map(
  CONTENT_TAXONOMY_3_1.trim()
    .split('\n')
    .map((line) => {
      const [id = '', parent = '', name = ''] = line.split('|')
      return [id, { id, parent, name }]
    }),
)

const childrenOf = new Map<string, string[]>()
for (const { id, parent } of CONTENT_NODES.values()) childrenOf.set(parent, [...(childrenOf.get(parent) ?? []), id])

/** The id and every id below it. An id the taxonomy does not know stands for itself alone. */
export function contentDescendants(id: string): readonly string[] {
  return id === '' ? [] : [id, ...(childrenOf.get(id) ?? []).flatMap(contentDescendants)]
}
