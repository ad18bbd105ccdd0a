// config/taxonomy/: tables, nodes and classification as an operator writes them, and what they change for rules.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ConfigurationError } from '../../src/settings/files.ts'
import { loadSettings, type Settings } from '../../src/settings/load.ts'
import { AUDIENCE_TAXONOMY } from '../../src/taxonomy/audience.ts'
import { CONTENT_TAXONOMY } from '../../src/taxonomy/content.ts'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'config-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

function load(files: Record<string, string | Buffer>): Settings {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true })
    writeFileSync(join(directory, name), text)
  }
  return loadSettings(directory, {})
}
/** `file:line:column message` of every error. */
function errors(files: Record<string, string | Buffer>): string[] {
  try {
    load(files)
    return []
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error
    return error.errors.map(({ file, line, column, message }) => `${relative(directory, file)}:${line}:${column} ${message}`)
  }
}
const taxonomy = (text: string) => ({ 'taxonomy/own.yaml': text })
const segment = (when: string, more = '') => ({ 'segments/a.yaml': `segments:\n  - id: a\n    when: ${when}\n${more}` })
const allow = (ids: string) => ({ 'settings.yaml': `taxonomy: { allow_sensitive: ${ids} }\n` })
const categoriesOf = (settings: Settings): readonly string[] => {
  const rule = settings.segments.values().next().value?.rule
  return (
    JSON.stringify(rule)
      .match(/"values":\[([^\]]*)\]/)?.[1]
      ?.replaceAll('"', '')
      .split(',') ?? []
  )
}

const CONTENT = 'Relational ID System\t\t\tContent Taxonomy v9\t\tExtension\r\nUnique ID\tParent\tName\tTier 1\tTier 2\t\r\n'
const AUDIENCE = '\tUnique ID\tParent ID\tCondensed Name (1st, 2nd, Last Tier)\tTier 1\tTier 2\t*Extension Notes\r\n'

