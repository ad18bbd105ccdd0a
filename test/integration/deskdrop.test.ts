// The whole path on real behaviour: 72,312 events over HTTP through the collector into ClickHouse, counted there and in the file, and segments over them
// whose members are found once more by plain code over the file's rows.

import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { openStore } from '../../src/engine/store.ts'
import { type MembersAnswer, runJson } from '../support/cli.ts'
import { OPEN_CONFIG, type Project, scratchProject } from '../support/scratch.ts'
import { metric, type Serving, startServe } from '../support/serve.ts'
import { byPerson, hasDeskdrop, type Replay, type Row, readDeskdrop, replay } from './deskdrop.ts'

const DAY_MS = 86_400_000
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

const SEGMENTS = `segments:
  - id: heavy-readers
    when: { event: view, count: { gte: 20 }, within: 14d }
  - id: reacts-without-reading
    when:
      all:
        - { event: [like, bookmark, follow] }
        - not: { event: view, within: 7d }
  - id: some-pages
    when:
      all:
        - { event: view, where: { url: { starts_with: "https://articles.example/nf" } } }
        - not: { where: { path: { starts_with: /i } }, within: 6w }
        - any: [{ event: view, count: { between: [2, 30] } }, { event: comment_created }]
  - id: never-reads
    when: { not: { event: view } }
`

/** The same four, in plain code over one person's rows. */
const ORACLE: Record<string, (rows: readonly Row[], at: number) => boolean> = {
  'heavy-readers': (rows, at) => rows.filter((row) => row.event === 'view' && row.ts > at - 14 * DAY_MS).length >= 20,
  'reacts-without-reading': (rows, at) =>
    rows.some(({ event }) => event === 'like' || event === 'bookmark' || event === 'follow') &&
    !rows.some(({ event, ts }) => event === 'view' && ts > at - 7 * DAY_MS),
  'some-pages': (rows, at) => {
    const views = rows.filter(({ event }) => event === 'view')
    return (
      views.some(({ url }) => url.startsWith('https://articles.example/nf')) &&
      !rows.some(({ url, ts }) => url.startsWith('https://articles.example/i') && ts > at - 42 * DAY_MS) &&
      ((views.length >= 2 && views.length <= 30) || rows.some(({ event }) => event === 'comment_created'))
    )
  },
  'never-reads': (rows) => !rows.some(({ event }) => event === 'view'),
}
const IDS = Object.keys(ORACLE)

type Build = { watermark: string; audiences: { id: string; size: number; state: string }[] }

function countBy<T>(items: readonly T[], key: (item: T) => string): Map<string, number> {
  const counts = new Map<string, number>()
  for (const item of items) counts.set(key(item), (counts.get(key(item)) ?? 0) + 1)
  return counts
}

