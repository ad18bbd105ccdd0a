// Imported lists: which there are, and which of them a rule needs.

import type { AudienceId } from '../core/ids.ts'
import type { Store } from '../engine/store.ts'
import { listsOf } from '../rules/clauses.ts'
import { CURRENT_IMPORTS } from '../rules/imported.ts'
import type { ResolvedRule } from '../rules/rule.ts'
import type { AudienceRules } from './build.ts'

export async function readImportedLists(store: Store): Promise<Set<AudienceId>> {
  const rows = await store.rows<{ list: AudienceId }>({
    owner: 'membership.lists',
    sql: CURRENT_IMPORTS,
  })
  return new Set(rows.map(({ list }) => list))
}

type Named = {
  readonly segments: AudienceRules
  readonly nodes: AudienceRules
  readonly destinations: readonly { readonly audiences: readonly { readonly audience: AudienceId }[] }[]
}

/** Every audience that there is, and those that a build without names is about: of the taxonomy's nodes, only those that somebody receives. */
export function audiencesOf({ segments, nodes, destinations }: Named, imported: ReadonlySet<AudienceId>) {
  const received = new Set(destinations.flatMap(({ audiences }) => audiences.map(({ audience }) => audience)))
  const known = withLists(new Map([...segments, ...nodes]), imported)
  const usual = [...known.keys()].filter((id) => !nodes.has(id) || received.has(id))
  return { known, usual }
}

const listRules = new Map<AudienceId, ResolvedRule>()
/** One object a list, so that whoever prepared for its rule knows it again. */
function listRule(id: AudienceId): ResolvedRule {
  const rule = listRules.get(id) ?? { kind: 'list', id }
  listRules.set(id, rule)
  return rule
}

/** Segments and lists: an imported list, or one that a rule names, is an audience of its own, of those of its ids that are known visitors. */
function withLists(segments: AudienceRules, imported: ReadonlySet<AudienceId>): AudienceRules {
  const named = [...segments.values()].flatMap(({ rule }) => listsOf(rule))
  const lists = [...new Set([...imported, ...named])].filter((id) => !segments.has(id))
  return new Map([...segments, ...lists.map((id) => [id, { rule: listRule(id) }] as const)])
}
