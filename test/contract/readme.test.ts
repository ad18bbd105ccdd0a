// The README is held to the code: every command, route, setting, variable and reason is documented, and its examples are parsed.

import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect, it } from 'vitest'
import { DROP_REASONS, REFUSAL_REASONS } from '../../src/collect/decide.ts'
import { PIXEL_ROUTE } from '../../src/collect/pixel.ts'
import { FIELD_TYPES } from '../../src/event/event.ts'
import { ALL_KINDS } from '../../src/lookalike/families.ts'
import { loadSettings } from '../../src/settings/load.ts'
import { lookalikeSchema } from '../../src/settings/schema.ts'
import { SYNC_MACROS } from '../../src/settings/sync-template.ts'
import { SYNC_OUTCOMES } from '../../src/sync/outcomes.ts'

const readme = readFileSync('README.md', 'utf8')
const section = (title: string): string => readme.split(/^##+ /m).find((text) => text.startsWith(title)) ?? ''
const source = (...files: string[]) => files.map((file) => readFileSync(file, 'utf8')).join('\n')

it('shows the two commands', () => {
  expect(readme).toContain('npm ci && npm run demo')
  expect(readme).toContain('npm ci && npm test')
})

it('lists every command that --help lists, and no other', () => {
  const help = execFileSync(process.execPath, ['dist/main.js', '--help'], { encoding: 'utf8' })
  const commands = [...help.matchAll(/^ {2}([a-z]+) /gm)].map((match) => match[1]).filter((name) => name !== 'help')
  const documented = [...section('Commands').matchAll(/^\| `([a-z]+)/gm)].map((match) => match[1])
  expect(commands.length).toBeGreaterThan(5)
  expect(new Set(documented)).toEqual(new Set(commands))
})

it('lists every route, and no other', () => {
  const written = source('src/collect/app.ts', 'src/collect/click.ts', 'src/collect/opt-out-routes.ts', 'src/sync/routes.ts')
  const routes = [...written.matchAll(/app\.(get|post)\('([^']+)'/g)].map((match) => `${match[1]?.toUpperCase()} ${match[2]}`)
  routes.push(`GET ${PIXEL_ROUTE}`, 'GET /optout', 'GET /optin')
  const documented = [...section('Routes').matchAll(/`((?:GET|POST) \/[^`]*)`/g)].map((match) => match[1])
  expect(new Set(documented)).toEqual(new Set(routes))
})

it('explains every reason for which an event is not kept, and no other', () => {
  const documented = section('Routes')
    .split('\n')
    .filter((line) => /^\| `[a-z]/.test(line))
    .flatMap((line) => [...(line.split('|')[1] ?? '').matchAll(/`([a-z_]+)`/g)].map((match) => match[1]))
  expect(new Set(documented)).toEqual(new Set([...DROP_REASONS, ...REFUSAL_REASONS]))
})

it('explains every outcome of a sync, and no other', () => {
  const rows = section('Cookie sync')
    .split('\n')
    .filter((line) => /^\| `[a-z]/.test(line))
  const documented = rows.flatMap((line) => [...(line.split('|')[1] ?? '').matchAll(/`([a-z_]+)`/g)].map((match) => match[1]))
  expect(new Set(documented)).toEqual(new Set(SYNC_OUTCOMES))
})

it('names every macro of a sync address', () => {
  for (const macro of SYNC_MACROS) expect(section('Cookie sync'), macro).toContain(`\`{${macro}}\``)
})

it('names every variable that the code reads, and no other', () => {
  const read = [...source('src/settings/environment.ts', 'src/core/log.ts').matchAll(/(?:get\(|env\[)'([A-Z_]+)'/g)].map(
    (match) => match[1],
  )
  const documented = [...section('Environment').matchAll(/^\| `([A-Z_]+)`/gm)].map((match) => match[1])
  expect(new Set(documented)).toEqual(new Set(read))
})

it('names every field of a rule', () => {
  for (const field of Object.keys(FIELD_TYPES)) expect(section('Rules'), field).toContain(`\`${field}\``)
})

it('names every kind of feature and every key of a lookalike', () => {
  for (const { kind } of ALL_KINDS) expect(section('Lookalikes'), kind).toContain(`\`${kind}\``)
  const keys = Object.keys(lookalikeSchema.shape).filter((key) => key !== 'id' && key !== 'name')
  for (const key of keys) expect(section('Lookalikes'), key).toContain(`\`${key}\``)
})

it('has examples that are one valid configuration', () => {
  const directory = mkdtempSync(join(tmpdir(), 'readme-'))
  const blocks = [...readme.matchAll(/```yaml\n# (config\/\S+)\n([\s\S]*?)```/g)]
  expect(blocks).toHaveLength(6)
  for (const [, name = '', text = ''] of blocks) {
    mkdirSync(dirname(join(directory, name)), { recursive: true })
    writeFileSync(join(directory, name), text)
  }
  const settings = loadSettings(join(directory, 'config'), {})
  expect([...settings.sources.keys()]).toEqual(['news', 'ads', 'panel'])
  expect(settings.segments.size).toBe(1)
  expect([...settings.lookalikes.keys()]).toEqual(['like-auto-intenders'])
  expect([...settings.partners.keys()]).toEqual(['adnxs', 'exchange'])
  rmSync(directory, { recursive: true })
})
