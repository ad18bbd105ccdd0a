// Faults of the whole machine under load: kills of everything at any moment, a store that is away, a disk and a spool that are full, a stop in the middle. What was acknowledged is stored,
// once; what was refused is not. The long form: `KILLS=60 STORE_AWAY_SECONDS=600 npx vitest run test/integration/faults.test.ts`.

import { spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, watch, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { runCommand, startCommand } from '../support/cli.ts'
import { CLIENTS, countStored, enginePid, makeRandom, report, startLoad, until } from '../support/load.ts'
import { OPEN_CONFIG, type Project, scratchProject } from '../support/scratch.ts'
import { API_KEY, metric, postEvents, type Serving, startServe } from '../support/serve.ts'
import { type Server, startClickHouse } from '../support/store.ts'

const KILLS = Number(process.env['KILLS'] ?? 5)
const STORE_AWAY_SECONDS = Number(process.env['STORE_AWAY_SECONDS'] ?? 3)
const SEED = Number(process.env['SEED'] ?? 7)
const IMPORT_ROWS = 3_000
const DAY_MS = 86_400_000

let project: Project
let servers: Server[]
let servings: Serving[]
beforeEach(() => {
  project = scratchProject(OPEN_CONFIG)
  servers = []
  servings = []
})
afterEach(async () => {
  for (const serving of servings) await serving.stop('SIGKILL')
  for (const server of servers) await server.stop()
  project.remove()
})

async function serve(env: Readonly<Record<string, string>> = {}): Promise<Serving> {
  const serving = await startServe(project, env)
  servings.push(serving)
  return serving
}
async function clickHouse(port?: number): Promise<Server> {
  const server = await startClickHouse(join(project.root, 'server'), port)
  servers.push(server)
  return server
}
const portOf = ({ url }: Server): number => Number(new URL(url).port)
const spoolOf = ({ data }: Project): string => join(data, 'spool')
const residentMiB = (pid: number): number =>
  Math.round(Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1_024)

/** Events of visitors of their own, sent by a server: of each it is known whether it was taken or refused. */
function serverLoad(serving: () => Serving, eventsInOne: number, attr = '') {
  const taken = new Set<string>()
  const refused = new Set<string>()
  return {
    taken,
    refused,
    /** The status of one request. */
    async send(): Promise<number> {
      const visitors = Array.from({ length: eventsInOne }, () => randomUUID())
      const events = visitors.map((visitor) => ({ source: 'site', visitor, ...(attr ? { attr: { filler: attr } } : {}) }))
      const headers = { authorization: `Bearer ${API_KEY}` }
      const { status } = await postEvents(serving(), { events }, { path: '/v1/events', headers })
      for (const visitor of visitors) (status === 204 ? taken : refused).add(visitor)
      return status
    },
  }
}

function reportTaken(
  what: string,
  load: ReturnType<typeof serverLoad>,
  stored: { stored: ReadonlySet<string>; doubled: number },
): void {
  const storedRefused = [...load.refused].filter((visitor) => stored.stored.has(visitor)).length
  process.stderr.write(`${what}: refused ${load.refused.size}, of these stored ${storedRefused}\n`)
  expect(storedRefused).toBe(0)
  report(what, load.taken.size + load.refused.size, load.taken, stored)
}

describe.skipIf(process.platform !== 'linux')('kills of everything (finds processes in /proc: Linux only)', () => {
  const KINDS = ['collector', 'engine', 'rotation', 'import'] as const

  /** A file of events of visitors of their own, over three weeks. */
  function importFile(acknowledged: Set<string>): string {
    const rows = Array.from({ length: IMPORT_ROWS }, (_, i) => {
      const visitor = randomUUID()
      acknowledged.add(visitor)
      return JSON.stringify({
        source: 'site',
        visitor,
        ts: Date.now() - 1_000 - (i % 3) * 7 * DAY_MS,
        url: 'https://news.example/a',
      })
    })
    return project.write(`${randomUUID()}.ndjson`, `${rows.join('\n')}\n`)
  }

  it(
    `${KILLS} kills of collector, engine, in a rotation and in an import lose nothing acknowledged and double nothing`,
    async () => {
      const random = makeRandom(SEED)
      const acknowledged = new Set<string>()
      const done: Record<string, number> = {}
      let imported = 0
      let cut = 0
      let serving = await serve()
      const load = startLoad(() => serving.port, acknowledged)
      const restart = async (): Promise<void> => {
        await serving.stop('SIGKILL')
        await until(() => enginePid(project.data) === undefined)
        serving = await serve()
      }
      const killEngine = (): void => {
        const pid = enginePid(project.data)
        if (pid !== undefined) process.kill(pid, 'SIGKILL')
      }
      for (let kill = 0; kill < KILLS; kill++) {
        const kind = KINDS[kill < KINDS.length ? kill : Math.floor(random() * KINDS.length)] ?? 'collector'
        done[kind] = (done[kind] ?? 0) + 1
        await delay(random() * 1_000)
        if (kind === 'collector') await restart()
        else if (kind === 'engine') {
          killEngine()
          const before = acknowledged.size
          await until(() => acknowledged.size > before + CLIENTS)
        } else if (kind === 'rotation') {
          // In the very moment in which a file is renamed, made, shipped or removed.
          const watcher = watch(spoolOf(project))
          const skipped = Math.floor(random() * 4)
          for (let i = 0; i <= skipped; i++) await once(watcher, 'change')
          process.kill(serving.pid, 'SIGKILL')
          watcher.close()
          await restart()
        } else {
          const file = importFile(acknowledged)
          imported += IMPORT_ROWS
          const command = startCommand(project, ['import', 'events', file])
          command.stdout?.resume()
          command.stderr?.resume()
          const gone = once(command, 'exit')
          await Promise.race([gone, delay(150 + random() * 700)])
          if (random() < 0.3) killEngine()
          else command.kill('SIGKILL')
          if ((await gone)[0] !== 0) cut++
          let again = await runCommand(project, ['import', 'events', file])
          for (let tries = 0; again.exitCode !== 0 && tries < 5; tries++)
            again = await runCommand(project, ['import', 'events', file])
          expect(again.exitCode, again.stderr).toBe(0)
        }
      }
      const sent = (await load.stop()) + imported
      expect(await serving.stop('SIGTERM')).toBe(0)
      const kinds = Object.entries(done).map(([kind, n]) => `${n} ${kind}`)
      report(
        `${KILLS} kills (${kinds.join(', ')}; ${cut} imports cut; seed ${SEED})`,
        sent,
        acknowledged,
        await countStored(project),
      )
      expect(readdirSync(spoolOf(project)).filter((name) => name !== 'aside')).toEqual([])
    },
    60_000 + KILLS * 15_000,
  )

  it('a second serve on the directory is refused and touches nothing, under load', async () => {
    const acknowledged = new Set<string>()
    const serving = await serve()
    const load = startLoad(() => serving.port, acknowledged)
    const second = await runCommand(project, ['serve'], { PORT: '0' })
    expect(second.exitCode).toBe(3)
    expect(second.stderr).toContain('is in use by another madeleine serve')
    await until(() => acknowledged.size > 1_000)
    const sent = await load.stop()
    expect(await serving.stop('SIGTERM')).toBe(0)
    report('a second serve refused', sent, acknowledged, await countStored(project))
  }, 60_000)
})

describe('a store that is away', () => {
  it(
    `for ${STORE_AWAY_SECONDS} s under load: memory is bounded, everything arrives after`,
    async () => {
      const server = await clickHouse()
      const env = { CLICKHOUSE_URL: server.url }
      const serving = await serve(env)
      const acknowledged = new Set<string>()
      const load = startLoad(() => serving.port, acknowledged, 15) // some 1,000 a second at most
      await until(() => acknowledged.size > 2_000)
      await server.stop()
      const before = residentMiB(serving.pid)
      let most = before
      const until2 = performance.now() + STORE_AWAY_SECONDS * 1_000
      while (performance.now() < until2) {
        await delay(250)
        most = Math.max(most, residentMiB(serving.pid))
      }
      const waiting = await metric(serving, 'madeleine_spool_bytes_waiting')
      const oldest = await metric(serving, 'madeleine_spool_oldest_seconds')
      const files = await metric(serving, 'madeleine_spool_files_waiting')
      expect(waiting).toBeGreaterThan(0)
      expect(oldest).toBeGreaterThan(STORE_AWAY_SECONDS * 0.8)
      await clickHouse(portOf(server))
      const back = performance.now()
      await expect
        .poll(() => metric(serving, 'madeleine_spool_oldest_seconds'), { timeout: 60_000 + STORE_AWAY_SECONDS * 500 })
        .toBeLessThan(3)
      const caughtUp = Math.round((performance.now() - back) / 1_000)
      const sent = await load.stop()
      expect(await serving.stop('SIGTERM')).toBe(0)
      process.stderr.write(
        `store away for ${STORE_AWAY_SECONDS} s: ${files} files, ${(waiting / 1024 ** 2).toFixed(1)} MiB waiting, oldest ${Math.round(oldest)} s; resident ${before} MiB before, ${most} MiB at most; caught up under load in ${caughtUp} s\n`,
      )
      report(`store away for ${STORE_AWAY_SECONDS} s`, sent, acknowledged, await countStored(project, server.url))
      expect(most - before).toBeLessThan(200)
    },
    240_000 + STORE_AWAY_SECONDS * 2_000,
  )

  it('fills the spool up to max_size: 503 until there is room, then collection goes on by itself', async () => {
    project.write('config/settings.yaml', 'consent: { no_signal: allow }\nspool: { max_size: 16MiB }\n')
    const server = await clickHouse()
    await server.stop()
    const serving = await serve({ CLICKHOUSE_URL: server.url })
    const load = serverLoad(() => serving, 100, 'x'.repeat(1_000))
    await until(async () => (await load.send()) === 503)
    const waiting = await metric(serving, 'madeleine_spool_bytes_waiting')
    expect(waiting).toBeGreaterThan(15 * 1024 ** 2)
    expect(waiting).toBeLessThanOrEqual(16 * 1024 ** 2)
    for (let i = 0; i < 5; i++) expect(await load.send()).toBe(503)
    expect(await metric(serving, 'madeleine_spool_refused_total')).toBe(6)
    await clickHouse(portOf(server))
    await until(async () => (await load.send()) === 204)
    expect(await serving.stop('SIGTERM')).toBe(0)
    reportTaken('a full spool', load, await countStored(project, server.url))
  }, 60_000)
})

/** Whether this user may mount a file system: root outside of a container that forbids it. */
function canMount(): boolean {
  if (process.platform !== 'linux' || process.geteuid?.() !== 0) return false
  const probe = scratchProject()
  try {
    return mount(probe.root) && unmount(probe.root)
  } finally {
    probe.remove()
  }
}
const mount = (path: string): boolean => spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', path]).status === 0
const unmount = (path: string): boolean => spawnSync('umount', [path]).status === 0
const isMountable = canMount()
if (!isMountable) process.stderr.write('SKIPPED: a full disk: a tmpfs cannot be mounted here (needs root)\n')

describe.skipIf(!isMountable)('a full disk', () => {
  beforeEach(() => {
    mkdirSync(project.data)
    expect(mount(project.data)).toBe(true)
  })
  afterEach(() => {
    expect(unmount(project.data)).toBe(true)
  })

  it.each(['1s', 'batch'])(
    'is 503 while it is full and heals when there is room, synced %s',
    async (sync) => {
      project.write('config/settings.yaml', `consent: { no_signal: allow }\nspool: { sync: ${sync} }\n`)
      const server = await clickHouse()
      const serving = await serve({ CLICKHOUSE_URL: server.url })
      const load = serverLoad(() => serving, 20)
      for (let i = 0; i < 30; i++) expect(await load.send()).toBe(204)
      const filler = join(project.data, 'filler')
      for (let round = 0; round < 2; round++) {
        try {
          for (;;) writeFileSync(filler, Buffer.alloc(4_096), { flag: 'a' })
        } catch (error) {
          expect((error as { code: string }).code).toBe('ENOSPC')
        }
        await until(async () => (await load.send()) === 503)
        for (let i = 0; i < 10; i++) await load.send()
        expect(statSync(filler).size).toBeGreaterThan(1024 ** 2)
        rmSync(filler)
        await until(async () => (await load.send()) === 204)
        for (let i = 0; i < 10; i++) expect(await load.send()).toBe(204)
      }
      expect(await metric(serving, 'madeleine_spool_refused_total')).toBeGreaterThanOrEqual(2)
      expect(await serving.stop('SIGTERM')).toBe(0)
      reportTaken(`a full disk, twice (sync: ${sync})`, load, await countStored(project, server.url))
    },
    60_000,
  )
})

it('SIGTERM under load ends within 10 seconds; everything acknowledged is in the store or in the spool', async () => {
  for (const away of [false, true]) {
    const server = await clickHouse()
    const serving = await serve({ CLICKHOUSE_URL: server.url })
    const acknowledged = new Set<string>()
    const load = startLoad(() => serving.port, acknowledged)
    await until(() => acknowledged.size > 2_000)
    if (away) await server.stop()
    const asked = performance.now()
    expect(await serving.stop('SIGTERM')).toBe(0)
    const tookMs = performance.now() - asked
    const sent = await load.stop()
    const left = readdirSync(spoolOf(project)).length
    expect(left > 0).toBe(away)
    process.stderr.write(`SIGTERM under load, store ${away ? 'away' : 'there'}: ${Math.round(tookMs)} ms, ${left} files left\n`)
    expect(tookMs).toBeLessThan(10_000)
    if (away) await clickHouse(portOf(server))
    report(`SIGTERM under load, store ${away ? 'away' : 'there'}`, sent, acknowledged, await countStored(project, server.url))
    await servers.at(-1)?.stop()
    rmSync(join(project.root, 'server'), { recursive: true })
  }
}, 90_000)
