import { describe, expect, it } from 'vitest'
import { AUDIENCE_TAXONOMY } from '../../src/taxonomy/audience.ts'
import { CONTENT_TAXONOMY } from '../../src/taxonomy/content.ts'
import { nearestNode, suggestion } from '../../src/taxonomy/nearest.ts'
import { makeTaxonomy, type TaxonomyRow } from '../../src/taxonomy/tree.ts'

/** Its place is its number, from 1. */
type Written = readonly [id: string, parent?: string | undefined, name?: string, sensitive?: boolean]
const rows = (...written: readonly Written[]) =>
  written.map(
    ([id, parent, name = id, sensitive = false], n): TaxonomyRow<number> => ({
      id,
      parent,
      name,
      sensitive,
      place: n + 1,
    }),
  )
const problems = (...written: readonly Written[]) =>
  makeTaxonomy(rows(...written)).problems.map(({ place, at, message }) => `${place} ${at}: ${message}`)

describe('a taxonomy', () => {
  const { taxonomy } = makeTaxonomy(
    rows(['b', 'a', 'Two'], ['a', undefined, 'One'], ['d', 'b', 'Four', true], ['c', 'a', 'Two'], ['e', 'd', 'Five']),
  )

  it('knows what is below a node, the node first, in the order of the rows', () => {
    expect(taxonomy.descendants('a')).toEqual(['a', 'b', 'd', 'e', 'c'])
    expect(taxonomy.descendants('e')).toEqual(['e'])
  })

  it('lets an id that it does not know stand for itself, and the empty one for nothing', () => {
    expect(taxonomy.descendants('zz')).toEqual(['zz'])
    expect(taxonomy.descendants('')).toEqual([])
    expect(taxonomy.ancestors('zz')).toEqual([])
  })

  it('knows what is above a node, its path, and nodes by name', () => {
    expect(taxonomy.ancestors('e')).toEqual(['d', 'b', 'a'])
    expect(taxonomy.pathOf('e')).toBe('One | Two | Four | Five')
    expect(taxonomy.named('two').map(({ id }) => id)).toEqual(['b', 'c'])
  })

  it('is sensitive below a sensitive node, and not above', () => {
    expect(taxonomy.sensitiveFor('d')?.id).toBe('d')
    expect(taxonomy.sensitiveFor('e')?.id).toBe('d')
    expect(taxonomy.sensitiveFor('b')).toBeUndefined()
  })

  it('does not change', () => {
    expect(Object.isFrozen(taxonomy)).toBe(true)
    expect([...taxonomy.nodes.values()].every((node) => Object.isFrozen(node))).toBe(true)
  })

  it('takes a chain that is deeper than any call stack', () => {
    const { taxonomy: deep } = makeTaxonomy(
      rows(...Array.from({ length: 50_000 }, (_, n) => [`n${n}`, n ? `n${n - 1}` : undefined] as const)),
    )
    expect(deep.descendants('n0')).toHaveLength(50_000)
    expect(deep.ancestors('n49999')).toHaveLength(49_999)
  })
})

describe('rows that are no tree', () => {
  it('are problems of their rows', () => {
    expect(problems(['a'], ['b', 'x'], ['a', undefined, 'Again'])).toEqual([
      '3 id: `a` is a node already: a',
      '2 parent: unknown parent `x`',
    ])
  })

  it('with a cycle are one problem for each cycle, not for what hangs from it', () => {
    expect(problems(['a', 'a'])).toEqual(['1 parent: cycle: a -> a'])
    expect(problems(['x', 'b'], ['a', 'c'], ['b', 'a'], ['c', 'b'], ['p', 'q'], ['q', 'p'])).toEqual([
      '3 parent: cycle: b -> a -> c -> b',
      '5 parent: cycle: p -> q -> p',
    ])
  })

  it('still make a tree to look on with', () => {
    const { taxonomy } = makeTaxonomy(rows(['a', 'b'], ['b', 'a'], ['c', 'b'], ['d', 'nobody']))
    expect(taxonomy.descendants('a')).toEqual(['a', 'b', 'c'])
    expect(taxonomy.ancestors('d')).toEqual([])
  })
})

describe('what somebody may have meant', () => {
  it.each([
    ['Automotive', '243', 'Interest | Automotive'],
    ['interest | green vehicles', '253', 'Interest | Automotive | Green Vehicles'],
    ['Purchase Intent', '752', 'Purchase Intent*'],
    ['Automotiv', '243', 'Interest | Automotive'],
    ['24300', '', ''],
    ['nothing like it', '', ''],
  ])('%s: %s', (written, id, path) => {
    expect(suggestion(AUDIENCE_TAXONOMY, written)).toBe(id === '' ? '' : `; did you mean "${id}" (${path})?`)
  })

  it('an id in the wrong case', () => {
    expect(nearestNode(CONTENT_TAXONOMY, 'jlbcu7')?.id).toBe('JLBCU7')
  })
})
