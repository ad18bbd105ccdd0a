// A condition in words, near to how the YAML says it.

import { decimalText } from '../core/decimal.ts'
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../core/duration.ts'
import type { Comparison, EventFilter, Leaf, Match } from './rule.ts'

export const durationText = (ms: number): string =>
  ms % DAY_MS === 0 ? `${ms / DAY_MS}d` : ms % HOUR_MS === 0 ? `${ms / HOUR_MS}h` : `${Math.round(ms / MINUTE_MS)}m`

const SIGNS = { gte: '>=', gt: '>', lte: '<=', lt: '<', eq: '=' } as const
export const comparisonText = (comparison: Comparison<number> | Comparison<bigint>): string =>
  comparison
    .map(({ operator, than }) => `${SIGNS[operator]} ${typeof than === 'bigint' ? decimalText(than) : than}`)
    .join(' and ')

function testText(test: Match['tests'][number]): string {
  if ('values' in test) {
    const values = test.values.slice(0, 5).map((value) => (typeof value === 'bigint' ? decimalText(value) : value))
    const more = test.values.length > values.length ? ` and ${test.values.length - values.length} more` : ''
    return `${test.test === 'in' ? '' : 'not '}${values.join(', ')}${more}`
  }
  if ('is' in test) return test.is ? 'exists' : 'does not exist'
  if ('than' in test) return `${SIGNS[test.test]} ${typeof test.than === 'bigint' ? decimalText(test.than) : test.than}`
  return 'pattern' in test ? `matches ${test.pattern}` : `${test.test} ${test.text}`
}

function filterText({ events, where }: EventFilter): string {
  const fields = where.map((match) => {
    const name = match.type === 'attr' ? `attr.${match.attr}` : match.field
    return `${name} ${match.tests.map(testText).join(' and ')}`
  })
  return [events?.join(' or ') ?? 'any event', ...fields].join(', ')
}

export function leafText(leaf: Leaf): string {
  switch (leaf.kind) {
    case 'list':
      return leaf.needs ? 'chosen by the last training, and still permits models' : `on list ${leaf.id}`
    case 'sequence': {
      const gap = leaf.gapMs === undefined ? '' : ` (at most ${durationText(leaf.gapMs)} apart)`
      return `${leaf.steps.map(filterText).join(' -> ')}${gap} within ${durationText(leaf.withinMs)}`
    }
    case 'events': {
      const { measure } = leaf
      const what = measure.kind === 'sum' ? `sum of ${measure.field}` : measure.kind
      return `${filterText(leaf)}: ${what} ${comparisonText(measure.comparison)} within ${durationText(leaf.withinMs)}`
    }
  }
}
