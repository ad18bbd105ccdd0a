// A running server keeps memberships fresh by itself: new events, windows that end, opt-outs, edited files, and across its own end.

import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { openStore, type Store } from '../../src/engine/store.ts'
import { runCommand, runJson } from '../support/cli.ts'
import { visitorNumber } from '../support/events.ts'
import { openJar } from '../support/jar.ts'
import { OPEN_CONFIG, type Project, scratchProject } from '../support/scratch.ts'
import { API_KEY, postEvents, type Serving, startServe } from '../support/serve.ts'

const SEGMENTS = `segments:
  - { id: viewers, when: { event: page_view } }
  - { id: lately, when: { event: page_view, within: 1m } }
  - { id: not-lately, when: { not: { event: page_view, within: 1m } } }
`
const WITHIN = { timeout: 30_000, interval: 100 }

let project: Project
let server: Serving
let store: Store
beforeAll(async () => {
  project = scratchProject({ ...OPEN_CONFIG, 'config/segments/a.yaml': SEGMENTS })
  server = await startServe(project)
  store = openStore({ url: undefined, directory: project.data })
})
afterAll(async () => {
  await store?.close()
  await server?.stop()
  project?.remove()
})

const post = (events: readonly object[]) =>
  postEvents(server, { source: 'site', events }, { path: '/v1/events', headers: { authorization: `Bearer ${API_KEY}` } })

/** What is remembered of a visitor, as anybody who reads the table sees it: only what a tick has finished. */
async function remembered(visitor: string): Promise<string[]> {
  const rows = await store.rows<{ said: string }>({
    owner: 'test.remembered',
    sql: `SELECT concat(toString(kind), ' ', audience) AS said FROM madeleine.transitions
          WHERE visitor = {visitor:UUID} AND tick <= (SELECT max(tick) FROM madeleine.ticks) ORDER BY tick, said`,
    values: { visitor },
  })
  return rows.map(({ said }) => said)
}

