// Trainings over a simulated network: who is chosen, how many, how surely, and what keeps somebody out.

import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { DAY_MS, RETENTION_MAX_MS } from '../../src/core/duration.ts'
import type { AudienceId, VisitorId } from '../../src/core/ids.ts'
import { permissionSet, SIGNALLED_BIT } from '../../src/core/permissions.ts'
import { withPreview } from '../../src/lookalike/preview.ts'
import { explainScore, readScores } from '../../src/lookalike/scores.ts'
import { makeTrainer } from '../../src/lookalike/trainer.ts'
import { readTrainingReport, readTrainings } from '../../src/lookalike/trainings.ts'
import { buildAudiences, chooseAudiences, previewBuild, verifyMembers } from '../../src/membership/build.ts'
import { audiencesOf, readKept } from '../../src/membership/lists.ts'
import { readMembers } from '../../src/membership/members.ts'
import { DEFAULT_LIMITS } from '../../src/membership/pass.ts'
import { loadSettings } from '../../src/settings/load.ts'
import { anEvent, storeEvents, storeList, storeSignals, visitorNumber } from '../support/events.ts'
import { makeDice, makePopulation, type Population } from '../support/population.ts'
import { OPEN_CONFIG, scratchProject } from '../support/scratch.ts'
import { openScratchStore, type ScratchStore, type StoreMode } from '../support/store.ts'

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })
const retentionMs = RETENTION_MAX_MS

function existing<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('there is none')
  return value
}

/** A store with a configuration, and the steps of a build. */
async function openNetwork(files: Readonly<Record<string, string>>, mode: StoreMode = 'embedded') {
  const scratch: ScratchStore = await openScratchStore(mode)
  const { store } = scratch
  let project = scratchProject({ ...OPEN_CONFIG, ...files })
  let nowMs = Date.now()
  const settings = () => loadSettings(project.config, {})
  const options = () => ({
    taxonomy: settings().contentTaxonomy,
    retentionMs,
    limits: DEFAULT_LIMITS,
    now: () => nowMs,
  })
  const trainer = () =>
    makeTrainer(store, {
      settings: () => ({ ...options(), lookalikes: settings().lookalikes }),
      now: () => nowMs,
      prepare: async () => {},
    })
  const audiences = async () => audiencesOf(settings(), await readKept(store))
  const membersOf = async (id: string) => {
    const { known } = await audiences()
    const read = await readMembers(store, chooseAudiences(known, [id]), { retentionMs, nowMs })
    return (read.audiences[0]?.members ?? []) as VisitorId[]
  }
  return {
    store,
    trainer,
    membersOf,
    settings,
    audiences,
    now: () => nowMs,
    later(ms: number) {
      nowMs += ms
    },
    configure(changed: Readonly<Record<string, string>>) {
      project.remove()
      project = scratchProject({ ...OPEN_CONFIG, ...changed })
    },
    async build() {
      nowMs = Math.max(nowMs, Date.now())
      const trained = await trainer().train([])
      const { known, usual } = await audiences()
      const asked = chooseAudiences(known, [], usual)
      return { trained, ...(await buildAudiences(store, { known, audiences: asked, retentionMs, now: () => nowMs })) }
    },
    async plan() {
      nowMs = Math.max(nowMs, Date.now())
      const { known, usual } = await audiences()
      return withPreview(store, settings().lookalikes, known, options(), (changed) =>
        previewBuild(store, { known: changed, audiences: chooseAudiences(changed, usual), retentionMs, now: () => nowMs }),
      )
    },
    verify: async () => verifyMembers(store, { known: (await audiences()).known, retentionMs }),
    async close() {
      project.remove()
      await scratch.close()
    },
  }
}
type Network = Awaited<ReturnType<typeof openNetwork>>

const lookalike = (more = 'reach: 10%', id = 'near') => `  - { id: ${id}, seed: fans, ${more} }\n`
const file = (...lookalikes: string[]) => `lookalikes:\n${lookalikes.join('')}`

/** Half of those with the taste are the seed; the others are who should be found. */
function halves({ tasteful }: Population): { seed: VisitorId[]; hidden: Set<VisitorId> } {
  const dice = makeDice(7)
  const seed = [...tasteful].filter(() => dice() < 0.5)
  const known = new Set(seed)
  return { seed, hidden: new Set([...tasteful].filter((id) => !known.has(id))) }
}

