// A conversion counts once, whichever way it comes in and whatever becomes of the process in between; and what is measured of a campaign is stored as it came.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DAY_MS } from '../../src/core/duration.ts'
import { openStore } from '../../src/engine/store.ts'
import { shipSpool } from '../../src/spool/spool.ts'
import { runJson } from '../support/cli.ts'
import { OPEN_CONFIG, type Project, refuseWrites, scratchProject } from '../support/scratch.ts'
import { API_KEY, hitPixel, metric, postEvents, type Serving, startServe } from '../support/serve.ts'
import { startClickHouse } from '../support/store.ts'

const CONFIG = { ...OPEN_CONFIG, 'config/sources.yaml': 'sources: [{ id: site }, { id: shop }]\n' }
const VISITOR = '0f0e0d0c-0b0a-4009-8807-060504030201'
const KEY = { authorization: `Bearer ${API_KEY}` }
const DUPLICATES = 'madeleine_events_dropped_total{reason="duplicate_order",field=""}'
const pixel = (server: Serving, order_id: string, more: Record<string, string> = {}) =>
  hitPixel(server, { source: 'site', event: 'conversion', order_id, ...more })

async function stored<Row>(project: Project, sql: string): Promise<Row[]> {
  const store = openStore({ directory: project.data })
  try {
    await shipSpool(project.data, store, Date.now)
    return await store.rows<Row>({ owner: 'test.stored', sql })
  } finally {
    await store.close()
  }
}
const storedOrders = async (project: Project) => {
  const sql = `SELECT order_id AS id, toString(source) AS source, count() AS n FROM madeleine.events WHERE event = 'conversion' AND ts > now() - INTERVAL 90 DAY GROUP BY source, order_id`
  const rows = await stored<{ id: string; source: string; n: number }>(project, sql)
  return Object.fromEntries(rows.map(({ id, source, n }) => [`${source} ${id}`, n]))
}

describe('The collector', () => {
  let project: Project
  let server: Serving
  beforeAll(async () => {
    project = scratchProject(CONFIG)
    server = await startServe(project)
  })
  afterAll(async () => {
    await server?.stop()
    project?.remove()
  })

  it('an order converts once, through the pixel, the beacon and the server, and again at another source', async () => {
    const before = await metric(server, DUPLICATES)
    const conversion = { event: 'conversion', order_id: 'once' }
    expect((await pixel(server, 'once')).visitor).toBeDefined()
    expect(await pixel(server, 'once')).toMatchObject({ status: 200, type: 'image/gif', visitor: undefined })
    const beacon = await postEvents(server, {
      source: 'site',
      events: [conversion, conversion, { ...conversion, order_id: 'twice' }],
    })
    expect(beacon.status).toBe(204)
    const fromServer = {
      source: 'site',
      visitor: VISITOR,
      events: [conversion, { ...conversion, order_id: 'thrice' }, { ...conversion, order_id: 'thrice' }],
    }
    expect((await postEvents(server, fromServer, { path: '/v1/events', headers: KEY })).status).toBe(204)
    expect((await postEvents(server, { source: 'shop', ...conversion })).status).toBe(204)
    expect(await metric(server, DUPLICATES)).toBe(before + 5)
    const kept = await storedOrders(project)
    expect(kept).toMatchObject({ 'site once': 1, 'site twice': 1, 'site thrice': 1, 'shop once': 1 })
  })

  it('only conversions with an order do: others come as often as they come', async () => {
    const before = await metric(server, DUPLICATES)
    for (let n = 0; n < 3; n++) {
      expect((await hitPixel(server, { source: 'site', event: 'checkout', order_id: 'looked-at' })).visitor).toBeDefined()
      expect((await pixel(server, '')).visitor).toBeDefined()
    }
    expect(await metric(server, DUPLICATES)).toBe(before)
    expect((await storedOrders(project))['site ']).toBe(3)
  })

  it('of two hundred at once with one order, one is stored', async () => {
    const before = [await metric(server, DUPLICATES), await metric(server, 'madeleine_events_accepted_total{source="site"}')]
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, n) =>
        n % 2 ? pixel(server, 'rush') : postEvents(server, { source: 'site', event: 'conversion', order_id: 'rush' }),
      ),
    )
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200, 204]))
    expect(await metric(server, DUPLICATES)).toBe((before[0] ?? 0) + 199)
    expect(await metric(server, 'madeleine_events_accepted_total{source="site"}')).toBe((before[1] ?? 0) + 1)
    expect((await storedOrders(project))['site rush']).toBe(1)
  })

  it('an import stays as it is, and counts as known', async () => {
    const row = JSON.stringify({
      visitor: VISITOR,
      ts: Date.now() - DAY_MS,
      source: 'site',
      event: 'conversion',
      order_id: 'imported',
    })
    const file = project.write('events.ndjson', `${row}\n${row}\n`)
    expect(await runJson(project, ['import', 'events', file])).toMatchObject({ stored: 2 })
    await server.stop()
    server = await startServe(project)
    expect((await pixel(server, 'imported')).visitor).toBeUndefined()
    expect((await pixel(server, 'not-imported')).visitor).toBeDefined()
    expect((await storedOrders(project))['site imported']).toBe(2)
  })

  it('impression, click and conversion are stored with all that they say, through the pixel, the beacon and the server', async () => {
    const said = { campaign: 'spring', creative: 'c-1', placement: 'top', currency: 'EUR', url: 'https://a.example/x' }
    const numbers = { value: 19.99, cost: 0.0025 }
    for (const event of ['impression', 'click', 'conversion']) {
      const order = (way: string) => ({ order_id: `${event}-${way}` })
      await hitPixel(server, { source: 'site', event, ...said, value: '19.99', cost: '0.0025', ...order('pixel') })
      await postEvents(server, { source: 'site', event, ...said, ...numbers, ...order('beacon') })
      await postEvents(
        server,
        { source: 'site', visitor: VISITOR, event, ...said, ...numbers, ...order('server') },
        { path: '/v1/events', headers: KEY },
      )
    }
    const sql = `SELECT event, order_id AS order, toString(campaign) AS campaign, toString(creative) AS creative, toString(placement) AS placement, toString(currency) AS currency,
      url, toString(value) AS value, toString(cost) AS cost FROM madeleine.events WHERE campaign = 'spring' AND ts > now() - INTERVAL 1 DAY`
    const rows = await stored<Record<string, string>>(project, sql)
    expect(rows).toHaveLength(9)
    for (const { event, order, ...rest } of rows)
      expect(rest, `${event} ${order}`).toEqual({ ...said, value: '19.99', cost: '0.0025' })
    expect(new Set(rows.map(({ event, order }) => order?.startsWith(`${event}-`)))).toEqual(new Set([true]))
  })
})

