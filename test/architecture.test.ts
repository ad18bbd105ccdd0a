// Data flows one way, and so do imports: a folder may import itself and the folders before it.

import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { expect, it } from 'vitest'

/** In the order of the README's picture. */
const ORDER = [
  'core',
  'event',
  'taxonomy',
  'consent',
  'rules',
  'settings',
  'engine',
  'identity',
  'spool',
  'collect',
  'sync',
  'imports',
  'membership',
  'lookalike',
  'activate',
  'insight',
  'wire',
  'commands',
  'demo',
  'cli.ts',
  'main.ts',
]
/** The demo runs the collector and the export as a user's command would. */
const ALLOWED = new Set(['commands -> demo'])

const files = (directory: string): string[] =>
  readdirSync(directory, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? files(join(directory, entry.name)) : [join(directory, entry.name)],
  )

const stageOf = (file: string): string => relative('src', file).split('/')[0] ?? ''

it('every file of src belongs to a known stage and imports only its own and earlier ones', () => {
  const wrong: string[] = []
  for (const file of files('src')) {
    const stage = stageOf(file)
    if (!ORDER.includes(stage)) wrong.push(`${file}: unknown stage`)
    for (const [, path = ''] of readFileSync(file, 'utf8').matchAll(/(?:from|import)\s*\(?'(\.[^']+)'/g)) {
      const imported = stageOf(join(dirname(file), path))
      if (ORDER.indexOf(imported) > ORDER.indexOf(stage) && !ALLOWED.has(`${stage} -> ${imported}`))
        wrong.push(`${file} imports ${path}`)
    }
  }
  expect(wrong).toEqual([])
})

it('the README shows each stage, in this order', () => {
  const readme = readFileSync('README.md', 'utf8')
  const shown = [...readme.matchAll(/^src\/([a-z.]+)\/? +\S/gm)].map((match) => match[1])
  expect(shown).toEqual(ORDER)
})

it('only the store talks to ClickHouse, and only the engine process loads it', () => {
  const importers = (name: string) => files('src').filter((file) => readFileSync(file, 'utf8').includes(`from '${name}'`))
  expect(importers('@clickhouse/client')).toEqual(['src/engine/store.ts'])
  expect(importers('chdb')).toEqual(['src/engine/process.ts'])
})
