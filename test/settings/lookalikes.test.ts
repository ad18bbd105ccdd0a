// Lookalike files: what they say, and what is wrong with them, each at its place.

import { afterAll, describe, expect, it } from 'vitest'
import { ConfigurationError } from '../../src/settings/files.ts'
import { loadSettings } from '../../src/settings/load.ts'
import { scratchProject } from '../support/scratch.ts'

const SEGMENTS = `segments:
  - { id: buyers, when: { event: conversion } }
  - { id: europeans, when: { where: { country: [DE, FR] } } }
`
const project = scratchProject({})
afterAll(() => project.remove())
function load(lookalikes: string, segments = SEGMENTS) {
  project.write('config/segments/a.yaml', segments)
  project.write('config/lookalikes/a.yaml', lookalikes)
  return loadSettings(project.config, {})
}
const one = (rest: string) => `lookalikes:\n  - { id: near, ${rest} }\n`
function errors(lookalikes: string, segments?: string): string[] {
  try {
    load(lookalikes, segments)
    return []
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error
    return error.errors.map(({ file, line, column, message }) => `${file.split('/').at(-1)}:${line}:${column}: ${message}`)
  }
}
const readOne = (rest: string) => load(one(rest)).lookalikes.values().next().value

describe('a lookalike', () => {
  it('says its seed, its pool and how many', () => {
    expect(readOne('seed: buyers, reach: 2.5%, among: europeans, exclude: [event, attr.plan, activity]')).toMatchObject({
      seed: { id: 'buyers', kind: 'segment' },
      among: { id: 'europeans' },
      reach: { kind: 'share', share: 0.025 },
      exclude: ['event', 'attr.plan', 'activity'],
      churn: 0.2,
      retrainMs: 86_400_000,
    })
    expect(readOne('seed: buyers, size: 50000')).toMatchObject({ reach: { kind: 'size', size: 50_000 } })
    expect(readOne('seed: buyers, min_score: 0.7, churn: 5%, retrain: 7d')).toMatchObject({
      reach: { kind: 'score', least: 0.7 },
      churn: 0.05,
      retrainMs: 7 * 86_400_000,
    })
    expect(readOne('seed: buyers, reach: 100%')).toMatchObject({ reach: { share: 1 } })
  })

  it('takes a seed that is no segment for an imported list', () => {
    expect(readOne('seed: crm, reach: 5%')).toMatchObject({
      seed: { id: 'crm', kind: 'list', rule: { kind: 'list', id: 'crm' } },
    })
  })

  it('is held by whoever was chosen, is no member of the seed and is in the pool', () => {
    const read = readOne('seed: buyers, reach: 5%, among: europeans')
    expect(read?.rule).toMatchObject({
      kind: 'all',
      rules: [{ kind: 'list', id: '~near', needs: 'model' }, { kind: 'not', rule: { kind: 'events' } }, { kind: 'events' }],
    })
  })

  it('may be delivered', () => {
    project.write(
      'config/destinations/a.yaml',
      'destinations:\n  - { id: d, connector: file, settings: { path: x }, audiences: [{ audience: near }] }\n',
    )
    expect(load(one('seed: buyers, reach: 5%')).destinations[0]?.audiences).toEqual([{ audience: 'near', as: 'near' }])
    project.write('config/destinations/a.yaml', '')
  })

  it.each([
    ['seed: buyers', /exactly one of `reach`, `size` and `min_score`/],
    ['seed: buyers, reach: 5%, size: 10', /exactly one/],
    ['reach: 5%', /seed/],
    ['seed: buyers, reach: 0%', /a share is a percentage/],
    ['seed: buyers, reach: 101%', /a share is a percentage/],
    ['seed: buyers, reach: 5', /a share is a percentage/],
    ['seed: buyers, size: 0', /size/],
    ['seed: buyers, min_score: 1', /between 0 and 1/],
    ['seed: buyers, reach: 5%, among: europaens', /unknown segment `europaens`; did you mean `europeans`\?/],
    ['seed: near, reach: 5%', /`near` is a lookalike: seed is a segment or a list/],
    ['seed: buyers, reach: 5%, exclude: [pages]', /the name of a field/],
    ['seed: buyers, reach: 5%, churn: much', /a share is a percentage/],
    ['seed: buyers, reach: 5%, budget: 3', /budget/],
  ])('with `%s` is refused at its place', (rest, said) => {
    const found = errors(one(rest))
    expect(found).toHaveLength(1)
    expect(found[0]).toMatch(said)
    expect(found[0]).toMatch(/^a\.yaml:2:\d+: /)
  })

  it('shares the ids of all audiences', () => {
    expect(errors('lookalikes:\n  - { id: buyers, seed: crm, reach: 5% }\n')).toEqual([
      expect.stringContaining('`buyers` is a segment'),
    ])
    expect(errors(`${one('seed: buyers, reach: 5%')}  - { id: near, seed: buyers, reach: 6% }\n`)).toEqual([
      expect.stringContaining('`near` is defined twice'),
    ])
    const named = `${SEGMENTS}  - { id: fans, when: { list: near } }\n`
    expect(errors(one('seed: buyers, reach: 5%'), named)).toEqual([expect.stringContaining('segment `fans` names it as a list')])
  })
})
