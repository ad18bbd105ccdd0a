// The whole demo as a user starts it.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { loadSettings } from '../../src/settings/load.ts'
import { runCommand, runJson } from '../support/cli.ts'
import { type Project, scratchProject } from '../support/scratch.ts'

type DemoAnswer = {
  events_sent: number
  events_stored: number
  audiences: { id: string; size: number }[]
  exports: { id: string; added: number }[]
  visitors_sent: number
  visitors_stored: number
  bots_sent: number
  bots_refused: number
  bots_with_cookie: number
  config: string
  data: string
  problems: string[]
}

const SHIPPED = new URL('../../config', import.meta.url).pathname

describe('demo --once --json', () => {
  let project: Project
  let answer: DemoAnswer
  beforeAll(async () => {
    project = scratchProject({})
    answer = await runJson<DemoAnswer>(project, ['demo', '--once'], { env: { TMPDIR: project.root } })
  }, 120_000)
  afterAll(() => project.remove())

  test('stores every event that people sent, under as many visitors as there were', () => {
    expect(answer.problems).toEqual([])
    expect(answer.events_sent).toBeGreaterThanOrEqual(25_000)
    expect(answer.events_stored).toBe(answer.events_sent)
    expect(answer.visitors_sent).toBeGreaterThanOrEqual(1_500)
    expect(answer.visitors_stored).toBe(answer.visitors_sent)
  })

  test('keeps no event of a bot and gives none a cookie', () => {
    expect(answer.bots_sent).toBeGreaterThan(0)
    expect(answer.bots_refused).toBe(answer.bots_sent)
    expect(answer.bots_with_cookie).toBe(0)
  })

  test('fills every audience of the sample configuration', () => {
    const { segments, lookalikes } = loadSettings(SHIPPED, {})
    expect(lookalikes.size).toBeGreaterThan(0)
    expect(answer.audiences.map(({ id }) => id).toSorted()).toEqual([...segments.keys(), ...lookalikes.keys()].toSorted())
    for (const { id, size } of answer.audiences) expect({ id, isEmpty: size === 0 }).toEqual({ id, isEmpty: false })
  })

  test('delivers every audience of every destination as a file with its members', () => {
    const sizes = new Map(answer.audiences.map(({ id, size }) => [id, size]))
    for (const { id, path, format, audiences } of loadSettings(SHIPPED, {}).destinations) {
      let added = 0
      for (const { audience, as } of audiences) {
        const folder = join(answer.data, path, as)
        const files = existsSync(folder) ? readdirSync(folder) : []
        expect(files).toEqual([expect.stringMatching(`^\\d{8}T\\d{9}Z-delta\\.${format}$`)])
        const lines = readFileSync(join(folder, files[0] ?? ''), 'utf8')
          .split('\n')
          .filter((line) => /,add$|"action":"add"/.test(line))
        expect(lines).toHaveLength(sizes.get(audience) ?? -1)
        added += lines.length
      }
      expect(answer.exports).toContainEqual({ id, added })
    }
  })

  test('leaves a directory in which commands go on', async () => {
    const { audiences } = await runJson<{ audiences: { members: string[] }[] }>(project, [
      'members',
      'win-back',
      '--config',
      answer.config,
      '--data',
      answer.data,
    ])
    expect(audiences[0]?.members).toHaveLength(answer.audiences.find(({ id }) => id === 'win-back')?.size ?? -1)
  })
})

describe('demo with a configuration of its own', () => {
  test('says which sources it lacks, and sends nothing', async () => {
    const project = scratchProject()
    onTestFinished(project.remove)
    const ran = await runCommand(project, ['demo', '--once', '--config', project.config, '--data', project.data])
    expect(ran).toMatchObject({ exitCode: 2, stdout: '' })
    expect(ran.stderr).toMatch(/does not declare: news, autos, travel, food, shop/)
    expect(existsSync(project.data)).toBe(false)
  })

  test('says that it needs hits without consent to be allowed', async () => {
    const sources = readFileSync(join(SHIPPED, 'sources.yaml'), 'utf8')
    const project = scratchProject({ 'config/sources.yaml': sources })
    onTestFinished(project.remove)
    const ran = await runCommand(project, ['demo', '--once', '--config', project.config, '--data', project.data])
    expect(ran).toMatchObject({ exitCode: 2, stdout: '' })
    expect(ran.stderr).toMatch(/no_signal: allow/)
  })
})
