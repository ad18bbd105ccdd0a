// The same commands against a ClickHouse server (CLICKHOUSE_URL) instead of the embedded engine: the server is down when the collector starts to
// have events, and comes back.

import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { runCommand, runJson } from '../support/cli.ts'
import { OPEN_CONFIG, type Project, scratchProject } from '../support/scratch.ts'
import { BROWSER_AGENT, metric, startServe } from '../support/serve.ts'
import { type Server, startClickHouse } from '../support/store.ts'

let project: Project
let servers: Server[]
beforeEach(() => {
  project = scratchProject({
    ...OPEN_CONFIG,
    'config/segments/a.yaml':
      'segments:\n  - { id: seen, when: { event: page_view } }\n  - { id: twice, when: { event: page_view, count: { gte: 2 } } }\n',
  })
  servers = []
})
afterEach(async () => {
  for (const server of servers) await server.stop()
  project.remove()
})

async function start(port?: number): Promise<Server> {
  const server = await startClickHouse(join(project.root, 'server'), port)
  servers.push(server)
  return server
}

async function visit(origin: string): Promise<number> {
  const response = await fetch(`${origin}/p.gif?source=site&url=https://news.example/a`, {
    headers: { 'user-agent': BROWSER_AGENT, 'sec-fetch-storage-access': 'active' },
  })
  await response.arrayBuffer()
  return response.status
}

describe('with CLICKHOUSE_URL', () => {
  it('serve starts and collects while the server is not there yet', async () => {
    const { url, stop } = await start()
    await stop()
    const env = { CLICKHOUSE_URL: url }
    const serving = await startServe(project, env)
    for (let i = 0; i < 5; i++) expect(await visit(serving.origin)).toBe(200)
    await start(Number(new URL(url).port))
    await expect.poll(() => metric(serving, 'madeleine_spool_rows_shipped_total'), { timeout: 30_000 }).toBe(5)
    expect(await serving.stop('SIGTERM')).toBe(0)
  })

  it('events are collected while the server is away, stored once when it is back, and commands read them from there', async () => {
    const server = await start()
    const env = { CLICKHOUSE_URL: server.url }
    const serving = await startServe(project, env)
    expect(await visit(serving.origin)).toBe(200)
    await expect.poll(() => metric(serving, 'madeleine_spool_rows_shipped_total'), { timeout: 20_000 }).toBe(1)

    await server.stop()
    for (let i = 0; i < 10; i++) expect(await visit(serving.origin)).toBe(200)
    await expect.poll(() => metric(serving, 'madeleine_spool_failures_total'), { timeout: 20_000 }).toBeGreaterThan(0)
    const down = await runCommand(project, ['build'], env)
    expect(down.exitCode, down.stderr).toBe(3)
    expect(down.stderr.trim().split('\n')).toHaveLength(1)

    await start(Number(new URL(server.url).port))
    await expect.poll(() => metric(serving, 'madeleine_spool_rows_shipped_total'), { timeout: 30_000 }).toBe(11)
    const built = await runJson<{ audiences: { id: string; size: number }[] }>(project, ['build'], { env })
    expect(built.audiences.map(({ id, size }) => [id, size])).toEqual([
      ['seen', 11],
      ['twice', 0],
    ])
    expect(await serving.stop('SIGTERM')).toBe(0)
    expect(readdirSync(join(project.data, 'spool'))).toEqual([])
    expect(existsSync(join(project.data, 'clickhouse')), 'no embedded engine was started').toBe(false)
  })
})