describe.skipIf(!hasDeskdrop)('Deskdrop over HTTP (skipped where ../shared/data/deskdrop.csv.gz is missing)', () => {
  const lastMs = Date.now() - 60_000
  let project: Project
  let server: Serving
  let all: readonly Row[]
  let load: Replay
  let midway: { build: Build; members: MembersAnswer; verified: unknown; sentBefore: number; sentAfter: number }

  beforeAll(async () => {
    project = scratchProject({
      'config/sources.yaml': 'sources:\n  - id: desk\n',
      'config/settings.yaml': OPEN_CONFIG['config/settings.yaml'],
      'config/segments/desk.yaml': SEGMENTS,
    })
    all = readDeskdrop(lastMs)
    server = await startServe(project)
    const startedMs = Date.now()
    const aside = async () => {
      await vi.waitFor(() => expect(load.progress.events).toBeGreaterThan(all.length / 5), { timeout: 60_000 })
      const sentBefore = load.progress.events
      const build = await runJson<Build>(project, ['build'])
      const members = await runJson<MembersAnswer>(project, ['members', ...IDS])
      const verified = await runJson(project, ['build', '--verify'])
      midway = { build, members, verified, sentBefore, sentAfter: load.progress.events }
    }
    let sendLast = (): void => {}
    const last = new Promise<void>((resolve) => {
      sendLast = resolve
    })
    load = replay(server.port, all, last)
    await Promise.all([aside().finally(sendLast), load.done])
    const seconds = (Date.now() - startedMs) / 1000
    const { events, requests } = load.progress
    process.stderr.write(
      `deskdrop: ${events} events in ${requests} requests, ${seconds.toFixed(1)} s, ${Math.round(requests / seconds)} requests/s, with a build and members beside it\n`,
    )
  }, 180_000)

  afterAll(async () => {
    await server?.stop()
    project?.remove()
  })

  it('The file is the one that was measured: 72,312 events of 1,895 people on 2,987 pages', () => {
    expect([all.length, byPerson(all).size, new Set(all.map(({ url }) => url)).size]).toEqual([72_312, 1_895, 2_987])
    expect(all.at(-1)?.ts).toBe(lastMs)
  })

  it('A build and its members, asked for in the midst of the load, succeed and agree with each other', () => {
    const { build, members, verified, sentBefore, sentAfter } = midway
    expect(sentAfter).toBeGreaterThan(sentBefore)
    expect(sentAfter, 'the load was over before the commands were').toBeLessThan(all.length)
    expect(build.audiences.map(({ id }) => id).sort()).toEqual([...IDS].sort())
    // The server goes on meanwhile: members are of the build's moment or of a later one, and as a build from nothing finds them.
    expect(Date.parse(members.as_of)).toBeGreaterThanOrEqual(Date.parse(build.watermark))
    expect(verified).toMatchObject({ ok: true, verified: IDS.length })
    for (const { members: list } of members.audiences) expect(list.every((visitor) => UUID.test(visitor))).toBe(true)
    expect(members.audiences.some(({ members: list }) => list.length > 0)).toBe(true)
  })

  it('All 72,312 events are stored once: by kind, by page and by person as in the file', async () => {
    await runJson(project, ['members', 'never-reads']) // ships what the spool holds
    const store = openStore({ directory: project.data })
    try {
      const rows = await store.rows<{ event: string; url: string; visitor: string; n: number }>({
        owner: 'test.count',
        sql: 'SELECT event, url, toString(visitor) AS visitor, count() AS n FROM madeleine.events GROUP BY event, url, visitor',
      })
      const stored = (key: (row: (typeof rows)[number]) => string) => {
        const counts = new Map<string, number>()
        for (const row of rows) counts.set(key(row), (counts.get(key(row)) ?? 0) + row.n)
        return counts
      }
      expect(stored(({ event }) => event)).toEqual(countBy(all, ({ event }) => event))
      expect(stored(({ event, url }) => `${event} ${url}`)).toEqual(countBy(all, ({ event, url }) => `${event} ${url}`))
      expect(stored(({ visitor }) => visitor)).toEqual(countBy(all, ({ person }) => String(load.visitors.get(person))))
      const moments = await store.rows<{ ts: number; n: number }>({
        owner: 'test.moments',
        sql: 'SELECT toUnixTimestamp64Milli(ts) AS ts, count() AS n FROM madeleine.events GROUP BY ts',
      })
      expect(new Map(moments.map(({ ts, n }) => [String(ts), n]))).toEqual(countBy(all, ({ ts }) => String(ts)))
      process.stderr.write(`deskdrop: ${rows.reduce((sum, { n }) => sum + n, 0)} stored, ${load.visitors.size} visitors\n`)
    } finally {
      await store.close()
    }
    expect(await metric(server, 'madeleine_events_accepted_total{source="desk"}')).toBe(all.length)
    expect(await metric(server, 'madeleine_parameters_ignored_total')).toBe(0)
  })

  it('Only people of whom something is all have a cookie, each one of their own', () => {
    expect([...load.visitors.keys()].sort()).toEqual([...byPerson(all).keys()].sort())
    expect(new Set(load.visitors.values()).size).toBe(load.visitors.size)
  })

  /** What plain code selects at a moment, as visitor ids. */
  function expected(id: string, at: number): string[] {
    const people = [...byPerson(all.filter(({ ts }) => ts <= at))]
    const chosen = people.filter(([, rows]) => ORACLE[id]?.(rows, at)).map(([person]) => String(load.visitors.get(person)))
    return chosen.sort()
  }

  it.each([
    ['at the last event', lastMs],
    ['three weeks earlier', lastMs - 21 * DAY_MS],
  ])('Members as of a moment (%s) are exactly those that plain code finds', async (_, at) => {
    const answer = await runJson<MembersAnswer>(project, ['members', ...IDS, '--as-of', new Date(at).toISOString()])
    expect(answer.as_of).toBe(new Date(at).toISOString())
    for (const { id, members } of answer.audiences) {
      expect(members.toSorted(), id).toEqual(expected(id, at))
      expect(members.length, `${id} selects nobody: the comparison would prove nothing`).toBeGreaterThan(0)
    }
    process.stderr.write(`deskdrop: ${answer.audiences.map(({ id, members }) => `${id} ${members.length}`).join(', ')}\n`)
  })

  it('Windows begin and end to the millisecond: an event counts at its own moment, and no more when the window has passed', async () => {
    const people = [...byPerson(all)]
    const view = ({ event }: Row) => event === 'view'
    const weekAfter = (rows: readonly Row[]) => (rows.findLast(view)?.ts ?? lastMs) + 7 * DAY_MS
    const reader = people.find(([, rows]) => weekAfter(rows) < lastMs && rows.some(({ event }) => event === 'like')) as [
      string,
      Row[],
    ]
    const late = people.find(([, rows]) => rows.findIndex(view) > 0) as [string, Row[]]
    const firstView = late[1].find(view)?.ts ?? 0
    for (const [id, [person], at, isIn] of [
      ['reacts-without-reading', reader, weekAfter(reader[1]), true],
      ['reacts-without-reading', reader, weekAfter(reader[1]) - 1, false],
      ['never-reads', late, firstView, false],
      ['never-reads', late, firstView - 1, true],
    ] as const) {
      const answer = await runJson<MembersAnswer>(project, ['members', id, '--as-of', new Date(at).toISOString()])
      const members = answer.audiences[0]?.members ?? []
      expect(members.includes(String(load.visitors.get(person))), `${id} ${isIn}`).toBe(isIn)
      expect(members.toSorted()).toEqual(expected(id, at))
    }
  })

  it('The members of a build are those that plain code finds at its watermark', async () => {
    const build = await runJson<Build>(project, ['build'])
    const answer = await runJson<MembersAnswer>(project, ['members', ...IDS])
    expect(answer.as_of).toBe(build.watermark)
    for (const { id, members } of answer.audiences) {
      expect(members.toSorted(), id).toEqual(expected(id, Date.parse(build.watermark)))
      expect(build.audiences.find((audience) => audience.id === id)?.size).toBe(members.length)
    }
  })
})