describe('a lookalike of a list', () => {
  let network: Network
  const population = makePopulation({ visitors: 4_000, seed: 1, nowMs: Date.now() })
  const { seed, hidden } = halves(population)
  beforeAll(async () => {
    network = await openNetwork({
      'config/lookalikes/a.yaml': file(
        lookalike(),
        lookalike('size: 123', 'few'),
        lookalike('min_score: 0.7', 'sure'),
        lookalike('reach: 100%', 'all'),
      ),
    })
    await storeEvents(network.store, population.events)
    await storeList(network.store, 'fans', seed)
    await network.build()
  })
  afterAll(() => network.close())

  it('holds the share of the pool outside the seed, rounded up, and nobody of the seed', async () => {
    const members = await network.membersOf('near')
    expect(members).toHaveLength(Math.ceil(0.1 * (4_000 - seed.length)))
    expect(members.filter((id) => seed.includes(id))).toEqual([])
    expect(await network.membersOf('few')).toHaveLength(123)
    expect(await network.membersOf('all')).toHaveLength(4_000 - seed.length)
  })

  it('finds those who were left out of the seed, and about as many as its report has promised', async () => {
    const members = await network.membersOf('near')
    const found = members.filter((id) => hidden.has(id)).length / hidden.size
    const training = (await readTrainings(network.store)).get('near' as AudienceId)
    const report = training && (await readTrainingReport(network.store, training))
    const [low = 0, high = 0] = report?.evidence.interval.recall.p10 ?? []
    expect(found).toBeGreaterThan(0.25)
    expect(found).toBeGreaterThan(low - 0.04) // of the hidden too only some hundreds were drawn
    expect(found).toBeLessThan(high + 0.04)
    const named = report?.features
      .slice(0, 4)
      .map(({ name }) => name)
      .join()
    expect(named).toContain('garden')
    expect(named).toContain('seeds')
  })

  it('scores everybody between 0 and 1, the members above the others, and those above a score where that is asked for', async () => {
    const trainings = await readTrainings(network.store)
    const all = await readScores(network.store, 'all' as AudienceId, existing(trainings.get('all' as AudienceId)))
    const near = await readScores(network.store, 'near' as AudienceId, existing(trainings.get('near' as AudienceId)))
    expect([...all.values()].every((score) => score > 0 && score < 1)).toBe(true)
    const least = Math.min(...near.values())
    expect([...all].filter(([id, score]) => score > least + 1e-9 && !near.has(id))).toEqual([])
    const sure = new Set(await network.membersOf('sure'))
    expect(sure).toEqual(new Set([...all].filter(([, score]) => score >= 0.7).map(([id]) => id)))
    expect(sure.size).toBeGreaterThan(10)
  })

  it('explains a score by contributions that sum to it', async () => {
    const training = existing((await readTrainings(network.store)).get('all' as AudienceId))
    const scores = [...(await readScores(network.store, 'all' as AudienceId, training))].sort((a, b) => b[1] - a[1])
    for (const [visitor, score] of [...scores.slice(0, 5), ...scores.slice(-5), ...scores.slice(1_000, 1_010)]) {
      const told = existing(
        await explainScore(network.store, 'all' as AudienceId, visitor, { nowMs: network.now(), retentionMs }),
      )
      expect(told.score).toBeCloseTo(score, 9)
      const margin = told.contributions.reduce((sum, { weight }) => sum + weight, told.base)
      expect(1 / (1 + Math.exp(-(told.slope * margin + told.offset)))).toBeCloseTo(score, 9)
    }
  })

  it('is an audience like any other: kept by ticks, proven by a rebuild, and nothing changes where nothing happened', async () => {
    const before = await network.membersOf('near')
    const { trained, audiences } = await network.build()
    expect(trained).toEqual([])
    expect(audiences.find(({ id }) => id === 'near')).toMatchObject({
      size: before.length,
      entered: 0,
      left: 0,
      state: 'complete',
    })
    expect((await network.verify()).differences).toEqual([])
  })

  it('takes in nobody more than the number that is asked for, whoever comes', async () => {
    const come = makePopulation({ visitors: 70, seed: 31, nowMs: Date.now(), first: 20_000, tasteful: 1, strength: 7.5 })
    await storeEvents(network.store, come.events)
    await network.build()
    expect(await network.membersOf('few')).toHaveLength(123)
    const sure = await network.membersOf('sure')
    expect(sure.filter((id) => come.tasteful.has(id)).length).toBeGreaterThan(30)
  })

  it('loses whoever refuses models at one source, though others are read at another', async () => {
    const [refuses, stays] = await network.membersOf('near')
    const elsewhere = {
      ts: Date.now() - 1_000,
      event: 'page_view',
      source: 'shop',
      host: 'shop.example',
      path: '/',
      origin: 'https://shop.example',
    }
    await storeEvents(
      network.store,
      [refuses, stays].map((visitor) => anEvent({ visitor: existing(visitor), ...elsewhere })),
    )
    const permissions = permissionSet(['store', 'profile', 'activate', 'measure', 'report']) | (1 << SIGNALLED_BIT)
    await storeSignals(network.store, [
      { tsMs: Date.now(), visitor: existing(refuses), source: 'news', permissions, receivers: [] },
    ])
    await network.build()
    const after = await network.membersOf('near')
    expect(after).toContain(stays)
    expect(after).not.toContain(refuses)
    expect((await network.verify()).differences).toEqual([])
  })

  it('loses whoever becomes one of the seed, and whoever takes back the consent to models, at the next tick', async () => {
    const [joins, refuses, stays] = await network.membersOf('near')
    await storeList(network.store, 'fans', [...seed, existing(joins)])
    const refusal = {
      source: 'news',
      permissions: permissionSet(['store', 'profile', 'activate', 'measure', 'report']) | (1 << SIGNALLED_BIT),
      receivers: [],
    }
    await storeSignals(network.store, [{ tsMs: Date.now(), visitor: existing(refuses), ...refusal }])
    const { known, usual } = await network.audiences()
    const asked = chooseAudiences(known, [], usual)
    await buildAudiences(network.store, { known, audiences: asked, retentionMs, now: () => Date.now() }) // without a training
    const after = await network.membersOf('near')
    expect(after).toContain(stays)
    expect(after).not.toContain(joins)
    expect(after).not.toContain(refuses)
    expect((await network.verify()).differences).toEqual([])
  })
})

