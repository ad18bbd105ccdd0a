// The audience taxonomy that comes along: what visitors have in common.

import { AUDIENCE_TAXONOMY_1_1 } from './audience-facts.ts'
import { makeTaxonomy, rowsOfFacts, type Taxonomy } from './tree.ts'

export const AUDIENCE_ROWS = rowsOfFacts(AUDIENCE_TAXONOMY_1_1)
export const AUDIENCE_TAXONOMY: Taxonomy = makeTaxonomy(AUDIENCE_ROWS).taxonomy
