// Explanations of stored memberships, held against them: visitors are drawn from what is stored, and of each some audiences that hold them and as many that do not. The
// explanation must say what is stored, and the rule, recomputed from nothing but what its clauses cite, must say it again.
//   npm run build && npm run bench:why -- --data DIR --audiences 1000 --pairs 5000     (DIR as bench:fresh leaves it, with the same number of audiences)

import { parseArgs } from 'node:util'
import { RETENTION_MAX_MS } from '../../src/core/duration.ts'
import type { AudienceId, VisitorId } from '../../src/core/ids.ts'
import { ALL_PERMISSIONS } from '../../src/core/permissions.ts'
import { openStore } from '../../src/engine/store.ts'
import { makeMembership } from '../../src/membership/refresh.ts'
import { readVisitors } from '../../src/membership/visitor.ts'
import { clausesOf } from '../../src/rules/clauses.ts'
import { compares, holds } from '../../src/rules/evaluate.ts'
import { type ExplainedClause, explain } from '../../src/rules/explain.ts'
import type { Leaf, ResolvedRule } from '../../src/rules/rule.ts'
import { manyAudiences } from './audiences.ts'

const { values: options } = parseArgs({
  options: {
    data: { type: 'string', default: '' },
    audiences: { type: 'string', default: '1000' },
    pairs: { type: 'string', default: '5000' },
  },
})
const EACH = 5
const retentionMs = RETENTION_MAX_MS
const audiences = manyAudiences(Number(options.audiences))
const rules = new Map(audiences.map(({ id, rule }) => [id, rule]))

/** A clause by what it cites. */
function clauseHolds(leaf: Leaf, { events, sessions, holds: said }: ExplainedClause, atMs: number): boolean {
  if (leaf.kind === 'list') return said
  if (leaf.kind === 'events' && leaf.measure.kind === 'sessions') return compares(new Set(sessions).size, leaf.measure.comparison)
  const history = events.map((event) => ({ ...event, permissions: ALL_PERMISSIONS }))
  return holds(leaf, { history, atMs, isListed: () => false })
}
function recomputed(rule: ResolvedRule, clauses: boolean[]): boolean {
  if (rule.kind === 'all') return rule.rules.map((item) => recomputed(item, clauses)).every(Boolean)
  if (rule.kind === 'any') return rule.rules.map((item) => recomputed(item, clauses)).some(Boolean)
  return rule.kind === 'not' ? !recomputed(rule.rule, clauses) : (clauses.shift() ?? false)
}

const store = openStore({ directory: options.data })
const wanted = new Set(rules.keys())
const { tick, atMs } = await makeMembership(store).refresh({
  known: audiences,
  wanted,
  retentionMs,
  now: Date.now,
  limits: { memoryBytes: 3 * 1024 ** 3 },
  checkpoint: true,
})
const drawn = await store.rows<{ id: VisitorId; held: AudienceId[] }>({
  owner: 'bench.why',
  sql: `SELECT toString(visitor) AS id, groupArray(audience) AS held FROM (
          SELECT visitor, audience, argMax(kind, tick) AS last, argMax(expires, tick) AS ends FROM madeleine.transitions
          WHERE tick <= {tick:UInt64} AND visitor IN (SELECT visitor FROM madeleine.events WHERE rand() % 10000 = 0 LIMIT {n:UInt32}) GROUP BY visitor, audience
        ) WHERE last != 'left' AND ends > fromUnixTimestamp64Milli({at:Int64}) GROUP BY visitor`,
  values: { tick, at: atMs, n: Math.ceil(Number(options.pairs) / EACH) },
})
const kept = new Map<VisitorId, Awaited<ReturnType<typeof readVisitors>>>()
for (const { id } of drawn) kept.set(id, await readVisitors(store, [id], { nowMs: atMs, retentionMs }))
await store.close()

let pairs = 0
let inside = 0
const wrong: string[] = []
for (const [n, { id, held }] of drawn.entries()) {
  const { history = [], facts = undefined } = kept.get(id)?.get(id) ?? {}
  const stored = new Set(held)
  const out = audiences.map((audience) => audience.id).filter((audience) => !stored.has(audience))
  const some = (all: readonly AudienceId[]) =>
    all.flatMap((_, i) => (i < EACH ? [all[(n * 7 + i * 13) % all.length] as AudienceId] : []))
  for (const audience of new Set([...some(held), ...some(out)])) {
    const rule = rules.get(audience)
    if (!rule || pairs >= Number(options.pairs)) continue
    const { member, clauses } = explain(rule, history, atMs, retentionMs, facts)
    const again = clausesOf(rule).map(({ leaf }, c) => clauseHolds(leaf, clauses[c] as ExplainedClause, atMs))
    const isIn = stored.has(audience)
    pairs++
    if (isIn) inside++
    if (member !== isIn || recomputed(rule, again) !== isIn) wrong.push(`${id} ${audience}: stored ${isIn}, explained ${member}`)
  }
}
process.stdout.write(
  `${pairs} pairs of ${drawn.length} visitors, ${inside} of them memberships: ${wrong.length} explained otherwise than stored\n`,
)
for (const line of wrong.slice(0, 10)) process.stdout.write(`  ${line}\n`)
process.exit(wrong.length > 0 || pairs < Number(options.pairs) ? 1 : 0)
