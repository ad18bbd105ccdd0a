// Audiences of a publisher network, as analysts write them: 60 % count, the rest days, sessions, sums, sequences and patterns in equal parts; most have a
// second clause. Decided by a seed: the same number, the same audiences.

import type { AudienceId } from '../../src/core/ids.ts'
import type { Audience } from '../../src/membership/pass.ts'
import { Checker } from '../../src/rules/checker.ts'
import { parseRule } from '../../src/rules/parse.ts'
import { resolveSegment } from '../../src/rules/resolve.ts'
import { contentDescendants } from '../../src/taxonomy/content.ts'
import { VOCABULARY } from './network-data.ts'

const RETENTION_MS = 90 * 86_400_000
export const KINDS = ['count', 'days', 'sessions', 'sum', 'sequence', 'pattern'] as const
export type Kind = (typeof KINDS)[number]

function makeRandom(seed: number) {
  let state = seed
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  const oneOf = <T>(values: readonly T[]): T => values[Math.floor(next() * values.length)] as T
  return { next, oneOf }
}

const WINDOWS = ['1d', '3d', '7d', '14d', '30d', '60d', '90d']

function ruleOf(kind: Kind, { next, oneOf }: ReturnType<typeof makeRandom>): unknown {
  const about = () => {
    const roll = next()
    if (roll < 0.55) return { category: oneOf(VOCABULARY.categories) }
    if (roll < 0.75) return { keyword: oneOf(VOCABULARY.keywords) }
    if (roll < 0.9) return { source: oneOf(VOCABULARY.sources) }
    return { category: oneOf(VOCABULARY.categories), device: [oneOf(VOCABULARY.devices), oneOf(VOCABULARY.devices)] }
  }
  const seen = (measure: object = {}) => ({ event: 'page_view', where: about(), within: oneOf(WINDOWS), ...measure })
  const main = () => {
    switch (kind) {
      case 'count':
        return seen({ count: { gte: oneOf([1, 1, 2, 2, 3, 4, 5]) } })
      case 'days':
        return seen({ days: { gte: oneOf([2, 3]) } })
      case 'sessions':
        return seen({ sessions: { gte: oneOf([2, 3]) } })
      case 'sum':
        return next() < 0.5
          ? { event: 'conversion', where: about(), within: oneOf(WINDOWS), sum: { field: 'value', gte: oneOf([20, 50, 100]) } }
          : seen({ sum: { field: 'dwell_ms', gte: oneOf([60000, 180000]) } })
      case 'sequence':
        return {
          sequence: [
            { event: 'page_view', where: about() },
            { event: 'add_to_cart' },
            ...(next() < 0.5 ? [{ event: 'conversion' }] : []),
          ],
          ...(next() < 0.5 ? { gap: oneOf(['1h', '1d']) } : {}),
          within: oneOf(WINDOWS),
        }
      case 'pattern': {
        const section = oneOf(VOCABULARY.sections)
        const path = oneOf([
          { contains: `${section}/` },
          { starts_with: `/${section}/article-1` },
          { matches: `^/${section}/article-[0-9]{2}$` },
          { matches: `section-[0-9]/.*${Math.floor(next() * 90) + 10}$` },
        ])
        return { event: 'page_view', where: { path }, within: oneOf(WINDOWS), count: { gte: oneOf([1, 2]) } }
      }
    }
  }
  const roll = next()
  if (roll < 0.4) return main()
  if (roll < 0.7) return { all: [main(), { event: 'page_view', where: { source: oneOf(VOCABULARY.sources) }, within: '30d' }] }
  if (roll < 0.9) return { all: [main(), { not: { event: 'conversion', within: oneOf(['7d', '30d']) } }] }
  return { any: [main(), seen()] }
}

/** Which kind the n-th audience is of. */
export const kindOf = (n: number): Kind =>
  n % 10 < 6 ? 'count' : (KINDS[1 + ((Math.floor(n / 10) * 4 + (n % 10) - 6) % 5)] as Kind)

/** As in a segment file. */
export function writtenSegments(howMany: number, seed = 1): { readonly id: string; readonly when: unknown }[] {
  const random = makeRandom(seed)
  return Array.from({ length: howMany }, (_, n) => ({ id: `a${n}`, when: ruleOf(kindOf(n), random) }))
}

export function manyAudiences(howMany: number, seed = 1): Audience[] {
  return writtenSegments(howMany, seed).map(({ when: written }, n) => {
    const check = new Checker()
    const rule = parseRule(check, written, [], { retentionMs: RETENTION_MS })
    if (!rule || check.problems.length > 0) throw new Error(`${JSON.stringify(written)}: ${JSON.stringify(check.problems)}`)
    const resolved = resolveSegment({ id: `a${n}` as AudienceId, rule }, new Map(), contentDescendants)
    if (!resolved) throw new Error(JSON.stringify(written))
    return { id: `a${n}` as AudienceId, rule: resolved }
  })
}