describe('the taxonomies', () => {
  it('are ours where the operator has none, and nothing is classified', () => {
    expect(load({})).toMatchObject({
      contentTaxonomy: { nodes: CONTENT_TAXONOMY.nodes },
      audienceTaxonomy: { nodes: AUDIENCE_TAXONOMY.nodes },
    })
    expect(load({}).classify).toBeUndefined()
    expect(errors(taxonomy('# nothing yet\n'))).toEqual([])
    expect(errors(taxonomy('content:\naudience: []\n'))).toEqual([])
  })

  it('are the official tables that lie there, and rules descend in them', () => {
    const files = {
      'taxonomy/content.tsv': `${CONTENT}1\t\tCars\tCars\t\t\r\n7x\t1\tVans\tCars\tVans\t\r\n`,
      'taxonomy/audience.tsv': `${AUDIENCE}\t1\t\tAge\tAge\t\t\r\n`,
      ...segment('{ where: { category: "1" } }', '    taxonomy: "1"\n'),
    }
    const settings = load(files)
    expect([...settings.contentTaxonomy.nodes.keys()]).toEqual(['1', '7x'])
    expect([...settings.audienceTaxonomy.nodes.keys()]).toEqual(['1'])
    expect(categoriesOf(settings)).toEqual(['1', '7x'])
    expect(settings.segments.values().next().value?.taxonomy).toBe('1')
  })

  it.each([
    ['with a byte order mark', (text: string) => Buffer.from(`\ufeff${text}`)],
    ['in UTF-16, as spreadsheets save it', (text: string) => Buffer.from(`\ufeff${text}`, 'utf16le')],
  ])('%s', (_, bytes) => {
    const text = `${CONTENT}1\t\tGröße\tGröße\t\t\r\n`
    expect(load({ 'taxonomy/content.tsv': bytes(text) }).contentTaxonomy.nodes.get('1')?.name).toBe('Größe')
  })

  it('grow by nodes of the operator, below official ones and below each other, in whatever file', () => {
    const settings = load({
      'taxonomy/a.yaml':
        'content:\n  - { id: own.vans, parent: own.cars, name: Our vans }\naudience:\n  - { id: vip, name: VIPs }\n',
      'taxonomy/b.yaml': 'content:\n  - { id: own.cars, parent: "6", name: Our cars }\n',
      ...segment('{ where: { category: "6" } }', '    taxonomy: vip\n'),
    })
    expect(settings.contentTaxonomy.pathOf('own.vans')).toBe('Automotive | Auto Body Styles | SUV | Our cars | Our vans')
    expect(categoriesOf(settings)).toEqual(['6', 'own.cars', 'own.vans'])
  })

  it('report every mistake at its place', () => {
    expect(
      errors({
        'taxonomy/content.tsv': `${CONTENT}1\t\tCars\tCars\t\t\r\n2\t9\tVans\tCars\tVans\t\r\n\t1\tNo id\t\t\t\r\n1\t\tAgain\tAgain\t\t\r\n`,
        'taxonomy/audience.csv': 'x',
        'taxonomy/own.yaml': [
          'content:',
          '  - { id: "1", name: Collides }',
          '  - { id: a, parent: b, name: A }',
          '  - { id: b, parent: a, name: B }',
          '  - { id: c, parent: nobody, name: C }',
          '  - { id: -c, name: C }',
          '  - { id: 12, name: C }',
          '  - { id: d }',
          '  - { id: e, name: E, sensitive: yes please, colour: red }',
          '  - just text',
          'audience: {}',
          'contents: []',
          '',
        ].join('\n'),
      }),
    ).toEqual([
      'taxonomy/audience.csv:1:1 unknown file; a taxonomy is called content.tsv or audience.tsv',
      'taxonomy/content.tsv:4:3 unknown parent `9`',
      'taxonomy/content.tsv:5:1 the row has no unique id',
      'taxonomy/content.tsv:6:1 `1` is a node already: Cars',
      'taxonomy/own.yaml:2:11 `1` is a node already: Cars',
      'taxonomy/own.yaml:3:22 cycle: a -> b -> a',
      'taxonomy/own.yaml:5:22 unknown parent `nobody`',
      expect.stringContaining('taxonomy/own.yaml:6:11 `id`: a node id is'),
      'taxonomy/own.yaml:7:11 `id`: ids are text: write "12" in quotes',
      'taxonomy/own.yaml:8:5 `name` is missing',
      expect.stringContaining('taxonomy/own.yaml:9:34 `sensitive`'),
      'taxonomy/own.yaml:9:46 unknown key `colour`',
      expect.stringContaining('taxonomy/own.yaml:10:5 '),
      'taxonomy/own.yaml:11:11 `audience` must be a list',
      'taxonomy/own.yaml:12:1 unknown key `contents`; a file here holds content, audience, classify',
    ])
  })

  it('that are no text are refused, and a list instead of a mapping', () => {
    expect(errors({ 'taxonomy/content.tsv': Buffer.from([0x31, 0xff, 0x0a]) })).toEqual([
      expect.stringContaining('taxonomy/content.tsv:1:1 is neither UTF-8 nor UTF-16'),
    ])
    expect(errors(taxonomy('- id: x\n'))).toContainEqual(
      expect.stringContaining('taxonomy/own.yaml:1:1 the file must hold lists'),
    )
  })

  it('that cannot be read make no second errors elsewhere', () => {
    const found = errors({
      ...taxonomy('content: [\n'),
      'taxonomy/b.yaml': 'classify:\n  - { category: own, url: news.example }\n',
      ...segment('{ event: a }', '    taxonomy: own\n'),
    })
    expect(found.every((line) => line.startsWith('taxonomy/own.yaml'))).toBe(true)
  })
})

