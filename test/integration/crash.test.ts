// kill -9 of the collector and of the engine at random moments under load: every acknowledged event is stored exactly once.
// Each request is a visitor of its own (no cookie is sent back), so an event that is lost is a visitor missing, one that is doubled a visitor with two.

import { readdirSync, readFileSync } from 'node:fs'
import { Agent, get } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openStore } from '../../src/engine/store.ts'
import { shipSpool } from '../../src/spool/spool.ts'
import { runCommand } from '../support/cli.ts'
import { OPEN_CONFIG, type Project, scratchProject } from '../support/scratch.ts'
import { BROWSER_AGENT, type Serving, startServe } from '../support/serve.ts'

const SEED = Number(process.env['SEED'] ?? 7)
const CLIENTS = 16

function makeRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff
    return state / 0x7fffffff
  }
}

/** One hit; the visitor's id if it was acknowledged with an image and a cookie. */
function hit(port: number, agent: Agent): Promise<string | undefined> {
  return new Promise((resolve) => {
    const url = `http://127.0.0.1:${port}/p.gif?source=site&url=https%3A%2F%2Fnews.example%2Fa`
    const request = get(
      url,
      { agent, headers: { 'user-agent': BROWSER_AGENT, 'sec-fetch-storage-access': 'active' } },
      (response) => {
        const cookie = response.headers['set-cookie']?.[0]
        response.on('end', () =>
          resolve(response.statusCode === 200 ? /^__Host-mid=([0-9a-f-]{36})\./.exec(cookie ?? '')?.[1] : undefined),
        )
        response.on('error', () => resolve(undefined))
        response.resume()
      },
    )
    request.on('error', () => resolve(undefined))
  })
}

/** Load until it is stopped; `acknowledged` fills meanwhile. */
function startLoad(port: () => number, acknowledged: Set<string>) {
  const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS })
  let stopped = false
  let sent = 0
  const clients = Array.from({ length: CLIENTS }, async () => {
    while (!stopped) {
      sent++
      const visitor = await hit(port(), agent)
      if (visitor) acknowledged.add(visitor)
      else await delay(5)
    }
  })
  return {
    async stop() {
      stopped = true
      await Promise.all(clients)
      agent.destroy()
      return sent
    },
  }
}

type Count = { readonly stored: ReadonlySet<string>; readonly doubled: number }

async function countStored(project: Project): Promise<Count> {
  const store = openStore({ directory: project.data })
  try {
    await shipSpool(project.data, store, Date.now)
    const rows = await store.rows<{ visitor: string; n: number }>({
      owner: 'test.count',
      sql: 'SELECT toString(visitor) AS visitor, count() AS n FROM madeleine.events WHERE ts > now() - INTERVAL 1 DAY GROUP BY visitor',
    })
    return { stored: new Set(rows.map((row) => row.visitor)), doubled: rows.filter((row) => row.n > 1).length }
  } finally {
    await store.close()
  }
}

function report(what: string, sent: number, acknowledged: Set<string>, { stored, doubled }: Count): void {
  const lost = [...acknowledged].filter((visitor) => !stored.has(visitor)).length
  process.stderr.write(
    `${what} (seed ${SEED}): sent ${sent}, acknowledged ${acknowledged.size}, stored ${stored.size}, lost ${lost}, doubled ${doubled}\n`,
  )
  expect({ lost, doubled }).toEqual({ lost: 0, doubled: 0 })
  expect(acknowledged.size).toBeGreaterThan(1_000)
  // A request that was cut before its answer may rightly be stored; more than was sent may not.
  expect(stored.size).toBeLessThanOrEqual(sent)
}

/** The engine of a data directory: the process whose command line names it. */
function enginePid(data: string): number | undefined {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  return pids.map(Number).find((pid) => {
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
      return command.includes('engine-process.js') && command.includes(data)
    } catch {
      return false
    }
  })
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await delay(10)
}

describe.skipIf(process.platform !== 'linux')('kill -9 under load (finds processes in /proc: Linux only)', () => {
  let project: Project
  beforeEach(() => {
    project = scratchProject(OPEN_CONFIG)
  })
  afterEach(() => project.remove())

  it('20 kills of serve lose no acknowledged event and double none, and leave no engine behind', async () => {
    const random = makeRandom(SEED)
    const acknowledged = new Set<string>()
    let sent = 0
    for (let kill = 0; kill < 20; kill++) {
      const serving = await startServe(project)
      const load = startLoad(() => serving.port, acknowledged)
      await delay(50 + random() * 1_200)
      await serving.stop('SIGKILL')
      sent += await load.stop()
      await until(() => enginePid(project.data) === undefined)
    }
    report('20 kills of serve', sent, acknowledged, await countStored(project))
  }, 180_000)

  it('a killed serve, and at once a new one and three commands that want its spool, lose nothing', async () => {
    const acknowledged = new Set<string>()
    let sent = 0
    project.write('config/segments/all.yaml', 'segments:\n  - { id: all, when: { event: page_view } }\n')
    for (let round = 0; round < 5; round++) {
      const first = await startServe(project)
      const load = startLoad(() => first.port, acknowledged)
      await delay(600)
      await first.stop('SIGKILL')
      sent += await load.stop()
      const commands = Array.from({ length: 3 }, () => runCommand(project, ['members', 'all']))
      const second = await startServe(project)
      const again = startLoad(() => second.port, acknowledged)
      const ran = await Promise.all(commands)
      expect(ran.map(({ exitCode, stderr }) => `${exitCode}${stderr}`)).toEqual(['0', '0', '0'])
      sent += await again.stop()
      expect(await second.stop('SIGTERM')).toBe(0)
    }
    report('5 kills with a serve and three commands after each', sent, acknowledged, await countStored(project))
  }, 120_000)

  it('10 kills of the engine lose no acknowledged event, and the pixel answers all the time', async () => {
    const random = makeRandom(SEED + 1)
    const acknowledged = new Set<string>()
    const serving: Serving = await startServe(project)
    const load = startLoad(() => serving.port, acknowledged)
    for (let kill = 0; kill < 10; kill++) {
      await delay(50 + random() * 1_200)
      await until(() => enginePid(project.data) !== undefined)
      const pid = enginePid(project.data)
      if (pid !== undefined) process.kill(pid, 'SIGKILL')
      const before = acknowledged.size
      await until(() => acknowledged.size > before + CLIENTS)
    }
    const sent = await load.stop()
    expect(await serving.stop('SIGTERM')).toBe(0)
    report('10 kills of the engine', sent, acknowledged, await countStored(project))
  }, 120_000)
})
