// Imported lists, from the file to the audience, and the report of fields, as a user runs them.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { membersOf, runCommand, runJson } from '../support/cli.ts'
import { visitorNumber } from '../support/events.ts'
import { OPEN_CONFIG, type Project, scratchProject } from '../support/scratch.ts'

const CONFIG = {
  ...OPEN_CONFIG,
  'config/settings.yaml': 'consent: { no_signal: allow }\nprivacy: { minimum_report: 2, minimum_export: 1 }\n',
  'config/segments/all.yaml': `segments:
  - id: customers-back
    when: { all: [{ list: customers }, { event: page_view }] }
    tests:
      - { name: a customer, lists: [customers], events: [{ ts: 2026-11-20T10:00:00Z }], at: 2026-11-20T11:00:00Z, expect: in }
      - { name: another, lists: [others], events: [{ ts: 2026-11-20T10:00:00Z }], at: 2026-11-20T11:00:00Z, expect: out }
  - { id: strangers, when: { not: { list: customers } } }
  - { id: waiting, when: { any: [{ list: never-imported }, { event: click }] } }
`,
}
type Built = { audiences: { id: string; size: number; state: string }[] }
type Imported = { read: number; stored: number; rejected: number; duplicates: number; rejects: { line: number }[] }

describe('a list', () => {
  let project: Project
  beforeAll(async () => {
    project = scratchProject(CONFIG)
    const row = (n: number, more: object) =>
      JSON.stringify({ visitor: visitorNumber(n), ts: Date.now() - 60_000, source: 'site', ...more })
    const lines = [row(1, { campaign: 'a' }), row(2, { campaign: 'a' }), row(3, { event: 'click', campaign: 'rare' })]
    await runJson(project, ['import', 'events', project.write('events.ndjson', `${lines.join('\n')}\n`)])
  })
  afterAll(() => project?.remove())

  const importList = (lines: readonly string[], exitCode = 0) =>
    runJson<Imported>(project, ['import', 'list', project.write('list.csv', `${lines.join('\n')}\n`), '--list', 'customers'], {
      exitCode,
    })
  const stateOf = async (id: string) =>
    (await runJson<Built>(project, ['build'])).audiences.find((audience) => audience.id === id)

  it('that was never imported is empty, and the audiences that need it wait for it', async () => {
    expect(await stateOf('customers-back')).toMatchObject({ size: 0, state: 'waiting_for_list' })
    expect(await stateOf('waiting')).toMatchObject({ size: 1, state: 'waiting_for_list' })
  })

  it('selects, is an audience of its known visitors, and a second import takes its place', async () => {
    const unknown = visitorNumber(99)
    const first = [visitorNumber(1).toUpperCase(), visitorNumber(3), unknown, visitorNumber(3), 'no-uuid']
    expect(await importList(first, 4)).toMatchObject({ read: 5, stored: 3, rejected: 1, duplicates: 1, rejects: [{ line: 5 }] })
    expect(await stateOf('customers-back')).toMatchObject({ size: 1, state: 'complete' })
    expect(await membersOf(project, 'customers', 'customers-back', 'strangers')).toEqual({
      customers: new Set([visitorNumber(1), visitorNumber(3)]),
      'customers-back': new Set([visitorNumber(1)]),
      strangers: new Set([visitorNumber(2)]),
    })
    await importList([visitorNumber(2)])
    await runJson(project, ['build'])
    expect(await membersOf(project, 'customers', 'customers-back')).toEqual({
      customers: new Set([visitorNumber(2)]),
      'customers-back': new Set([visitorNumber(2)]),
    })
  })

  it('is what a test says it is', async () => {
    expect(await runJson(project, ['test'])).toMatchObject({ passed: 2, failed: 0 })
  })

  it('may not have the id of a segment, and an empty file is no list', async () => {
    const file = project.write('some.csv', `${visitorNumber(1)}\n`)
    const taken = await runCommand(project, ['import', 'list', file, '--list', 'strangers'])
    expect([taken.exitCode, taken.stderr]).toEqual([2, expect.stringContaining('is a segment')])
    const empty = await runCommand(project, ['import', 'list', project.write('empty.csv', '\n'), '--list', 'customers'])
    expect([empty.exitCode, empty.stderr]).toEqual([2, expect.stringContaining('holds no visitor')])
    expect((await membersOf(project, 'customers'))['customers']).toEqual(new Set([visitorNumber(2)]))
  })

  it('and the report of fields tells what comes in and what no rule uses, and nothing of too few', async () => {
    type Report = {
      events: number
      fields: { field: string; events: number; used: boolean; values: { value: string; used: boolean }[] }[]
    }
    const report = await runJson<Report>(project, ['report', 'fields'])
    const of = (name: string) => report.fields.find(({ field }) => field === name)
    expect(report.events).toBe(3)
    expect(of('event')).toMatchObject({ events: 3, used: true, values: [{ value: 'page_view', used: true }] })
    expect(of('campaign')).toMatchObject({ events: 3, used: false, values: [{ value: 'a', used: false }] })
    expect(JSON.stringify(report)).not.toContain('rare')
  })
})
