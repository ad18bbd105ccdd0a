// What an operator is told of a running server: /metrics, /readyz, sources that have gone silent.

import { once } from 'node:events'
import { mkdirSync, readFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { parse } from 'yaml'
import { HOUR_MS } from '../../src/core/duration.ts'
import { migrate } from '../../src/engine/migrate.ts'
import { openStore } from '../../src/engine/store.ts'
import { OPEN_CONFIG, type Project, refuseWrites, scratchProject } from '../support/scratch.ts'
import { hitPixel, metric, postEvents, type Serving, startServe } from '../support/serve.ts'
import { startClickHouse } from '../support/store.ts'

type Ready = { ready: boolean; stopping: boolean; checks: Record<'spool' | 'store' | 'segmenter', Record<string, unknown>> }
async function readyz({ origin }: Serving): Promise<{ status: number } & Ready> {
  const answer = await fetch(`${origin}/readyz`)
  return { status: answer.status, ...((await answer.json()) as Ready) }
}

async function withServe(
  files: Readonly<Record<string, string>>,
  work: (server: Serving, project: Project) => Promise<void>,
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  const project = scratchProject(files)
  const server = await startServe(project, env)
  try {
    await work(server, project)
  } finally {
    await server.stop()
    project.remove()
  }
}

it('metrics tell of every stage under one name, without a visitor in any label, and counters go on from one scrape to the next', async () => {
  const files = {
    ...OPEN_CONFIG,
    'config/segments/a.yaml':
      'segments:\n  - { id: seen, when: { event: page_view } }\n  - { id: listed, when: { list: nobody } }\n',
  }
  await withServe(files, async (server) => {
    for (let n = 0; n < 3; n++) await hitPixel(server, { source: 'site' })
    await hitPixel(server, { source: 'site' }, { 'sec-gpc': '1' })
    await expect.poll(() => metric(server, 'madeleine_spool_rows_shipped_total'), { timeout: 20_000 }).toBe(3)
    await expect.poll(() => metric(server, 'madeleine_audiences{state="complete"}'), { timeout: 20_000 }).toBe(1)
    expect(await metric(server, 'madeleine_audiences{state="waiting_for_list"}')).toBe(2)
    const text = await (await fetch(`${server.origin}/metrics`)).text()
    const series = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
    expect(series.filter((line) => !/^madeleine_[a-z0-9_]+(\{[^{}]*\})? (-?[0-9.e+-]+|Nan)$/.test(line))).toEqual([])
    expect(text).not.toMatch(/[0-9a-f]{8}-[0-9a-f]{4}-/)
    const ticks = await metric(server, 'madeleine_segmenter_ticks_total')
    expect(ticks).toBeGreaterThan(0)
    await expect.poll(() => metric(server, 'madeleine_segmenter_ticks_total'), { timeout: 20_000 }).toBeGreaterThan(ticks)
    for (let scrape = 0; scrape < 3; scrape++) {
      expect(await metric(server, 'madeleine_events_accepted_total{source="site"}')).toBe(3)
      expect(await metric(server, 'madeleine_events_dropped_total{reason="gpc",field=""}')).toBe(1)
      expect(await metric(server, 'madeleine_store_reachable')).toBe(1)
    }
    expect(await metric(server, 'madeleine_process_resident_memory_bytes')).toBeGreaterThan(1e6)
    expect(text).toMatch(/^madeleine_build_info\{version="\d+\.\d+\.\d+",node="v\d+[^"]*"\} 1$/m)
    expect(text).toMatch(/^madeleine_nodejs_eventloop_lag_seconds /m)
    // The alert rules of the README ask for what there is.
    const [, alerts = ''] = /```yaml\n# alerts\.yaml[^\n]*\n([\s\S]*?)```/.exec(readFileSync('README.md', 'utf8')) ?? []
    const { groups } = parse(alerts) as { groups: { rules: { expr: string }[] }[] }
    const asked = groups.flatMap(({ rules }) => rules.flatMap(({ expr }) => expr.match(/madeleine_[a-z_]+/g) ?? []))
    expect(asked.length).toBeGreaterThan(8)
    for (const name of asked) expect(text).toContain(`# TYPE ${name} `)
  })
})

it('/readyz says no while the spool cannot be written, and yes again on its own', async () => {
  await withServe(OPEN_CONFIG, async (server, project) => {
    expect(await readyz(server)).toMatchObject({ status: 200, ready: true, checks: { spool: { ok: true }, store: { ok: true } } })
    await hitPixel(server, { source: 'site' })
    await expect.poll(() => metric(server, 'madeleine_spool_rows_shipped_total'), { timeout: 20_000 }).toBe(1)
    await refuseWrites(join(project.data, 'spool'), async () => {
      await expect.poll(async () => (await readyz(server)).status, { timeout: 20_000 }).toBe(503)
      expect(await readyz(server)).toMatchObject({ ready: false, checks: { spool: { ok: false } } })
      expect((await hitPixel(server, { source: 'site' })).status).toBe(503)
      expect(await metric(server, 'madeleine_hits_refused_total')).toBe(1)
    })
    await expect.poll(async () => (await readyz(server)).status, { timeout: 20_000 }).toBe(200)
    expect((await hitPixel(server, { source: 'site' })).status).toBe(200)
  })
})

it('/readyz stays yes while the store is away, because events wait in the spool, and says so', async () => {
  const project = scratchProject(OPEN_CONFIG)
  mkdirSync(join(project.root, 'clickhouse'))
  let clickhouse = await startClickHouse(join(project.root, 'clickhouse'))
  const { url } = clickhouse
  const server = await startServe(project, { CLICKHOUSE_URL: url })
  try {
    await expect
      .poll(async () => (await readyz(server)).checks.store, { timeout: 20_000 })
      .toMatchObject({ ok: true, away_since: null })
    await clickhouse.stop()
    await hitPixel(server, { source: 'site' })
    await expect.poll(async () => (await readyz(server)).checks.store['ok'], { timeout: 20_000 }).toBe(false)
    const away = await readyz(server)
    expect(away).toMatchObject({ status: 200, ready: true })
    expect(Date.parse(String(away.checks.store['away_since']))).toBeGreaterThan(0)
    expect(await metric(server, 'madeleine_store_reachable')).toBe(0)
    clickhouse = await startClickHouse(join(project.root, 'clickhouse'), Number(new URL(url).port))
    await expect.poll(async () => (await readyz(server)).checks.store['ok'], { timeout: 30_000 }).toBe(true)
    expect(await metric(server, 'madeleine_store_reachable')).toBe(1)
  } finally {
    await server.stop()
    await clickhouse.stop()
    project.remove()
  }
})

it('a ClickHouse that takes questions and answers none does not keep the collector from starting', async () => {
  const silent = createServer((socket) => socket.resume().on('error', () => {}))
  silent.listen(0, '127.0.0.1')
  await once(silent, 'listening')
  try {
    const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`
    const work = async (server: Serving) => {
      expect(await hitPixel(server, { source: 'site' })).toMatchObject({ status: 200, visitor: expect.any(String) })
      expect(await readyz(server)).toMatchObject({ status: 200, checks: { spool: { ok: true }, store: { ok: false } } })
    }
    await withServe(OPEN_CONFIG, work, { CLICKHOUSE_URL: url })
  } finally {
    silent.close()
  }
})

it('on SIGTERM /readyz says no at once, and events are still taken while what there is is shipped', async () => {
  const project = scratchProject(OPEN_CONFIG)
  const server = await startServe(project)
  try {
    const events = Array.from({ length: 100 }, () => ({ url: 'https://a.example/' }))
    await Promise.all(Array.from({ length: 200 }, () => postEvents(server, { source: 'site', events })))
    expect((await readyz(server)).status).toBe(200)
    const stopped = server.stop('SIGTERM')
    const seen: number[] = []
    let taken = 0
    for (;;) {
      const ready = await readyz(server).catch(() => undefined)
      if (!ready) break
      seen.push(ready.status)
      if (ready.status !== 503) continue
      expect(ready).toMatchObject({ ready: false, stopping: true, checks: { spool: { ok: true } } })
      const hit = await hitPixel(server, { source: 'site' }).catch(() => undefined)
      if (hit?.status === 200) taken++
    }
    expect(await stopped).toBe(0)
    expect(seen).toContain(503)
    expect(seen.slice(seen.indexOf(503))).not.toContain(200)
    expect(taken).toBeGreaterThan(0)
    const store = openStore({ directory: project.data })
    const [row] = await store.rows<{ n: number }>({
      owner: 'test.count',
      sql: 'SELECT count() AS n FROM madeleine.events WHERE ts > now() - INTERVAL 1 DAY',
    })
    await store.close()
    expect(row?.n).toBe(20_000 + taken)
  } finally {
    await server.stop('SIGKILL')
    project.remove()
  }
})

it('a source that was heard and then not for so long is silent, also over a restart, and is told once when it falls silent and once when it speaks', async () => {
  const project = scratchProject({
    ...OPEN_CONFIG,
    'config/sources.yaml': 'sources:\n  - { id: site }\n  - { id: patient, silent_after: 1d }\n  - { id: never }\n',
    'config/settings.yaml': 'consent: { no_signal: allow }\ncollector: { silent_after: 2h }\n',
  })
  const store = openStore({ directory: project.data })
  await migrate(store)
  for (const source of ['site', 'patient'])
    await store.run({
      owner: 'test.received',
      sql: `INSERT INTO madeleine.events (ts, received, batch, visitor, event, source, permissions)
            SELECT now64(3), fromUnixTimestamp64Milli({at:Int64}, 'UTC'), 1, generateUUIDv4(), 'page_view', {source:String}, 63`,
      values: { at: Date.now() - 3 * HOUR_MS, source },
    })
  await store.close()
  const server = await startServe(project)
  const silent = (source: string) => metric(server, `madeleine_source_silent{source="${source}"}`)
  const told = (text: string) =>
    server
      .stderr()
      .split('\n')
      .filter((line) => line.includes(text)).length
  try {
    await expect.poll(() => silent('site'), { timeout: 20_000 }).toBe(1)
    expect([await silent('patient'), await silent('never')]).toEqual([0, 0])
    await expect.poll(() => told('a source has gone silent'), { timeout: 20_000 }).toBe(1)
    expect(server.stderr()).toContain('"source":"site"')
    const before = Date.now() / 1_000
    await hitPixel(server, { source: 'site' })
    expect(await silent('site')).toBe(0)
    expect(await metric(server, 'madeleine_source_last_event_timestamp_seconds{source="site"}')).toBeGreaterThanOrEqual(before)
    await expect.poll(() => told('speaks again'), { timeout: 20_000 }).toBe(1)
    expect(told('a source has gone silent')).toBe(1)
  } finally {
    await server.stop()
    project.remove()
  }
})