it('an order whose conversion the disk did not take is not known, and converts when it is sent again', async () => {
  const project = scratchProject(CONFIG)
  const server = await startServe(project)
  try {
    await pixel(server, 'before')
    await expect.poll(() => metric(server, 'madeleine_spool_rows_shipped_total'), { timeout: 20_000 }).toBe(1)
    await refuseWrites(`${project.data}/spool`, async () => {
      const both = await Promise.all([pixel(server, 'again'), pixel(server, 'again')])
      expect(both.map(({ status }) => status)).toEqual([503, 503])
    })
    expect(await metric(server, DUPLICATES)).toBe(0)
    expect((await pixel(server, 'again')).visitor).toBeDefined()
    expect((await pixel(server, 'again')).visitor).toBeUndefined()
    expect(await metric(server, DUPLICATES)).toBe(1)
    await server.stop()
    expect(await storedOrders(project)).toEqual({ 'site before': 1, 'site again': 1 })
  } finally {
    await server.stop()
    project.remove()
  }
})

it('an order is known after kill -9, whether its event is in the store or still in the spool', async () => {
  const project = scratchProject(CONFIG)
  let server = await startServe(project)
  try {
    await pixel(server, 'shipped')
    await storedOrders(project)
    await pixel(server, 'left')
    await server.stop('SIGKILL')
    server = await startServe(project)
    expect((await pixel(server, 'shipped')).visitor).toBeUndefined()
    expect((await pixel(server, 'left')).visitor).toBeUndefined()
    expect((await pixel(server, 'another')).visitor).toBeDefined()
    expect(await storedOrders(project)).toEqual({ 'site shipped': 1, 'site left': 1, 'site another': 1 })
  } finally {
    await server.stop()
    project.remove()
  }
})

it('started while ClickHouse is away, a collector knows what its spool holds, and what the store holds once that answers', async () => {
  const project = scratchProject(CONFIG)
  let clickhouse = await startClickHouse(`${project.root}/clickhouse`)
  const { url } = clickhouse
  const env = { CLICKHOUSE_URL: url }
  let server = await startServe(project, env)
  try {
    await pixel(server, 'stored')
    await server.stop()
    await clickhouse.stop()
    server = await startServe(project, env)
    expect((await pixel(server, 'waiting')).visitor).toBeDefined()
    await server.stop('SIGKILL')
    server = await startServe(project, env)
    expect((await pixel(server, 'waiting')).visitor).toBeUndefined()
    clickhouse = await startClickHouse(`${project.root}/clickhouse`, Number(new URL(url).port))
    // From the moment the store has been read: until then the order is one that came in here for the first time.
    await expect.poll(() => metric(server, 'madeleine_orders_known'), { timeout: 30_000 }).toBe(2)
    expect((await pixel(server, 'stored')).visitor).toBeUndefined()
  } finally {
    await server.stop()
    await clickhouse.stop()
    project.remove()
  }
})