describe('what a build does to lookalikes', () => {
  let network: Network
  const population = makePopulation({ visitors: 3_000, seed: 2, nowMs: Date.now() })
  const { seed } = halves(population)
  beforeAll(async () => {
    network = await openNetwork({ 'config/lookalikes/a.yaml': file(lookalike('reach: 10%, retrain: 1h, churn: 5%')) })
    await storeEvents(network.store, population.events)
  })
  afterAll(() => network.close())

  it('waits for a seed that is not imported', async () => {
    const { trained, audiences } = await network.build()
    expect(trained).toEqual([])
    expect(audiences.find(({ id }) => id === 'near')).toMatchObject({ size: 0, state: 'waiting_for_list' })
  })

  it('is what a plan says, which leaves nothing behind', async () => {
    await storeList(network.store, 'fans', seed)
    const planned = await network.plan()
    const { audiences } = await network.build()
    const told = (all: typeof audiences) => all.map(({ id, size, entered, left, state }) => ({ id, size, entered, left, state }))
    expect(told(audiences)).toEqual(told(planned.audiences))
    expect(audiences.find(({ id }) => id === 'near')?.entered).toBe(Math.ceil(0.1 * (3_000 - seed.length)))
    const left = await network.store.rows({
      owner: 'test.drafts',
      sql: `SELECT list FROM madeleine.list_members WHERE list LIKE 'draft%'`,
    })
    expect(left).toEqual([])
  })

  it('scores those who came after the training, and takes in who scores as high as a member', async () => {
    const before = new Set(await network.membersOf('near'))
    const come = makePopulation({ visitors: 50, seed: 3, nowMs: Date.now(), first: 10_000, tasteful: 0.5, strength: 7 })
    await storeEvents(network.store, come.events)
    const planned = await network.plan()
    const { trained, audiences } = await network.build()
    expect(trained).toEqual([])
    const added = (await network.membersOf('near')).filter((id) => !before.has(id))
    expect(added.length).toBeGreaterThan(8)
    expect(added.every((id) => come.visitors.includes(id))).toBe(true)
    expect(added.filter((id) => come.tasteful.has(id)).length / added.length).toBeGreaterThan(0.8)
    expect(planned.audiences.find(({ id }) => id === 'near')?.entered).toBe(added.length)
    expect(audiences.find(({ id }) => id === 'near')?.entered).toBe(added.length)
    expect((await network.verify()).differences).toEqual([])
  })

  it('trains again where a build finds many more visitors, so that the share is one of them all', async () => {
    const come = makePopulation({ visitors: 300, seed: 4, nowMs: Date.now(), first: 15_000 })
    await storeEvents(network.store, come.events)
    const { trained } = await network.build()
    expect(trained).toMatchObject([{ outcome: 'trained' }])
    expect(await network.membersOf('near')).toHaveLength(Math.ceil(0.1 * (3_350 - seed.length)))
  })

  it('trains again when it is time, and replaces no more members than the budget lets', async () => {
    // Half of everybody turns to something else.
    const dice = makeDice(9)
    const turned = population.visitors.flatMap((visitor) =>
      dice() < 0.5
        ? [
            anEvent({
              visitor,
              ts: Date.now() - 1_000,
              event: 'page_view',
              path: '/garden/story',
              host: 'news.example',
              origin: 'https://news.example',
            }),
          ]
        : [],
    )
    await storeEvents(network.store, turned)
    const before = new Set(await network.membersOf('near'))
    network.later(2 * 3_600_000)
    const { trained } = await network.build()
    expect(trained).toMatchObject([{ lookalike: 'near', outcome: 'trained' }])
    const after = await network.membersOf('near')
    const came = after.filter((id) => !before.has(id)).length
    expect(after).toHaveLength(Math.ceil(0.1 * (3_350 - seed.length)))
    expect(came).toBeGreaterThan(0)
    expect(came).toBeLessThanOrEqual(Math.max(0.05 * after.length, after.length - before.size))
    const report = await readTrainingReport(network.store, existing(trained[0]))
    expect(report?.change?.wanted).toBeGreaterThan(came)
    expect(report?.change?.features.length).toBeGreaterThan(0)
    expect(report?.change?.liftKept).toBeGreaterThan(0.3)
    expect(report?.change?.liftKept).toBeLessThan(1)
  })

  it('keeps to the budget when the seed is imported anew, with nearly the same people', async () => {
    const before = new Set(await network.membersOf('near'))
    await storeList(network.store, 'fans', seed.slice(2))
    const { trained } = await network.build()
    expect(trained).toMatchObject([{ outcome: 'trained' }])
    const after = await network.membersOf('near')
    expect(after.filter((id) => !before.has(id)).length).toBeLessThanOrEqual(
      Math.max(0.05 * after.length, after.length - before.size),
    )
  })

  it('is a new audience after a change of its definition, to which no budget applies', async () => {
    network.configure({ 'config/lookalikes/a.yaml': file(lookalike('reach: 50%, retrain: 1h, churn: 5%')) })
    await network.build()
    expect(await network.membersOf('near')).toHaveLength(Math.ceil(0.5 * (3_350 - (seed.length - 2))))
  })

  it('the same events, the same seed: the same members, embedded or on a server', async () => {
    const other = await openNetwork({ 'config/lookalikes/a.yaml': file(lookalike()) })
    const again = await openNetwork({ 'config/lookalikes/a.yaml': file(lookalike()) }, 'server')
    for (const { store, build } of [other, again]) {
      await storeEvents(store, population.events)
      await storeList(store, 'fans', seed)
      await build()
    }
    expect(await other.membersOf('near')).toEqual(await again.membersOf('near'))
    await other.close()
    await again.close()
  })
})

