// `import events` from outside: what is stored, what is rejected and why, and that a file counts once however often it is given.

import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { membersOf, runCommand, runJson } from '../support/cli.ts'
import { OPEN_CONFIG, type Project, scratchProject } from '../support/scratch.ts'
import { startServe } from '../support/serve.ts'

const DAY_MS = 86_400_000
type Imported = {
  read: number
  stored: number
  rejected: number
  duplicates: number
  rejects: { line: number; reason: string }[]
}

const visitor = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
const ago = (ms: number) => new Date(Date.now() - ms).toISOString()
const row = (fields: Record<string, unknown>) =>
  JSON.stringify({ visitor: visitor(1), ts: ago(DAY_MS), source: 'site', url: 'https://a.example/', ...fields })

const SEGMENTS = `segments:
  - { id: anybody, when: { count: { gte: 1 } } }
  - { id: twice, when: { count: { eq: 2 } } }
  - { id: spent, when: { event: conversion, where: { value: 19.9, category: "1", attr.plan: gold } } }
`

describe('import events', () => {
  let project: Project
  beforeEach(() => {
    project = scratchProject({ ...OPEN_CONFIG, 'config/segments/all.yaml': SEGMENTS })
  })
  afterEach(() => project.remove())

  const importFile = (file: string, exitCode = 0) => runJson<Imported>(project, ['import', 'events', file], { exitCode })

  it('Good lines are stored and each bad one is rejected by its number with its reason, with exit code 4', async () => {
    const same = row({})
    const file = project.write(
      'in/mixed.ndjson',
      [
        same,
        '{ not json',
        '[]',
        row({ source: 'nobody' }),
        row({ visitor: 'somebody' }),
        '',
        row({ ts: undefined }),
        row({ ts: '2026-02-30T10:00:00Z' }),
        row({ ts: ago(91 * DAY_MS) }),
        row({ ts: ago(-3_600_000) }),
        row({ value: 'many' }),
        row({ event: 'Page View' }),
        same, // two equal lines are two events
        row({ visitor: visitor(2), event: 'conversion', value: 19.9, category: ['2'], 'attr.plan': 'gold', whatever: 1 }),
      ].join('\n'), // and no line end after the last
    )
    const answer = await importFile(file, 4)
    expect(answer).toMatchObject({ read: 13, stored: 3, rejected: 10, duplicates: 0 })
    const words = ['', 'json', 'object', 'unknown_source', 'visitor', '', 'ts', 'ts', 'too_old', 'in_future', 'value', 'event']
    const expected = words.flatMap((word, i) => (word === '' ? [] : [[i + 1, word]]))
    expect(answer.rejects.map(({ line }, i) => [line, expected[i]?.[1]])).toEqual(expected)
    for (const [i, { reason }] of answer.rejects.entries()) expect(reason).toContain(expected[i]?.[1])
    expect(await membersOf(project, 'twice', 'spent')).toEqual({ twice: new Set([visitor(1)]), spent: new Set([visitor(2)]) })
  })

  it('Without --json each reject is a line of file:line: reason', async () => {
    const file = project.write('in/mixed.ndjson', `${row({})}\nnonsense\n`)
    const ran = await runCommand(project, ['import', 'events', file])
    expect(ran.exitCode).toBe(4)
    expect(ran.stdout + ran.stderr).toContain(`${file}:2: `)
  })

  it('The same file again, under another name and packed, stores nothing; another file with an equal line does', async () => {
    const content = `${row({})}\n${row({ visitor: visitor(2) })}\n`
    const first = project.write('in/first.ndjson', content)
    expect(await importFile(first)).toMatchObject({ read: 2, stored: 2, duplicates: 0, rejected: 0 })
    expect(await importFile(first)).toMatchObject({ read: 2, stored: 0, duplicates: 2, rejected: 0 })
    expect(await importFile(project.write('in/copy.ndjson', content))).toMatchObject({ stored: 0, duplicates: 2 })
    expect(await importFile(project.write('in/packed.ndjson.gz', gzipSync(content)))).toMatchObject({ stored: 0, duplicates: 2 })
    expect(await importFile(project.write('in/other.ndjson', content.split('\n')[0] ?? ''))).toMatchObject({ stored: 1 })
    expect(await membersOf(project, 'anybody', 'twice')).toEqual({
      anybody: new Set([visitor(1), visitor(2)]),
      twice: new Set([visitor(1)]),
    })
  })

  it('A packed file is read like any other, across all weeks of the retention and more than one block', async () => {
    const people = Array.from({ length: 100_500 }, (_, n) => row({ visitor: visitor(n), ts: ago((n % 89) * DAY_MS + 60_000) }))
    const file = project.write('in/many.ndjson.gz', gzipSync(people.join('\r\n')))
    const startedMs = Date.now()
    expect(await importFile(file)).toMatchObject({ read: 100_500, stored: 100_500, rejected: 0, duplicates: 0, rejects: [] })
    process.stderr.write(`import: 100,500 rows in ${((Date.now() - startedMs) / 1000).toFixed(1)} s\n`)
    expect((await membersOf(project, 'anybody'))['anybody']?.size).toBe(100_500)
  })

  it('A packed file that is cut off is not taken for a whole one', async () => {
    const content = Array.from({ length: 5_000 }, (_, n) => row({ visitor: visitor(n) })).join('\n')
    const packed = gzipSync(content)
    const cut = project.write('in/cut.ndjson.gz', packed.subarray(0, packed.length / 2))
    expect((await runCommand(project, ['import', 'events', cut])).exitCode).not.toBe(0)
    expect(await importFile(project.write('in/whole.ndjson.gz', packed))).toMatchObject({ read: 5_000, rejected: 0 })
    expect((await membersOf(project, 'anybody'))['anybody']?.size).toBe(5_000)
    expect((await membersOf(project, 'twice'))['twice']?.size).toBe(0)
  })

  it('A packed file that is damaged is said to be so in a sentence, with its name', async () => {
    const file = project.write('in/damaged.ndjson.gz', 'not packed')
    const { exitCode, stderr } = await runCommand(project, ['import', 'events', file])
    expect(stderr).toContain(file)
    expect(stderr).not.toMatch(/^\s+at /m)
    expect(exitCode).not.toBe(1)
  })

  it('A server that runs on the directory is no hindrance', async () => {
    const server = await startServe(project)
    try {
      const file = project.write('in/beside.ndjson', `${row({})}\n`)
      expect(await importFile(file)).toMatchObject({ stored: 1 })
      expect(await importFile(file)).toMatchObject({ stored: 0, duplicates: 1 })
      expect(await membersOf(project, 'anybody')).toEqual({ anybody: new Set([visitor(1)]) })
    } finally {
      await server.stop()
    }
  })
})
