// What the evaluators are compared on tells every operator from its neighbours: a rule in which one thing is exchanged for what a careless evaluator would make of it
// is decided otherwise for some generated visitor. So an operator that breaks in this way, in either evaluator, is caught by the comparison.

import { expect, it } from 'vitest'
import { RETENTION_MAX_MS } from '../../src/core/duration.ts'
import { isMember } from '../../src/rules/evaluate.ts'
import type {
  Comparison,
  EventFilter,
  Match,
  Measure,
  NumberTest,
  OrderTest,
  ResolvedRule,
  TextTest,
} from '../../src/rules/rule.ts'
import { isListed, makeHistories, makeRules, now } from './generate.ts'

type Mutant<T> = readonly [name: string, mutant: T]

const ORDERS = { gte: 'gt', gt: 'gte', lte: 'lt', lt: 'lte', eq: 'gte' } as const

/** Each element exchanged in turn. */
const each = <T>(items: readonly T[], mutants: (item: T) => readonly Mutant<T>[]): Mutant<T[]>[] =>
  items.flatMap((item, n) => mutants(item).map(([name, mutant]): Mutant<T[]> => [name, items.with(n, mutant)]))

const ofText = (test: TextTest): Mutant<TextTest>[] => {
  switch (test.test) {
    case 'in':
      return [['in', { ...test, test: 'not_in' }]]
    case 'not_in':
      return [['not_in', { ...test, test: 'in' }]]
    case 'contains':
      return [['contains', { ...test, test: 'starts_with' }]]
    case 'starts_with':
      return [['starts_with', { ...test, test: 'contains' }]]
    case 'ends_with':
      return [['ends_with', { ...test, test: 'contains' }]]
    case 'matches':
      return [['matches', { test: 'contains', text: test.pattern }]]
    case 'exists':
      return [['exists', { ...test, is: !test.is }]]
  }
}
const ofOrder = <N>(kind: string, { test, than }: OrderTest<N>): Mutant<OrderTest<N>>[] => [
  [`${kind} ${test}`, { test: ORDERS[test], than }],
]
const ofNumber = (test: NumberTest): Mutant<NumberTest>[] => {
  if ('than' in test) return ofOrder('number', test)
  if (test.test === 'exists') return [['number exists', { ...test, is: !test.is }]]
  return [[`number ${test.test}`, { ...test, test: test.test === 'in' ? 'not_in' : 'in' }]]
}

function ofMatch(match: Match): Mutant<Match>[] {
  const named = (name: string) => `${match.type === 'attr' ? 'attr' : match.type} ${name}`
  const set = <T>(mutants: readonly Mutant<T[]>[], make: (tests: T[]) => Match): Mutant<Match>[] =>
    mutants.map(([name, tests]): Mutant<Match> => [named(name), make(tests)])
  switch (match.type) {
    case 'text':
      return set(each(match.tests, ofText), (tests) => ({ ...match, tests }))
    case 'list':
      return set(each(match.tests, ofText), (tests) => ({ ...match, tests }))
    case 'number':
      return set(each(match.tests, ofNumber), (tests) => ({ ...match, tests }))
    case 'attr':
      return set(
        each(match.tests, (test): Mutant<TextTest | OrderTest<number>>[] =>
          'than' in test ? ofOrder('order', test) : ofText(test),
        ),
        (tests) => ({ ...match, tests }),
      )
  }
}

const ofFilter = <F extends EventFilter>(filter: F): Mutant<F>[] => [
  ...(filter.events ? [['event', { ...filter, events: undefined }] as Mutant<F>] : []),
  ...(filter.where.length > 1 ? [['where: all of them', { ...filter, where: filter.where.slice(1) }] as Mutant<F>] : []),
  ...each(filter.where, ofMatch).map(([name, where]): Mutant<F> => [name, { ...filter, where }]),
]

const OTHER = { count: 'days', days: 'sessions', sessions: 'days' } as const
const ofComparison = <N extends number | bigint>(comparison: Comparison<N>): Mutant<Comparison<N>>[] =>
  each(comparison, (one) => [[one.operator, { ...one, operator: ORDERS[one.operator] }]])

function ofMeasure(measure: Measure): Mutant<Measure>[] {
  if (measure.kind === 'sum')
    return ofComparison(measure.comparison).map(([name, comparison]) => [`sum ${name}`, { ...measure, comparison }])
  const compared = ofComparison(measure.comparison).map(
    ([name, comparison]): Mutant<Measure> => [`${measure.kind} ${name}`, { ...measure, comparison }],
  )
  return [...compared, [measure.kind, { ...measure, kind: OTHER[measure.kind] }]]
}

function mutantsOf(rule: ResolvedRule): Mutant<ResolvedRule>[] {
  switch (rule.kind) {
    case 'all':
    case 'any':
      return [
        ...(rule.rules.length > 1
          ? [[rule.kind, { ...rule, kind: rule.kind === 'all' ? 'any' : 'all' }] as Mutant<ResolvedRule>]
          : []),
        ...each(rule.rules, mutantsOf).map(([name, rules]): Mutant<ResolvedRule> => [name, { ...rule, rules }]),
      ]
    case 'not':
      return [
        ['not', rule.rule],
        ...mutantsOf(rule.rule).map(([name, inner]): Mutant<ResolvedRule> => [name, { kind: 'not', rule: inner }]),
      ]
    case 'list':
      return [['list', { kind: 'not', rule }]]
    case 'events':
      return [
        ['within: the edge is out', { ...rule, withinMs: rule.withinMs + 1 }],
        ['within: what is inside is in', { ...rule, withinMs: rule.withinMs - 1 }],
        ...ofFilter(rule),
        ...ofMeasure(rule.measure).map(([name, measure]): Mutant<ResolvedRule> => [name, { ...rule, measure }]),
      ]
    case 'sequence':
      return [
        ['sequence: order', { ...rule, steps: rule.steps.toReversed() }],
        ['sequence: all steps', { ...rule, steps: rule.steps.slice(1) }],
        ...(rule.gapMs === undefined
          ? []
          : ([
              ['gap', { ...rule, gapMs: undefined }],
              ['gap: the edge is in', { ...rule, gapMs: rule.gapMs - 1 }],
            ] as Mutant<ResolvedRule>[])),
        ...each(rule.steps, ofFilter).map(([name, steps]): Mutant<ResolvedRule> => [name, { ...rule, steps }]),
      ]
  }
}

it('every operator is told from its neighbour by some generated visitor', () => {
  const { histories, said } = makeHistories()
  const told = new Map<string, number>()
  for (const { rule } of makeRules()) {
    const decide = (one: ResolvedRule) =>
      histories.map((history, n) =>
        isMember(one, history, now, RETENTION_MAX_MS, { said: said[n] ?? [], isListed: (list) => isListed(list, n) }),
      )
    const truth = decide(rule)
    for (const [name, mutant] of mutantsOf(rule)) {
      const differs = decide(mutant).filter((is, n) => is !== truth[n]).length
      told.set(name, (told.get(name) ?? 0) + differs)
    }
  }
  const untold = [...told].filter(([, visitors]) => visitors === 0).map(([name]) => name)
  expect(untold).toEqual([])
  expect(told.size).toBeGreaterThan(40)
})
