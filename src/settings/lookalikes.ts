// Lookalike files: who resembles whom, among whom, and how many of them. A lookalike is an audience like any other: its rule holds who was chosen at the last
// training, is still among the pool, and has not become one of the seed.

import type { z } from 'zod'
import type { AudienceId } from '../core/ids.ts'
import { nearest } from '../core/nearest.ts'
import { listsOf } from '../rules/clauses.ts'
import type { Problem, ResolvedRule } from '../rules/rule.ts'
import type { ConfigError, Document } from './document.ts'
import { readItems } from './items.ts'
import { lookalikeSchema } from './schema.ts'

/** How many are chosen: the best of the pool outside the seed, as a share of it or a number; or whoever scores so high. */
export type Reach =
  | { readonly kind: 'share'; readonly share: number }
  | { readonly kind: 'size'; readonly size: number }
  | { readonly kind: 'score'; readonly least: number }

export type LookalikeSettings = {
  readonly id: AudienceId
  readonly name: string
  /** A segment, a node of the audience taxonomy, or an imported list. */
  readonly seed: { readonly id: AudienceId; readonly kind: 'segment' | 'list'; readonly rule: ResolvedRule }
  /** The pool; undefined: every known visitor. */
  readonly among: { readonly id: AudienceId; readonly rule: ResolvedRule } | undefined
  readonly reach: Reach
  /** Names of fields that the model does not see. */
  readonly exclude: readonly string[]
  /** Share of the members that one training may replace. */
  readonly churn: number
  readonly retrainMs: number
  /** Of the audience. */
  readonly rule: ResolvedRule
}

/** The list that trainings write: a name that no imported list can have. */
export const trainedList = (id: AudienceId): AudienceId => `~${id}` as AudienceId

type Rules = ReadonlyMap<AudienceId, { readonly rule: ResolvedRule }>

export type Known = {
  readonly segments: Rules
  readonly nodes: Rules
  /** False: some segment could not be read, so a name that nobody defines may be its. */
  readonly whole: boolean
}

type Raw = z.output<typeof lookalikeSchema>

function reachOf({ reach, size, min_score: least }: Raw): Reach {
  if (size !== undefined) return { kind: 'size', size }
  return least === undefined ? { kind: 'share', share: reach ?? 0 } : { kind: 'score', least }
}

export function readLookalikes(
  documents: readonly Document[],
  { segments, nodes, whole }: Known,
  errors: ConfigError[],
): Map<AudienceId, LookalikeSettings> {
  const ids = new Set<string>()
  const items = documents.flatMap((document) =>
    readItems(document, 'lookalikes', lookalikeSchema, errors, ids).items.map((item) => ({ document, ...item })),
  )
  const named = new Map([...segments].flatMap(([id, { rule }]) => listsOf(rule).map((list) => [list, id] as const)))
  const all = new Set(items.flatMap(({ value }) => value?.id ?? []))
  const lookalikes = new Map<AudienceId, LookalikeSettings>()
  for (const { document, path, value } of items) {
    if (!value) continue
    const id = value.id as AudienceId
    const report = (key: string, message: string) => {
      const problem: Problem = { path: [...path, key], at: 'value', message }
      errors.push(document.locate(problem))
    }
    if (segments.has(id)) report('id', `\`${id}\` is a segment: audiences share one set of ids`)
    if (nodes.has(id)) report('id', `\`${id}\` is a node of the audience taxonomy: audiences share one set of ids`)
    if (named.has(id)) report('id', `segment \`${named.get(id)}\` names it as a list: audiences share one set of ids`)
    for (const key of ['seed', 'among'] as const) {
      const other = value[key]
      if (other !== undefined && all.has(other)) report(key, `\`${other}\` is a lookalike: ${key} is a segment or a list`)
    }
    const seedId = value.seed as AudienceId
    const seedRule = (segments.get(seedId) ?? nodes.get(seedId))?.rule
    const seed = { id: seedId, kind: seedRule ? 'segment' : 'list', rule: seedRule ?? { kind: 'list', id: seedId } } as const
    const amongId = value.among as AudienceId | undefined
    const amongRule = amongId && (segments.get(amongId) ?? nodes.get(amongId))?.rule
    // A pool that nobody has defined would be an empty list, and the mistake would be seen in a week.
    if (amongId !== undefined && !amongRule && whole) {
      const meant = nearest(amongId, [...segments.keys()])
      report('among', `unknown segment \`${amongId}\`${meant === undefined ? '' : `; did you mean \`${meant}\`?`}`)
    }
    const among = amongId && amongRule ? { id: amongId, rule: amongRule } : undefined
    const rules: ResolvedRule[] = [
      { kind: 'list', id: trainedList(id), needs: 'model' },
      { kind: 'not', rule: seed.rule },
    ]
    lookalikes.set(id, {
      id,
      name: value.name ?? id,
      seed,
      among,
      reach: reachOf(value),
      exclude: value.exclude,
      churn: value.churn,
      retrainMs: value.retrain,
      rule: { kind: 'all', rules: among ? [...rules, among.rule] : rules },
    })
  }
  return lookalikes
}
