// Which audiences there are: those of the configuration, and the imported lists.

import { type AudienceId, parseAudienceId } from '../core/ids.ts'
import type { Store } from '../engine/store.ts'
import { listsOf } from '../rules/clauses.ts'
import { CURRENT_IMPORTS } from '../rules/imported.ts'
import type { ResolvedRule } from '../rules/rule.ts'
import type { AudienceRules } from './build.ts'

/** What the store holds beside events that audiences are made of. */
export type Kept = {
  readonly lists: ReadonlySet<AudienceId>
  /** Lookalikes whose last training came to nothing, with what it said. */
  readonly refused: ReadonlyMap<AudienceId, string>
}

export async function readKept(store: Store): Promise<Kept> {
  const rows = await store.rows<{ list: string }>({
    owner: 'membership.lists',
    sql: CURRENT_IMPORTS,
  })
  const trainings = await store.rows<{ lookalike: AudienceId; detail: string }>({
    owner: 'membership.trainings',
    sql: `SELECT lookalike, said AS detail FROM (
            SELECT lookalike, argMax(toString(trainings.outcome), generation) AS what, argMax(trainings.detail, generation) AS said
            FROM madeleine.trainings GROUP BY lookalike) WHERE what != 'trained'`,
  })
  return {
    lists: new Set(rows.flatMap(({ list }) => parseAudienceId(list) ?? [])),
    refused: new Map(trainings.map(({ lookalike, detail }) => [lookalike, detail])),
  }
}

type Named = {
  readonly segments: AudienceRules
  readonly nodes: AudienceRules
  readonly lookalikes: AudienceRules
  readonly destinations: readonly { readonly audiences: readonly { readonly audience: AudienceId }[] }[]
}

/** Every audience that there is, and those that a build without names is about: of the taxonomy's nodes, only those that somebody receives. */
export function audiencesOf({ segments, nodes, lookalikes, destinations }: Named, { lists, refused }: Kept) {
  const received = new Set(destinations.flatMap(({ audiences }) => audiences.map(({ audience }) => audience)))
  const resembling = [...lookalikes].map(([id, { rule }]) => [id, { rule, refused: refused.get(id) }] as const)
  const known = withLists(new Map([...segments, ...nodes, ...resembling]), lists)
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
  // What trainings write are no audiences by themselves.
  const lists = [...new Set([...imported, ...named])].filter((id) => !segments.has(id) && parseAudienceId(id))
  return new Map([...segments, ...lists.map((id) => [id, { rule: listRule(id) }] as const)])
}
