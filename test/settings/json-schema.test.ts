// The JSON Schemas that editors use say what `check` says, as far as one file can tell.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import Ajv2020 from 'ajv/dist/2020.js'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { jsonSchemas } from '../../src/settings/json-schema.ts'
import { makeRules } from '../property/generate.ts'

const root = new URL('../..', import.meta.url).pathname
const read = (...names: string[]): string => readFileSync(join(root, 'config', ...names), 'utf8')
const ajv = new Ajv2020.Ajv2020({ strict: false })
const validators = new Map(Object.entries(jsonSchemas()).map(([name, schema]) => [name, ajv.compile(schema)]))
const accepts = (name: string, text: string): boolean => validators.get(name)?.(parse(text)) as boolean
const rule = (when: string): string => `segments: [{ id: a, when: ${when} }]`

const FILES = [
  ['sources.json', 'sources.yaml'],
  ['settings.json', 'settings.yaml'],
  ['partners.json', 'partners.yaml'],
  ...['segments', 'destinations', 'taxonomy'].flatMap((folder) =>
    readdirSync(join(root, 'config', folder)).map((name) => [`${folder}.json`, `${folder}/${name}`]),
  ),
] as [string, string][]

describe('the schemas', () => {
  it.each(Object.entries(jsonSchemas()))(
    '%s lies in config/.schema as `check --schema config/.schema` writes it',
    (name, schema) => {
      expect(JSON.parse(read('.schema', name))).toEqual(schema)
    },
  )

  it.each(FILES)('%s accepts the sample %s, which names it', (name, file) => {
    expect(accepts(name, read(file))).toBe(true)
    const path = `${'../'.repeat(file.split('/').length - 1)}.schema/${name}`
    expect(read(file).split('\n')[0]).toBe(`# yaml-language-server: $schema=${path}`)
  })

  it('accept every rule of the language that the property tests make', () => {
    for (const { written } of makeRules())
      expect(accepts('segments.json', rule(JSON.stringify(written))), JSON.stringify(written)).toBe(true)
  })

  it.each([
    '{}',
    '{ all: [] }',
    '{ evnt: click }',
    '{ event: Page-View }',
    '{ event: click, not: { event: click } }',
    '{ event: click, within: 2 days }',
    '{ event: click, count: {} }',
    '{ event: click, count: { gte: 1.5 } }',
    '{ event: click, count: { between: [1] } }',
    '{ event: click, sum: { gte: 3 } }',
    '{ event: click, sum: { field: cost, gte: 3 } }',
    '{ event: click, where: {} }',
    '{ event: click, where: { colour: red } }',
    '{ event: click, where: { device: phone } }',
    '{ event: click, where: { category: 1 } }',
    '{ event: click, where: { cost: { gt: 1 } } }',
    '{ event: click, where: { campaign: { like: a } } }',
    '{ event: click, where: { attr.Name: a } }',
    '{ sequence: [{ event: click }] }',
    '{ sequence: [{ event: click }, { event: click, within: 1d }] }',
    '{ segment: Other }',
  ])('refuse the rule %s', (when) => {
    expect(accepts('segments.json', rule(when))).toBe(false)
  })

  it.each([
    ['segments.json', 'segments: [{ id: a }]'],
    ['segments.json', 'segments: [{ id: a, when: { event: click }, owner: me }]'],
    ['sources.json', 'sources: [{ id: news, host: [a.example] }]'],
    ['settings.json', 'consnet: {}'],
    ['settings.json', 'consent: { no_signal: maybe }'],
    ['destinations.json', 'destinations: [{ id: a, connector: ftp, settings: { path: x }, audiences: [{ audience: a }] }]'],
    ['partners.json', 'partners: [{ id: adnxs, sync: { uid_macro: $UID } }]'],
    ['partners.json', 'partners: [{ id: AdNxs }]'],
    ['taxonomy.json', 'classify: [{ url: "a.example/**" }]'],
  ])('%s refuses %s', (name, text) => {
    expect(accepts(name, text)).toBe(false)
  })
})
