// Our tables against the published ones, which are read here and nowhere kept.

import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { AUDIENCE_ROWS, AUDIENCE_TAXONOMY } from '../../src/taxonomy/audience.ts'
import { CONTENT_ROWS, CONTENT_TAXONOMY } from '../../src/taxonomy/content.ts'
import { makeTaxonomy, type TaxonomyNode } from '../../src/taxonomy/tree.ts'
import { parseTaxonomyTable } from '../../src/taxonomy/tsv.ts'

const file = (name: string) => new URL(`../../../shared/data/${name}`, import.meta.url)
const NAMES = ['iab-content-3.1.tsv', 'iab-content-2.2.tsv', 'iab-audience-1.1.tsv'] as const
const missing = NAMES.filter((name) => !existsSync(file(name)))
const text = (name: (typeof NAMES)[number]) => readFileSync(file(name), 'utf8')
/** Split by plain means, not by our reader. */
const cells = (name: (typeof NAMES)[number], headers: number) =>
  text(name)
    .split('\r\n')
    .slice(headers)
    .filter((line) => line.trim() !== '')
    .map((line) => line.split('\t'))
const written = ({ id, parent = '', name, sensitive }: TaxonomyNode) => `${id}|${parent}|${name}|${sensitive ? 'SCD' : ''}`

describe('the taxonomies that come along', () => {
  it('are trees: 704 contents, 63 of them sensitive, and 1,558 audiences', () => {
    expect(makeTaxonomy(CONTENT_ROWS).problems).toEqual([])
    expect(makeTaxonomy(AUDIENCE_ROWS).problems).toEqual([])
    expect(CONTENT_TAXONOMY.nodes.size).toBe(704)
    expect([...CONTENT_TAXONOMY.nodes.values()].filter(({ sensitive }) => sensitive)).toHaveLength(63)
    expect(AUDIENCE_TAXONOMY.nodes.size).toBe(1_558)
  })

  it('give the audiences below an audience', () => {
    expect(AUDIENCE_TAXONOMY.pathOf('253')).toBe('Interest | Automotive | Green Vehicles')
    expect(AUDIENCE_TAXONOMY.descendants('243')).toContain('253')
    expect(AUDIENCE_TAXONOMY.descendants('253')).toEqual(['253'])
  })
})

describe.skipIf(missing.length > 0)(
  `compared with ../shared/data (skipped where it is missing: ${missing.join(', ') || 'nothing'})`,
  () => {
    it('Content 3.1 is the published one, its flags included', () => {
      const published = cells('iab-content-3.1.tsv', 2).map((row) => `${row[0]}|${row[1]}|${row[2]}|${row[7]}`)
      expect(CONTENT_ROWS.map(written)).toEqual(published)
    })

    it('Audience 1.1 is the published one, by the last tier', () => {
      const published = cells('iab-audience-1.1.tsv', 1).map(
        (row) => `${row[1]}|${row[2]}|${row.slice(4, 10).findLast((tier) => tier !== '')}|`,
      )
      expect(AUDIENCE_ROWS.map(written)).toEqual(published)
    })

    it('our reader finds in the published tables what our own tables say', () => {
      const content = parseTaxonomyTable(text('iab-content-3.1.tsv'), 'content')
      const audience = parseTaxonomyTable(text('iab-audience-1.1.tsv'), 'audience')
      expect([...content.problems, ...audience.problems]).toEqual([])
      expect(content.rows.map(written)).toEqual(CONTENT_ROWS.map(written))
      expect(audience.rows.map(written)).toEqual(AUDIENCE_ROWS.map(written))
    })

    it('Content 2.2 is read as well, over its empty row', () => {
      const { rows, problems } = parseTaxonomyTable(text('iab-content-2.2.tsv'), 'content')
      const published = cells('iab-content-2.2.tsv', 2).map((row) => `${row[0]}|${row[1]}|${row[2]}|${row[7]}`)
      expect(problems).toEqual([])
      expect(rows.map(written)).toEqual(published)
      expect(makeTaxonomy(rows).problems).toEqual([])
      expect(rows.length).toBeGreaterThan(1_100)
    })
  },
)
