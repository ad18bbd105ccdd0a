// The content taxonomy that comes along: what pages are about.

import { CONTENT_TAXONOMY_3_1 } from './content-facts.ts'
import { makeTaxonomy, rowsOfFacts, type Taxonomy, type TaxonomyNode } from './tree.ts'

export const CONTENT_ROWS = rowsOfFacts(CONTENT_TAXONOMY_3_1)
export const CONTENT_TAXONOMY: Taxonomy = makeTaxonomy(CONTENT_ROWS).taxonomy

export const CONTENT_NODES: ReadonlyMap<string, TaxonomyNode> = CONTENT_TAXONOMY.nodes
export const contentDescendants = CONTENT_TAXONOMY.descendants
