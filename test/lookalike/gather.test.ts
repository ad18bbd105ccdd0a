// What all of a visitor's events say together, as the engine makes it.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DAY_MS, RETENTION_MAX_MS } from '../../src/core/duration.ts'
import { completed, type Dictionary, featureOf, writeDictionary } from '../../src/lookalike/dictionary.ts'
import { nameOf } from '../../src/lookalike/families.ts'
import { modelledSql, printGather } from '../../src/lookalike/gather.ts'
import { Binder } from '../../src/rules/binder.ts'
import { loadSettings } from '../../src/settings/load.ts'
import { makeBatches } from '../../src/spool/batches.ts'
import { anEvent, storeEvents, visitorNumber } from '../support/events.ts'
import { OPEN_CONFIG, scratchProject } from '../support/scratch.ts'
import { openScratchStore, type ScratchStore } from '../support/store.ts'

const page = (path: string) => ({ origin: 'https://a.example', host: 'a.example', path, url: `https://a.example${path}` })

describe('what all events of a visitor say together', () => {
  const nowMs = Date.now()
  const project = scratchProject(OPEN_CONFIG)
  let scratch: ScratchStore
  let told: Record<string, string[]>

  beforeAll(async () => {
    scratch = await openScratchStore()
    const { store } = scratch
    const at = (visitor: number, daysAgo: number, path: string) =>
      anEvent({ visitor: visitorNumber(visitor), ts: nowMs - daysAgo * DAY_MS - 1_000, event: 'page_view', ...page(path) })
    await storeEvents(store, [
      at(1, 0, '/a'),
      ...['/a', '/b', '/a'].map((path) => at(2, 3, path)),
      ...['/a', '/b', '/c', '/d', '/e'].map((path, n) => at(3, n + 1, path)),
    ])
    const run = makeBatches(() => nowMs)() // old runs expire
    const { contentTaxonomy } = loadSettings(project.config, {})
    const dictionary: Dictionary = { run, values: completed([], contentTaxonomy) }
    await writeDictionary(store, dictionary, contentTaxonomy)
    const binder = new Binder()
    const sight = { atMs: nowMs, nowMs, retentionMs: RETENTION_MAX_MS, isUncontested: true }
    const rows = await store.rows<{ who: string; features: number[] }>({
      owner: 'test.gather',
      sql: `SELECT toString(visitor) AS who, features FROM (${printGather(run, modelledSql(sight, '', binder), sight, binder)})`,
      values: binder.values,
    })
    const namesOf = (features: readonly number[]) =>
      features.flatMap((number) => {
        const feature = featureOf(dictionary, number)
        return feature ? [nameOf(feature)] : []
      })
    told = Object.fromEntries(rows.map(({ who, features }) => [who, namesOf(features).sort()]))
  })
  afterAll(async () => {
    await scratch.close()
    project.remove()
  })

  it('of one event today: it is one, of one page, on one day; nothing came again and no day has passed', () => {
    expect(told[visitorNumber(1)]).toEqual(['1 days or more', '1 events or more', '1 pages or more'])
  })

  it('tells three events from two, and that a page was returned to', () => {
    expect(told[visitorNumber(2)]).toEqual(
      [
        ...['1 days since the last event or more', '2 days since the last event or more', '3 days since the last event or more'],
        ...['1 days or more', '1 events or more', '2 events or more', '3 events or more'],
        ...['1 pages or more', '2 pages or more', '1 returns to a page or more'],
      ].sort(),
    )
  })

  it('counts days and pages, and says nothing of returns where every page was another', () => {
    const names = told[visitorNumber(3)] ?? []
    expect(names).toEqual(expect.arrayContaining(['4 days or more', '4 pages or more', '4 events or more']))
    expect(names.filter((name) => /^6|return|^2 days since/.test(name))).toEqual([])
  })
})