describe('With a server that runs', () => {
  it('an event is a membership without anybody asking', async () => {
    await post([{ visitor: visitorNumber(1) }])
    await vi.waitFor(
      async () => expect(await remembered(visitorNumber(1))).toEqual(['entered lately', 'entered viewers']),
      WITHIN,
    )
  })

  it('a window that ends takes the visitor out of one audience and into another, on time and with no new event', async () => {
    const endsMs = Date.now() + 5_000
    await post([{ visitor: visitorNumber(2), ts: endsMs - 60_000 }])
    await vi.waitFor(async () => expect(await remembered(visitorNumber(2))).toContain('entered lately'), WITHIN)
    await vi.waitFor(
      async () =>
        expect(await remembered(visitorNumber(2))).toEqual([
          'entered lately',
          'entered viewers',
          'entered not-lately',
          'left lately',
        ]),
      WITHIN,
    )
    const [row] = await store.rows<{ atMs: number }>({
      owner: 'test.left',
      sql: `SELECT toUnixTimestamp64Milli(at) AS atMs FROM madeleine.transitions WHERE visitor = {visitor:UUID} AND kind = 'left'`,
      values: { visitor: visitorNumber(2) },
    })
    expect(row?.atMs).toBeGreaterThanOrEqual(endsMs)
  })

  it('an edited file is taken over, and only what has changed is evaluated anew; a broken one changes nothing', async () => {
    project.write('config/segments/b.yaml', 'segments:\n  - { id: broken, when: { event: } }\n')
    project.write('config/segments/a.yaml', SEGMENTS.replace('id: viewers,', 'id: viewers, name: Those who view,'))
    await vi.waitFor(() => expect(server.stderr()).toContain('broken'), WITHIN)
    project.write('config/segments/b.yaml', 'segments:\n  - { id: anybody, when: { count: { gte: 1 } } }\n')
    await vi.waitFor(async () => expect(await remembered(visitorNumber(1))).toContain('entered anybody'), WITHIN)
    const log = await store.rows<{ audience: string; n: number }>({
      owner: 'test.log',
      sql: `SELECT audience, count() AS n FROM madeleine.audience_log WHERE what = 'built' GROUP BY audience ORDER BY audience`,
    })
    expect(log).toEqual(['anybody', 'lately', 'not-lately', 'viewers'].map((audience) => ({ audience, n: 1 })))
  })

  it('commands see what was collected just now, and a build is the server’s', async () => {
    await post([{ visitor: visitorNumber(3) }])
    const { audiences } = await runJson<{ audiences: { members: string[]; state: string }[] }>(project, ['members', 'viewers'])
    expect(audiences[0]).toMatchObject({ state: 'complete', members: expect.arrayContaining([visitorNumber(3)]) })
    expect(await runJson(project, ['build', 'viewers'])).toMatchObject({ audiences: [{ id: 'viewers', state: 'complete' }] })
    expect(await runJson(project, ['build', '--verify'])).toMatchObject({ ok: true, verified: 4, differences: [] })
    const unknown = await runCommand(project, ['build', 'nosuch'])
    expect(unknown).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('unknown audience `nosuch`') })
    const other = scratchProject({ ...OPEN_CONFIG, 'config/segments/a.yaml': SEGMENTS })
    const elsewhere = await runCommand(project, ['build', '--config', other.config])
    expect(elsewhere).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('another configuration') })
    other.remove()
  })

  it('whoever opts out, or withdraws consent, leaves every audience', async () => {
    const jar = openJar(server)
    await jar.hit({ source: 'site', url: 'https://a.example/' })
    const browser = jar.cookies.get('__Host-mid')?.split('.')[0] ?? ''
    await post([{ visitor: visitorNumber(4) }])
    for (const visitor of [browser, visitorNumber(4)])
      await vi.waitFor(async () => expect(await remembered(visitor)).toContain('entered viewers'), WITHIN)
    await jar.post('/optout', '', { origin: server.origin })
    await post([{ visitor: visitorNumber(4), us_privacy: '1YYN' }])
    const entered = ['entered anybody', 'entered lately', 'entered viewers']
    const left = ['left anybody', 'left lately', 'left viewers']
    for (const visitor of [browser, visitorNumber(4)])
      await vi.waitFor(async () => expect(await remembered(visitor)).toEqual([...entered, ...left]), WITHIN)
  })

  it('that is killed, the next one goes on where it stopped', async () => {
    await post([{ visitor: visitorNumber(5) }])
    await server.stop('SIGKILL')
    server = await startServe(project)
    await vi.waitFor(async () => expect(await remembered(visitorNumber(5))).toContain('entered viewers'), WITHIN)
    expect((await remembered(visitorNumber(1))).filter((said) => said === 'entered viewers')).toHaveLength(1)
    expect(await runJson(project, ['build', '--verify'])).toMatchObject({ ok: true })
  })

  it('members that are not as they should be are found, named and mended', async () => {
    await runJson(project, ['build'])
    await store.run({
      owner: 'test.tamper',
      sql: `INSERT INTO madeleine.transitions (tick, at, audience, version, visitor, kind, expires)
            SELECT max(tick), max(at), 'viewers', 1, {visitor:UUID}, 'entered', now64(3) + INTERVAL 9 DAY FROM madeleine.ticks`,
      values: { visitor: visitorNumber(99) },
    })
    const found = await runCommand(project, ['build', '--verify', '--json'])
    expect(found.exitCode).toBe(4)
    expect(JSON.parse(found.stdout)).toMatchObject({
      ok: false,
      differences: [{ id: 'viewers', missing: 0, extra: 1, visitors: [visitorNumber(99)] }],
    })
    await runJson(project, ['build', '--full'])
    expect(await runJson(project, ['build', '--verify'])).toMatchObject({ ok: true })
  })

  it('a rule over its budget is refused before it runs, and the others go on', async () => {
    await server.stop()
    project.write('config/settings.yaml', 'consent: { no_signal: allow }\nsegmenter: { budget_seconds: 1 }\n')
    await store.run({
      owner: 'test.many',
      sql: `INSERT INTO madeleine.events (batch, ts, visitor, event, source, permissions)
            SELECT 1, now64(3) - INTERVAL 1 DAY, reinterpretAsUUID(sipHash128(number % 50000)), 'page_view', 'site', 63 FROM numbers(500000)`,
    })
    const many = Array.from({ length: 30 }, (_, n) => `{ event: page_view, sessions: { gte: ${n + 2} } }`).join(', ')
    project.write(
      'config/segments/b.yaml',
      `segments:\n  - { id: heavy, when: { any: [${many}] } }\n  - { id: light, when: { event: click } }\n`,
    )
    const { stdout, exitCode } = await runCommand(project, ['build', 'heavy', 'light', '--json'])
    expect(exitCode).toBe(4)
    expect(JSON.parse(stdout)).toMatchObject({
      audiences: [
        { id: 'heavy', state: 'failed', detail: expect.stringMatching(/^over its budget: about 3\.3 s over 5\d{5} events/) },
        {
          id: 'light',
          state: 'complete',
          cost: { rows: expect.any(Number), bytes: expect.any(Number), seconds: expect.any(Number) },
        },
      ],
    })
    server = await startServe(project)
  })
})
