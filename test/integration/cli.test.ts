// The command line from outside: what it prints, where, and with which exit code.

import { existsSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type MembersAnswer, runCommand, runJson } from '../support/cli.ts'
import { OPEN_CONFIG, type Project, scratchProject } from '../support/scratch.ts'
import { hitPixel, type Serving, startServe } from '../support/serve.ts'

type Place = { file: string; line: number; column: number }
type CheckAnswer = { ok: boolean; errors: (Place & { message: string })[] }

/** Files without their marks, and where the marks stood: each `▸` is where an error is expected. */
function marked(files: Readonly<Record<string, string>>): { files: Record<string, string>; places: Place[] } {
  const places: Place[] = []
  const unmarked = Object.entries(files).map(([file, text]) => {
    text.split('\n').forEach((row, i) => {
      for (const [n, { index }] of [...row.matchAll(/▸/g)].entries()) places.push({ file, line: i + 1, column: index - n + 1 })
    })
    return [file, text.replaceAll('▸', '')]
  })
  return { files: Object.fromEntries(unmarked), places }
}

const BROKEN = marked({
  'config/segments/broken.yaml': `segments:
  - id: nobody-and-everybody
    when:
      any:
        - all: ▸[]
        - { event: page_view, count: { gte: ▸0 }, within: ▸91d }
        - { event: ▸Page-View, where: { ▸colour: red, device: ▸7 } }
  - id: not-a-rule
    when: { ▸event: click, not: { event: page_view } }
    ▸owner: somebody
`,
  'config/segments/other.yaml': `segments:
  - id: other
    when: { ▸evnt: click }
    tests:
      - { name: a, events: [{ ts: ▸yesterday }], at: 2026-11-21T12:00:00Z, expect: in }
`,
  'config/settings.yaml': `retention: ▸91d
consent: { no_signal: ▸maybe }
`,
  'config/sources.yaml': `sources:
  - id: site
    ▸host: [a.example]
  - { id: ▸"Not An Id" }
`,
})

describe('check', () => {
  let project: Project | undefined
  afterEach(() => project?.remove())

  it('All errors of all files come at once, each at its file, line and column, with exit code 2', async () => {
    project = scratchProject(BROKEN.files)
    const ran = await runCommand(project, ['check'])
    const places = ran.stderr
      .trimEnd()
      .split('\n')
      .map((line) => /^(.+?):(\d+):(\d+): \S/.exec(line) ?? [line, line])
    expect(places.map(([, file, line, column]) => ({ file, line: Number(line), column: Number(column) }))).toEqual(BROKEN.places)
    expect(ran).toMatchObject({ exitCode: 2, stdout: '' })
  })

  it('check --json gives the same errors as one document', async () => {
    project = scratchProject(BROKEN.files)
    const { ok, errors } = await runJson<CheckAnswer>(project, ['check'], { exitCode: 2 })
    expect(ok).toBe(false)
    expect(errors.map(({ file, line, column }) => ({ file, line, column }))).toEqual(BROKEN.places)
    expect(errors.every(({ message }) => message.length > 0)).toBe(true)
  })

  const placesIn = async (broken: Project) => {
    const { errors } = await runJson<CheckAnswer>(broken, ['check'], { exitCode: 2 })
    return errors.map(({ file, line, column }) => ({ file, line, column }))
  }

  it('A segment that nobody defines, and one that names itself, is an error where it is named', async () => {
    const { files, places } = marked({
      'config/segments/a.yaml': `segments:
  - id: a
    when: { all: [{ segment: ▸absent }, { event: click }] }
  - { id: b, when: { not: { segment: ▸b } } }
`,
    })
    project = scratchProject({ ...OPEN_CONFIG, ...files })
    expect(await placesIn(project)).toEqual(places)
  })

  it('A circle of segments is an error where a segment of it is named', async () => {
    const { files, places } = marked({
      'config/segments/a.yaml': `segments:
  - { id: a, when: { segment: ▸b } }
  - { id: b, when: { not: { segment: ▸a } } }
`,
    })
    project = scratchProject({ ...OPEN_CONFIG, ...files })
    for (const place of await placesIn(project)) expect(places).toContainEqual(place)
  })

  it('An environment variable that is not set is an error where it stands, and hides no other of its file', async () => {
    const { files, places } = marked({
      'config/sources.yaml': `sources:
  - { id: site, name: ▸"\${MADELEINE_TEST_UNSET}" }
  - { id: ▸"Not An Id" }
`,
    })
    project = scratchProject({ ...OPEN_CONFIG, ...files })
    expect(await placesIn(project)).toEqual(places)
  })

  it('A file that is no YAML is an error of that file and hides none of the others', async () => {
    project = scratchProject({ ...BROKEN.files, 'config/segments/aaa.yaml': 'segments: [\n' })
    const { errors } = await runJson<CheckAnswer>(project, ['check'], { exitCode: 2 })
    expect(errors.length).toBeGreaterThan(BROKEN.places.length)
    expect(errors[0]?.file).toBe('config/segments/aaa.yaml')
    expect(errors.filter(({ file }) => file !== 'config/segments/aaa.yaml').map(({ line }) => line)).toEqual(
      BROKEN.places.map(({ line }) => line),
    )
  })

  it.each(['build', 'members other', 'export', 'test', 'serve', 'import events config/sources.yaml'])(
    'Nothing runs on a broken configuration: %s ends with exit code 2 and makes no data directory',
    async (command) => {
      project = scratchProject(BROKEN.files)
      const ran = await runCommand(project, command.split(' '), { PORT: '0' })
      expect(ran).toMatchObject({ exitCode: 2, stdout: '' })
      expect(ran.stderr).toContain('config/settings.yaml:1:12: ')
      expect(existsSync(project.data)).toBe(false)
    },
  )

  it('A configuration without mistakes is ok, and so is an empty one', async () => {
    project = scratchProject()
    expect(await runJson(project, ['check'])).toEqual({ ok: true, errors: [], warnings: [] })
    expect(await runCommand(project, ['check'])).toMatchObject({ exitCode: 0, stderr: '' })
    project.remove()
    project = scratchProject({})
    expect(await runJson(project, ['check'])).toEqual({ ok: true, errors: [], warnings: [] })
  })
})

