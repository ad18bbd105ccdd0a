// A plan says what the build then does: over random edits of rules and new events, for every audience, and without leaving a trace.
// EDITS and SEED of the environment make it longer or another one.

import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { DAY_MS, RETENTION_MAX_MS } from '../../src/core/duration.ts'
import type { AudienceId } from '../../src/core/ids.ts'
import { buildAudiences, previewBuild } from '../../src/membership/build.ts'
import { readMembers } from '../../src/membership/members.ts'
import { now as atMs, makeHistories, makeRules, SEED } from '../property/generate.ts'
import { runCommand, runJson } from '../support/cli.ts'
import { storeEvents, visitorNumber } from '../support/events.ts'
import { OPEN_CONFIG, type Project, scratchProject } from '../support/scratch.ts'
import { openScratchStore } from '../support/store.ts'

const EDITS = Number(process.env['EDITS'] ?? 8)
vi.setConfig({ testTimeout: 60_000 + EDITS * 5_000 })
const AUDIENCES = 12
const retentionMs = RETENTION_MAX_MS

it(`equals the build over ${EDITS} random edits (seed ${SEED})`, async () => {
  const { store, close } = await openScratchStore()
  const rules = makeRules()
  const { histories } = makeHistories()
  const choose = fc.sample(fc.nat(rules.length - 1), { seed: SEED, numRuns: AUDIENCES + EDITS })
  const audiences = Array.from({ length: AUDIENCES }, (_, n) => ({
    id: `a${n}` as AudienceId,
    rule: rules[choose[n] ?? 0]?.rule,
  }))
  let changes = 0
  for (let edit = 0; edit < EDITS; edit++) {
    const other = rules[choose[AUDIENCES + edit] ?? 0]?.rule
    if (other) audiences[edit % AUDIENCES] = { id: `a${edit % AUDIENCES}` as AudienceId, rule: other }
    const share = Math.ceil(histories.length / EDITS)
    await storeEvents(store, histories.slice(edit * share, (edit + 1) * share).flat())
    const asked = audiences as Parameters<typeof buildAudiences>[1]['audiences']
    const known = new Map(asked.map((one) => [one.id, one]))
    const options = { known, audiences: asked, retentionMs, now: () => atMs }
    const before = await readMembers(store, options.audiences, { retentionMs, nowMs: atMs })
    const planned = await previewBuild(store, options)
    if (edit > 0)
      expect(await readMembers(store, options.audiences.slice(0, 3), { retentionMs, nowMs: atMs })).toMatchObject({
        asOfMs: before.asOfMs,
      })
    const built = await buildAudiences(store, options)
    expect(built.audiences.map((audience) => ({ ...audience, cost: undefined }))).toEqual(planned.audiences)
    changes += built.audiences.reduce((sum, { entered, left }) => sum + entered + left, 0)
  }
  expect(changes).toBeGreaterThan(8 * EDITS)
  await close()
})

describe('the command', () => {
  let project: Project
  const segments = (event: string) => `segments:\n  - { id: seen, when: { event: ${event} } }\n`
  beforeAll(async () => {
    project = scratchProject({ ...OPEN_CONFIG, 'config/segments/a.yaml': segments('page_view') })
    const row = (n: number, event: string) =>
      JSON.stringify({ visitor: visitorNumber(n), ts: Date.now() - DAY_MS, source: 'site', event })
    const lines = [1, 2, 3, 4].flatMap((n) => [row(n, 'page_view'), ...(n === 1 ? [row(n, 'click')] : [])])
    await runJson(project, ['import', 'events', project.write('events.ndjson', `${lines.join('\n')}\n`)])
  })
  afterAll(() => project?.remove())

  it('shows what would change, as a table for a pull request too, and fails where a limit is broken', async () => {
    const first = { id: 'seen', size: 4, was: 0, would_enter: 4, would_leave: 0, unchanged: 0, state: 'complete' }
    expect(await runJson(project, ['plan', '--max-shrink', '20'])).toMatchObject({ audiences: [first], broken: [] })
    await runJson(project, ['build'])
    project.write('config/segments/a.yaml', segments('click'))
    const next = { id: 'seen', size: 1, was: 4, would_enter: 0, would_leave: 3, unchanged: 1, state: 'complete' }
    for (const _ of ['first', 'again']) expect(await runJson(project, ['plan'])).toMatchObject({ audiences: [next], broken: [] })
    const broken = await runCommand(project, ['plan', '--markdown', '--max-shrink', '20%'])
    expect(broken).toMatchObject({ exitCode: 4 })
    expect(broken.stdout).toBe(
      '| audience | size | would enter | would leave | unchanged | state |\n| --- | ---: | ---: | ---: | ---: | --- |\n' +
        '| seen | 1 | 0 | 3 | 1 | complete |\n\n**seen would go from 4 to 1 (-75.0 %): no audience may shrink by more than 20 %**\n',
    )
    expect(await runCommand(project, ['plan', '--max-growth', 'much'])).toMatchObject({ exitCode: 2 })
  })
})
