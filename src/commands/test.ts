import { isoOf } from '../core/time.ts'
import { coverageOf } from '../rules/coverage.ts'
import { isMember } from '../rules/evaluate.ts'
import type { SegmentSettings } from '../settings/segments.ts'
import { type Flags, readContext } from './context.ts'
import type { Outcome } from './output.ts'

type Failure = {
  readonly segment: string
  readonly test: string
  readonly at: string
  readonly expected: 'in' | 'out'
  readonly got: 'in' | 'out'
}

const listedIn = (lists: readonly string[]) => ({ isListed: (list: string) => lists.includes(list) })

function failures(segment: SegmentSettings, retentionMs: number): { tests: number; failed: Failure[][] } {
  const failed = segment.tests.map(({ name, lists, history, expect }) =>
    expect.flatMap(({ atMs, is }): Failure[] => {
      const got = isMember(segment.rule, history, atMs, retentionMs, listedIn(lists)) ? 'in' : 'out'
      return got === is ? [] : [{ segment: segment.id, test: name, at: isoOf(atMs), expected: is, got }]
    }),
  )
  return { tests: segment.tests.length, failed: failed.filter((list) => list.length > 0) }
}

/** `test`: the tests that stand beside the segments, in memory. Exit code 4 where one fails. */
export function test(flags: Flags): Outcome {
  const { settings } = readContext(flags)
  const results = [...settings.segments.values()].map((segment) => failures(segment, settings.retentionMs))
  const total = results.reduce((sum, { tests }) => sum + tests, 0)
  const failed = results.flatMap((result) => result.failed)
  const all = failed.flat()
  const coverage = [...settings.segments.values()]
    .filter(({ tests }) => tests.length > 0)
    .map(({ id, rule, tests }) => {
      const looks = tests.flatMap(({ lists, history, expect }) =>
        expect.map(({ atMs }) => ({ history, atMs, facts: listedIn(lists) })),
      )
      return { segment: id, ...coverageOf(rule, looks, settings.retentionMs) }
    })
  const clauses = coverage.reduce((sum, item) => sum + item.clauses, 0)
  const never = coverage.flatMap(({ segment, never: stuck }) => stuck.map((item) => ({ segment, ...item })))
  const hints = never.map(({ segment, clause, always }) => `${segment}: ${clause} is ${always ? 'true' : 'false'} in every test`)
  const lines = all.map(
    ({ segment, test: name, at, expected, got }) => `${segment}: "${name}" at ${at}: expected ${expected}, got ${got}`,
  )
  return {
    json: { passed: total - failed.length, failed: failed.length, failures: all, coverage: { clauses, never } },
    text: [
      ...lines,
      ...hints,
      `${total - failed.length} passed, ${failed.length} failed; ${clauses - never.length} of ${clauses} clauses seen both true and false`,
    ].join('\n'),
    failed: failed.length > 0,
  }
}