describe("a segment's place in the audience taxonomy", () => {
  it.each([
    ['"243"', []],
    ['243', ['segments/a.yaml:4:15 `taxonomy`: ids are text: write "243" in quotes']],
    ['Automotiv', ['segments/a.yaml:4:15 the audience taxonomy has no `Automotiv`; did you mean "243" (Interest | Automotive)?']],
    ['"99999999"', ['segments/a.yaml:4:15 the audience taxonomy has no `99999999`']],
  ])('%s', (id, expected) => {
    expect(errors(segment('{ event: a }', `    taxonomy: ${id}\n`))).toEqual(expected)
  })

  it('that is marked sensitive, or below such a node, needs the setting', () => {
    const files = {
      ...taxonomy('audience:\n  - { id: own, name: Own, sensitive: true }\n  - { id: below, parent: own, name: Below }\n'),
      ...segment('{ event: a }', '    taxonomy: below\n'),
    }
    expect(errors(files)).toEqual([
      'segments/a.yaml:4:15 `below` (Own | Below) is sensitive: it is refused unless settings.yaml names it, or a node above it, in taxonomy.allow_sensitive',
    ])
    expect(errors({ ...files, ...allow('[own]') })).toEqual([])
    expect(errors({ ...files, ...allow('[below]') })).toEqual([])
  })
})

describe('sensitive categories in rules', () => {
  it.each([
    ['{ where: { category: "286" } }', ['3:32']],
    ['{ where: { category: ["1", "286", "305"] } }', ['3:38', '3:45']],
    ['{ where: { category: { in: ["286"] } } }', ['3:39']],
    ['{ where: { category: { ne: "286", exists: true } } }', ['3:38']],
    ['{ where: { category: { not_in: ["1", "305"] } } }', ['3:48']],
    ['{ where: { category: { starts_with: "305" } } }', ['3:47']],
    ['{ all: [{ not: { any: [{ where: { category: "286" } }] } }, { where: { category: "305" } }] }', ['3:55', '3:92']],
  ])('%s is refused', (when, places) => {
    const found = errors(segment(when))
    expect(found.map((line) => /^segments\/a\.yaml:(\d+:\d+) /.exec(line)?.[1])).toEqual(places)
    for (const line of found) expect(line).toMatch(/is sensitive: .* taxonomy\.allow_sensitive$/)
  })

  it.each([
    '{ where: { category: "1" } }',
    '{ where: { category: { contains: "2", exists: true } } }',
    '{ where: { keyword: "286", url: { contains: "286" } } }',
    '{ all: [{ event: a, where: { campaign: "286" } }, { event: b }] }',
  ])('%s is not', (when) => {
    expect(errors(segment(when))).toEqual([])
  })

  it('are found below a sensitive node, own nodes too, and in patterns and sequences', async () => {
    const { refuseSensitive, sensitiveIn } = await import('../../src/settings/sensitive.ts')
    const refuses = refuseSensitive(CONTENT_TAXONOMY, new Set(['305']))
    const rule = {
      sequence: [{ event: 'a', where: { category: { matches: '^(286|1)$' } } }, { where: { category: ['305', '303'] } }],
    }
    expect(sensitiveIn(rule, ['when'], refuses).map(({ path }) => path.join('.'))).toEqual([
      'when.sequence.1.where.category.1',
      'when.sequence.0.where.category.matches',
    ])
    for (const odd of [undefined, null, 5, [], { where: null }, { where: [] }, { where: { category: null } }])
      expect(sensitiveIn(odd, [], refuses)).toEqual([])
  })

  it('are taken where the setting names them or a node above them, and nothing beside', () => {
    const both = segment('{ where: { category: ["305", "307"] } }')
    expect(errors({ ...both, ...allow('["286"]') })).toEqual([])
    expect(errors({ ...both, ...allow('["305", "307"]') })).toEqual([])
    expect(errors({ ...both, ...allow('["305"]') })).toEqual([expect.stringContaining('`307`')])
    const own = taxonomy('content:\n  - { id: clinic, parent: "305", name: Clinics }\n')
    expect(errors({ ...own, ...segment('{ where: { category: clinic } }'), ...allow('[]') })).toEqual([
      expect.stringContaining('`clinic` (Medical Health | Diseases and Conditions | Reproductive Health | Pregnancy | Clinics)'),
    ])
    expect(errors({ ...own, ...segment('{ where: { category: clinic } }'), ...allow('["302"]') })).toEqual([])
  })

  it('that no taxonomy has cannot be allowed', () => {
    expect(errors(allow('["286", "Medical Helth"]'))).toEqual([
      'settings.yaml:1:38 neither taxonomy has `Medical Helth`; did you mean "286" (Medical Health)?',
    ])
    expect(errors(allow('[286]'))).toEqual([expect.stringContaining('settings.yaml:1:31 ')])
    expect(errors({ 'settings.yaml': 'taxonomy: { allow: [] }\n' })).toEqual(['settings.yaml:1:13 unknown key `allow`'])
  })
})

