// The audiences' own log: which version of its rule an audience's members are of, and how many there were.

import { createHash } from 'node:crypto'
import type { AudienceId } from '../core/ids.ts'
import type { Store } from '../engine/store.ts'
import { listsOf } from '../rules/clauses.ts'
import { CURRENT_IMPORTS } from '../rules/imported.ts'
import type { ResolvedRule } from '../rules/rule.ts'
import type { Audience } from './pass.ts'

/** `size`: as before, counted anew. `stale`: the rule is another now, and the members are nobody's. */
export type What = 'built' | 'size' | 'failed' | 'deleted' | 'stale'
/** Its members are those of the last tick. */
export const isCurrent = (logged: Logged | undefined): logged is Logged => logged?.what === 'built' || logged?.what === 'size'

export type Logged = {
  readonly tick: number
  readonly what: What
  /** Of the rule, from 1. */
  readonly version: number
  /** What the members depend on beside events: the rule, the lists that it reads, retention. */
  readonly key: string
  readonly size: number
  /** Why it failed. */
  readonly detail: string
}
export type AudienceLog = ReadonlyMap<AudienceId, Logged>

/** Of each audience what was said last, and when something was said last of any. */
export async function readAudienceLog(store: Store, upToTick: number): Promise<AudienceLog> {
  const rows = await store.rows<Logged & { audience: AudienceId }>({
    owner: 'membership.log',
    sql: `SELECT audience, max(audience_log.tick) AS tick, toString(argMax(audience_log.what, audience_log.tick)) AS what, argMax(audience_log.version, audience_log.tick) AS version,
            argMax(rule_key, audience_log.tick) AS key, argMax(audience_log.size, audience_log.tick) AS size, argMax(audience_log.detail, audience_log.tick) AS detail
          FROM madeleine.audience_log WHERE audience_log.tick <= {tick:UInt64} GROUP BY audience`,
    values: { tick: upToTick },
  })
  return new Map(rows.map(({ audience, ...logged }) => [audience, logged]))
}

export type LogRow = Logged & {
  readonly audience: AudienceId
  readonly atMs: number
  readonly rule: string
  readonly rows: number
  readonly bytes: number
  readonly seconds: number
}

export async function writeAudienceLog(store: Store, rows: readonly LogRow[]): Promise<void> {
  if (rows.length === 0) return
  const lines = rows.map(({ atMs, key, ...row }) => JSON.stringify({ ...row, at: atMs, rule_key: key }))
  await store.insertLines({
    owner: 'membership.log',
    into: 'madeleine.audience_log (tick, at, audience, what, version, rule_key, rule, size, detail, rows, bytes, seconds)',
    lines: Buffer.from(`${lines.join('\n')}\n`),
  })
}

export const ruleText = (rule: ResolvedRule): string =>
  JSON.stringify(rule, (_, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value))

/** Of a thousand audiences, every second. */
const hashes = new WeakMap<ResolvedRule, string>()
function hashOf(rule: ResolvedRule): string {
  const hash = hashes.get(rule) ?? createHash('sha256').update(ruleText(rule)).digest('hex').slice(0, 32)
  hashes.set(rule, hash)
  return hash
}

/** Imports of lists that count now, by list. */
export async function readGenerations(store: Store): Promise<Map<AudienceId, number>> {
  const rows = await store.rows<{ list: AudienceId; generation: number }>({
    owner: 'membership.generations',
    sql: CURRENT_IMPORTS,
  })
  return new Map(rows.map(({ list, generation }) => [list, generation]))
}

/** The same key, the same members at the same moment. */
export function keyOf({ rule }: Audience, generations: ReadonlyMap<AudienceId, number>, retentionMs: number): string {
  const lists = [...new Set(listsOf(rule))].sort().map((list) => `${list}@${generations.get(list) ?? 0}`)
  return [hashOf(rule), retentionMs, ...lists].join(' ')
}
