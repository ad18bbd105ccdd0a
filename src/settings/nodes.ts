// Nodes of the audience taxonomy as audiences: a node holds the members of every segment that stands at it or below it.

import { type AudienceId, parseAudienceId } from '../core/ids.ts'
import type { ResolvedRule } from '../rules/rule.ts'
import type { Taxonomy } from '../taxonomy/tree.ts'
import type { SegmentSettings } from './segments.ts'

export type NodeAudience = {
  readonly id: AudienceId
  /** `Interest | Automotive`. */
  readonly name: string
  /** Any of its segments. */
  readonly rule: ResolvedRule
}

/** Nodes that have a segment at or below them. Where a segment has the id of a node, the id means the segment. */
export function nodeAudiences(
  segments: ReadonlyMap<AudienceId, SegmentSettings>,
  taxonomy: Taxonomy,
): Map<AudienceId, NodeAudience> {
  const held = new Map<string, ResolvedRule[]>()
  for (const { taxonomy: own, rule } of segments.values()) {
    if (own === undefined) continue
    for (const id of [own, ...taxonomy.ancestors(own)]) held.set(id, [...(held.get(id) ?? []), rule])
  }
  const nodes = new Map<AudienceId, NodeAudience>()
  for (const [text, rules] of held) {
    const id = parseAudienceId(text)
    if (!id || segments.has(id)) continue // nodes of the operator's own may have ids that no audience can have
    nodes.set(id, { id, name: taxonomy.pathOf(text), rule: { kind: 'any', rules } })
  }
  return nodes
}