describe('a seed', () => {
  const population = makePopulation({ visitors: 2_500, seed: 4, nowMs: Date.now() })
  const { seed } = halves(population)
  let network: Network
  beforeAll(async () => {
    network = await openNetwork({
      'config/lookalikes/a.yaml': file(
        lookalike('reach: 10%'),
        '  - { id: near-buyers, seed: buyers, reach: 10% }\n',
        '  - { id: near-random, seed: fans, reach: 10%, among: mobiles }\n',
        '  - { id: near-any, seed: fans, reach: 10%, among: mobiles, exclude: [path, activity] }\n',
      ),
      'config/segments/a.yaml': `segments:
  - { id: buyers, when: { event: conversion } }
  - { id: mobiles, when: { where: { device: mobile } } }
`,
    })
    const dice = makeDice(5)
    const bought = [...population.tasteful].flatMap((visitor) =>
      dice() < 0.5
        ? [
            anEvent({
              visitor,
              ts: Date.now() - DAY_MS,
              event: 'conversion',
              order_id: `o${visitor}`,
              path: '/thanks/you',
              host: 'shop.example',
              origin: 'https://shop.example',
              keyword: ['receipt'],
            }),
          ]
        : [],
    )
    await storeEvents(network.store, [...population.events, ...bought])
  })
  afterAll(() => network.close())
  const stateOf = ({ audiences }: Awaited<ReturnType<Network['build']>>, id: string) =>
    audiences.find((audience) => audience.id === id)

  it('that is a random part of everybody is refused with the measurement, and has no members', async () => {
    const dice = makeDice(6)
    await storeList(
      network.store,
      'fans',
      population.visitors.filter(() => dice() < 0.1),
    )
    const built = await network.build()
    expect(stateOf(built, 'near')).toMatchObject({
      size: 0,
      state: 'failed',
      detail: expect.stringMatching(/refused: .*AUC 0\.\d+/),
    })
  })

  it('that is one is refused among a pool too, though all of the pool and not all of the seed are alike', async () => {
    const report = network.settings().lookalikes.get('near-random' as AudienceId)
    expect(report?.among?.id).toBe('mobiles')
    const training = existing((await readTrainings(network.store)).get('near-random' as AudienceId))
    expect(training).toMatchObject({ outcome: 'refused' })
  })

  it('that has lost its signal has no members any more', async () => {
    await storeList(network.store, 'fans', seed)
    await network.build()
    expect((await network.membersOf('near')).length).toBeGreaterThan(0)
    const noise = makeDice(16)
    await storeList(
      network.store,
      'fans',
      population.visitors.filter(() => noise() < 0.1),
    )
    const planned = await network.plan()
    const built = await network.build()
    expect(stateOf(built, 'near')).toMatchObject({ size: 0, state: 'failed' })
    expect(stateOf(built, 'near')?.left).toBeGreaterThan(0)
    expect(planned.audiences.find(({ id }) => id === 'near')).toMatchObject({ size: 0, left: stateOf(built, 'near')?.left })
    expect(await network.membersOf('near')).toEqual([])
  })

  it('of fewer than 30 known visitors is refused for its size', async () => {
    await storeList(network.store, 'fans', [...seed.slice(0, 29), visitorNumber(99_999)])
    expect(stateOf(await network.build(), 'near')).toMatchObject({ state: 'failed', detail: expect.stringContaining('29') })
  })

  it('comes back when there is something to learn', async () => {
    await storeList(network.store, 'fans', seed)
    const built = await network.build()
    expect(stateOf(built, 'near')).toMatchObject({ state: 'complete', size: Math.ceil(0.1 * (2_500 - seed.length)) })
  })

  it('leaves out and names what is its own rule: the event, and the page and the words that come with it', async () => {
    const training = existing((await readTrainings(network.store)).get('near-buyers' as AudienceId))
    const report = await readTrainingReport(network.store, training)
    const leaks = report?.leaks.map(({ name }) => name) ?? []
    expect(leaks).toEqual(
      expect.arrayContaining(['event conversion', 'page shop.example/thanks/you', 'keyword receipt', 'host shop.example']),
    )
    const seen = report?.features.map(({ name }) => name) ?? []
    expect(seen.filter((name) => /conversion|thanks|receipt|shop/.test(name))).toEqual([])
    expect(seen.join()).toContain('garden')
    expect(training.outcome).toBe('trained')
  })

  it('is sought among a pool, and by what is not excluded', async () => {
    const training = existing((await readTrainings(network.store)).get('near-any' as AudienceId))
    const mobiles = new Set(await network.membersOf('mobiles'))
    expect(training.pool).toBe([...mobiles].filter((id) => !seed.includes(id)).length)
    const report = await readTrainingReport(network.store, training)
    const names = report?.features.map(({ name }) => name) ?? []
    expect(names.filter((name) => /^page|^section|events or more|days or more/.test(name))).toEqual([])
    expect(names.length).toBeGreaterThan(0)
  })
})