describe('classification rules', () => {
  const sources = { 'sources.yaml': 'sources:\n  - id: news\n' }
  const rules = (...lines: string[]) => ({
    ...sources,
    ...taxonomy(`classify:\n${lines.map((line) => `  - ${line}\n`).join('')}`),
  })

  it('classify, over files, in the order of their names', () => {
    const settings = load({
      ...sources,
      'taxonomy/b.yaml': 'classify:\n  - { category: own, url: "*.example/**" }\n',
      'taxonomy/a.yaml': [
        'content: [{ id: own, name: Own }]',
        'classify:',
        '  - { category: "22", keyword: [EV, electric], source: news }',
        '  - { category: "1", url: [news.example/cars/**, autos.example] }',
        '',
      ].join('\n'),
    })
    const classify = (host: string, path: string, keywords: string[], source: string) =>
      settings.classify?.({ host, path }, keywords, source)
    expect(classify('news.example', '/cars/1', ['ev'], 'news')).toEqual(['22', '1', 'own'])
    expect(classify('news.example', '/cars/1', ['ev'], 'other')).toEqual(['1', 'own'])
    expect(classify('autos.example', '/', [], 'news')).toEqual(['1', 'own'])
    expect(classify('autos.test', '/', ['EV'], 'other')).toEqual([])
  })

  it.each([
    ['{ category: "1", url: news.example/** }', []],
    ['{ category: "1" }', ['2:5 a rule needs `url`, `keyword` or `source`']],
    ['{ url: news.example }', ['2:5 `category` is missing']],
    ['{ category: 1, url: news.example }', ['2:17 `category`: ids are text: write "1" in quotes']],
    ['{ category: Automotive, url: news.example }', ['2:17 unknown category `Automotive`; did you mean "1" (Automotive)?']],
    ['{ category: "286", url: news.example }', ['2:17 `286` (Medical Health) is sensitive']],
    ['{ category: "1", url: "https://news.example" }', ['2:27 a pattern has no scheme']],
    ['{ category: "1", url: [news.example, news.example/a**] }', ['2:42 `**` stands alone']],
    ['{ category: "1", url: [] }', ['2:27 `url`: a text, or a list']],
    ['{ category: "1", keyword: "" }', ['2:31 `keyword`: a text, or a list']],
    ['{ category: "1", keyword: [ok, " suv"] }', ['2:36 no keyword of an event begins']],
    ['{ category: "1", keyword: 5 }', ['2:31 `keyword`: a text, or a list']],
    ['{ category: "1", source: [news, nwes] }', ['2:37 unknown source `nwes`']],
    ['{ category: "1", url: news.example, hots: x }', ['2:41 unknown key `hots`']],
  ])('%s', (line, expected) => {
    const found = errors(rules(line))
    expect(found).toHaveLength(expected.length)
    for (const [n, message] of expected.entries()) expect(found[n]).toContain(`taxonomy/own.yaml:${message}`)
  })

  it('may use a sensitive category that the setting names', () => {
    expect(errors({ ...rules('{ category: "286", url: news.example }'), ...allow('["286"]') })).toEqual([])
  })

  it('do not call a source unknown where sources.yaml cannot be read', () => {
    const found = errors({ ...rules('{ category: "1", source: news }'), 'sources.yaml': 'sources: [\n' })
    expect(found.every((line) => line.startsWith('sources.yaml'))).toBe(true)
  })
})