const VIEWERS = `segments:
  - id: viewers
    when: { event: page_view, within: 14d }
    tests:
      - name: one view
        events: [{ ts: 2026-11-20T10:00:00Z }]
        expect: [{ at: 2026-11-20T10:00:00Z, is: in }, { at: 2026-12-04T10:00:00Z, is: out }]
      - name: none
        events: [{ ts: 2026-11-20T10:00:00Z, event: click }]
        at: 2026-11-20T10:00:00Z
        expect: out
`
const WRONG = `  - id: clickers
    when: { event: click, count: { gte: 2 } }
    tests:
      - { name: one is enough, events: [{ ts: 2026-11-20T10:00:00Z, event: click }], at: 2026-11-20T11:00:00Z, expect: in }
`

describe('The commands', () => {
  let project: Project
  beforeAll(() => {
    project = scratchProject({ ...OPEN_CONFIG, 'config/segments/viewers.yaml': VIEWERS })
  })
  afterAll(() => project.remove())

  it('test passes where every expectation holds; one that fails is named, with exit code 4', async () => {
    expect(await runJson(project, ['test'])).toEqual({ passed: 2, failed: 0, failures: [], coverage: { clauses: 1, never: [] } })
    const failing = scratchProject({ ...OPEN_CONFIG, 'config/segments/viewers.yaml': VIEWERS + WRONG })
    try {
      const answer = await runJson<{ failures: unknown[] }>(failing, ['test'], { exitCode: 4 })
      expect(answer).toMatchObject({ passed: 2, failed: 1, failures: [{ segment: 'clickers', test: 'one is enough' }] })
      const ran = await runCommand(failing, ['test'])
      expect(ran.exitCode).toBe(4)
      expect(ran.stdout).toMatch(/clickers.*one is enough/)
      expect(existsSync(failing.data)).toBe(false) // without a database
    } finally {
      failing.remove()
    }
  })

  it.each([
    [''],
    ['frobnicate'],
    ['members'],
    ['members nobody'],
    ['members viewers --frobnicate'],
    ['members viewers --as-of yesterday'],
    ['build nobody'],
    ['export nobody'],
    ['import'],
    ['import events'],
    ['import events absent.ndjson'],
    ['check --config absent'],
  ])('Bad usage (madeleine %s) is exit code 2, said on standard error without a stack trace', async (line) => {
    const ran = await runCommand(project, line === '' ? [] : line.split(' '))
    expect(ran).toMatchObject({ exitCode: 2, stdout: '' })
    expect(ran.stderr).toMatch(/\S/)
    expect(ran.stderr).not.toMatch(/^\s+at /m)
  })

  it.each(['serve', 'demo', 'check', 'test', 'import events', 'build', 'members', 'export'])('%s has --help', async (command) => {
    const ran = await runCommand(project, [...command.split(' '), '--help'])
    expect(ran).toMatchObject({ exitCode: 0, stderr: '' })
    for (const flag of ['--config', '--data', '--json']) expect(ran.stdout).toContain(flag)
  })

  describe('beside a running server', () => {
    let server: Serving
    let visitor: string | undefined
    beforeAll(async () => {
      server = await startServe(project)
      visitor = (await hitPixel(server, { source: 'site', url: 'https://a.example/' })).visitor
    })
    afterAll(() => server.stop())

    it('A second serve on the directory is refused with exit code 3 in one sentence, and the first goes on', async () => {
      const ran = await runCommand(project, ['serve'], { PORT: '0' })
      expect(ran).toMatchObject({ exitCode: 3, stdout: '' })
      expect(ran.stderr.trimEnd().split('\n')).toHaveLength(1)
      expect(ran.stderr).toMatch(/in use|already|another/)
      expect(ran.stderr).not.toMatch(/^\s+at /m)
      expect((await hitPixel(server, { source: 'site', url: 'https://a.example/' })).status).toBe(200)
    })

    it('Every command answers the same with the server and without it', async () => {
      const at = new Date().toISOString()
      const asOf = () => runJson<MembersAnswer>(project, ['members', 'viewers', '--as-of', at])
      const sizes = async () => (await runJson<{ audiences: unknown }>(project, ['build'])).audiences
      const exported = () => runJson(project, ['export', '--dry-run'])
      const beside = await asOf()
      expect(beside.audiences[0]?.members).toContain(visitor)
      const [first] = (await sizes()) as { id: string; size: number }[]
      expect(first).toMatchObject({ id: 'viewers', size: 2, entered: 2, left: 0 })
      const besideExport = await exported()
      const besideMembers = (await runJson<MembersAnswer>(project, ['members', 'viewers'])).audiences

      expect(await server.stop()).toBe(0)
      expect(await asOf()).toEqual(beside)
      expect(await exported()).toEqual(besideExport)
      expect((await runJson<MembersAnswer>(project, ['members', 'viewers'])).audiences).toEqual(besideMembers)
      expect(await sizes()).toMatchObject([{ id: 'viewers', size: 2, entered: 0, left: 0 }])
    })
  })
})
