// What is read back of a visitor is what was stored: `why` explains from it what builds decide in SQL.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { HOUR_MS, RETENTION_MAX_MS } from '../../src/core/duration.ts'
import type { Event } from '../../src/event/event.ts'
import { evaluateMembers } from '../../src/membership/members.ts'
import { readVisitor } from '../../src/membership/visitor.ts'
import { explain } from '../../src/rules/explain.ts'
import { isListed, makeHistories, makeRules, now } from '../property/generate.ts'
import { runCommand, runJson } from '../support/cli.ts'
import { storeEvents, storeList, storeSignals, visitorNumber } from '../support/events.ts'
import { OPEN_CONFIG, type Project, scratchProject } from '../support/scratch.ts'
import { openScratchStore } from '../support/store.ts'

const retentionMs = RETENTION_MAX_MS
const written = (events: readonly Event[]): string[] =>
  events
    .map((event) =>
      JSON.stringify(
        Object.entries(event).sort(([a], [b]) => a.localeCompare(b)),
        (_, value: unknown) => (typeof value === 'bigint' ? `${value}` : value),
      ),
    )
    .sort()

it('every generated event and signal comes back, and the explanation agrees with the members in SQL', async () => {
  const { store, close } = await openScratchStore()
  const { histories, said } = makeHistories()
  await storeEvents(store, histories.flat())
  await storeSignals(store, said.flat())
  await storeList(
    store,
    'odd',
    histories.flatMap((_, n) => (isListed('odd', n) ? [visitorNumber(n + 1)] : [])),
  )
  const rules = makeRules()
  const members = await evaluateMembers(store, rules, { atMs: now, nowMs: now, retentionMs })
  const inside = new Map(rules.map(({ id }) => [id, new Set(members.get(id))]))
  for (let n = 0; n < histories.length; n += 15) {
    const visitor = visitorNumber(n + 1)
    const { history, facts } = await readVisitor(store, visitor, { nowMs: now, retentionMs })
    const kept = (histories[n] ?? []).filter(({ ts }) => ts > now - retentionMs)
    expect(written(history)).toEqual(written(kept))
    for (const { id, rule } of rules)
      expect(explain(rule, history, now, retentionMs, facts).member, `${id} of ${visitor}`).toBe(inside.get(id)?.has(visitor))
  }
  await close()
})

describe('why', () => {
  let project: Project
  const ts = Date.now() - HOUR_MS
  beforeAll(async () => {
    project = scratchProject({
      ...OPEN_CONFIG,
      'config/segments/a.yaml':
        'segments:\n  - { id: buyers, when: { all: [{ event: page_view, within: 7d }, { event: conversion, count: { gte: 2 } }] } }\n',
    })
    const row = (event: string) =>
      JSON.stringify({ visitor: visitorNumber(1), ts, source: 'site', event, url: 'https://a.example/x' })
    await runJson(project, ['import', 'events', project.write('e.ndjson', `${row('page_view')}\n${row('conversion')}\n`)])
  })
  afterAll(() => project?.remove())

  it('names clauses, events and the moment, for whoever is in and whoever is not', async () => {
    const event = { ts: new Date(ts).toISOString(), source: 'site', path: '/x' }
    expect(await runJson(project, ['why', visitorNumber(1), 'buyers'])).toMatchObject({
      member: false,
      until: null,
      clauses: [
        { clause: 'when.all[0]', holds: true, events: [{ ...event, event: 'page_view' }] },
        { clause: 'when.all[1]', holds: false, value: '1', events: [{ ...event, event: 'conversion' }] },
      ],
    })
    project.write('config/segments/a.yaml', 'segments:\n  - { id: viewers, when: { event: page_view, within: 7d } }\n')
    const until = new Date(ts + 7 * 24 * HOUR_MS).toISOString()
    expect(await runJson(project, ['why', visitorNumber(1), 'viewers'])).toMatchObject({ member: true, until })
    expect((await runCommand(project, ['why', visitorNumber(1), 'viewers'])).stdout).toContain(`is in viewers: until ${until}`)
    expect(await runJson(project, ['why', visitorNumber(2), 'viewers'])).toMatchObject({ member: false, until: null })
    expect(await runCommand(project, ['why', 'nobody', 'viewers'])).toMatchObject({ exitCode: 2 })
  })
})
