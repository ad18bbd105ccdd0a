// docker-compose.yml and the Dockerfile, held to the code. Docker itself does not run where the tests run, so what can be run without it is run: the
// Dockerfile's command with the variables that compose gives it, Redis with compose's arguments, and the health checks of both.

import { execFile, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { readEnvironment } from '../../src/settings/environment.ts'
import { MAIN } from '../support/cli.ts'
import { scratchProject } from '../support/scratch.ts'
import { BROWSER_AGENT, startServe } from '../support/serve.ts'
import { openScratchStore } from '../support/store.ts'

type Service = {
  image?: string
  build?: string
  command?: string[]
  environment?: Record<string, string>
  healthcheck?: { test: string[] }
  volumes?: string[]
  ports?: string[]
  depends_on?: Record<string, { condition: string }>
  init?: boolean
  restart?: string
  stop_grace_period?: string
}

const file = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url))
const text = (name: string) => readFileSync(file(name), 'utf8')
const compose = parse(text('docker-compose.yml')) as { services: Record<string, Service>; volumes: Record<string, unknown> }
const services = Object.entries(compose.services)
const service = (name: string): Service => compose.services[name] ?? {}
const madeleine = service('madeleine')
const environment = madeleine.environment ?? {}

/** The Dockerfile's instructions in order, each with what follows it. */
const instructions = text('Dockerfile')
  .split('\n')
  .flatMap((line) => {
    const [, name = '', rest = ''] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? []
    return name === '' ? [] : [{ name, rest }]
  })
const lastOf = (name: string) => instructions.findLast((instruction) => instruction.name === name)?.rest ?? ''

const PINNED = /^[a-z0-9./-]+:\d+\.\d+\.\d+[\w.-]*@sha256:[0-9a-f]{64}$/

/** What compose makes of `${NAME}`, `${NAME:-default}` and `${NAME:?message}`. */
function interpolated(value: string, variables: Readonly<Record<string, string>>): string {
  return value.replace(/\$\{(\w+)(?::([-?])([^}]*))?\}/g, (_, name: string, kind?: string, other?: string) => {
    const given = variables[name] ?? ''
    if (given === '' && kind === '?') throw new Error(`${name}: ${other}`)
    return given === '' && kind === '-' ? (other ?? '') : given
  })
}
const givenBy = (variables: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(environment).map(([name, value]) => [name, interpolated(value, variables)]))

/** The exit code of a health check's command line. */
async function exitCodeOf(line: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<number> {
  const [command = '', ...args] = line
  return promisify(execFile)(command, args, { env: { ...process.env, ...env } }).then(
    () => 0,
    (error: { code: number }) => error.code,
  )
}

describe('docker-compose.yml', () => {
  test.each(services)(
    '%s comes from a pinned image or from here, is watched and is started again',
    (_, { image, build, ...rest }) => {
      expect(image ?? 'built').toMatch(build === undefined ? PINNED : /^built$/)
      expect(rest.healthcheck?.test[0]).toBe('CMD')
      expect(rest.restart).toBe('unless-stopped')
    },
  )

  test('keeps on named volumes what cannot be rebuilt: the spool and the store', () => {
    const mounts = services.flatMap(([, { volumes = [] }]) => volumes.map((mount) => mount.split(':')))
    const named = mounts.filter(([from]) => !from?.startsWith('.')).map(([from]) => from)
    expect(named.sort()).toEqual(Object.keys(compose.volumes).sort())
    expect(madeleine.volumes).toContain(`madeleine-data:${environment['MADELEINE_DATA']}`)
    expect(service('clickhouse').volumes).toEqual(['clickhouse-data:/var/lib/clickhouse'])
    expect(service('redis').volumes).toBeUndefined()
  })

  test('mounts the configuration read-only where the collector looks for it', () => {
    expect(madeleine.volumes).toContain(`./config:${environment['MADELEINE_CONFIG']}:ro`)
    expect(existsSync(file('config'))).toBe(true)
  })

  test('publishes the collector on loopback, at the port it listens on, and nothing else', () => {
    const published = services.flatMap(([, { ports = [] }]) => ports)
    expect(published.map((port) => interpolated(port, {}))).toEqual([`127.0.0.1:8080:${environment['PORT']}`])
  })

  test('starts the collector once its services are healthy, and gives it time to ship before it is killed', () => {
    const others = services.map(([name]) => name).filter((name) => name !== 'madeleine')
    expect(madeleine.depends_on).toEqual(Object.fromEntries(others.map((name) => [name, { condition: 'service_healthy' }])))
    expect(Number.parseInt(madeleine.stop_grace_period ?? '', 10)).toBeGreaterThan(10) // contract 5: ships within 10 s
    expect(madeleine.init).toBe(true)
  })

  test('gives the collector only variables of the contract or of the code', () => {
    const contract = ['PORT', 'MADELEINE_CONFIG', 'MADELEINE_DATA', 'MADELEINE_API_KEY', 'CLICKHOUSE_URL', 'REDIS_URL']
    const code = text('src/settings/environment.ts') + text('src/core/log.ts')
    const unknown = Object.keys(environment).filter((name) => !contract.includes(name) && !code.includes(`'${name}'`))
    expect(unknown).toEqual([])
  })

  test('with only the key set, gives an environment that the collector accepts, and without it nothing', () => {
    const read = readEnvironment(givenBy({ MADELEINE_API_KEY: 'secret' }))
    const clickhouseUrl = 'http://madeleine:madeleine@clickhouse:8123'
    expect(read).toMatchObject({ port: 8080, config: '/app/config', data: '/data', apiKey: 'secret', clickhouseUrl })
    expect(() => givenBy({})).toThrow(/MADELEINE_API_KEY/)
  })

  test('names the same user and password on both sides of ClickHouse', () => {
    const variables = { MADELEINE_API_KEY: 'secret', CLICKHOUSE_USER: 'someone', CLICKHOUSE_PASSWORD: 'other-password' }
    const { username, password, hostname } = new URL(givenBy(variables)['CLICKHOUSE_URL'] ?? '')
    const { CLICKHOUSE_USER = '', CLICKHOUSE_PASSWORD = '' } = service('clickhouse').environment ?? {}
    expect([username, password]).toEqual([interpolated(CLICKHOUSE_USER, variables), interpolated(CLICKHOUSE_PASSWORD, variables)])
    expect(Object.keys(compose.services)).toContain(hostname)
  })
})

describe('the Dockerfile', () => {
  test('builds on one pinned image', () => {
    const from = instructions.filter(({ name }) => name === 'FROM').map(({ rest }) => rest.split(' ')[0])
    expect(from[0]).toMatch(PINNED)
    expect(from.slice(1).every((base) => base === 'base')).toBe(true)
  })

  test('copies only what is in the repository and not kept out of the build', () => {
    const copied = instructions
      .filter(({ name, rest }) => name === 'COPY' && !rest.startsWith('--from'))
      .flatMap(({ rest }) => rest.split(' ').slice(0, -1))
    const admitted = text('.dockerignore').match(/(?<=^!).*/gm) ?? []
    expect(copied.sort()).toEqual([...admitted].sort())
    expect(copied.filter((name) => !existsSync(file(name)))).toEqual([])
  })

  test('runs as an ordinary user, where its data directory is that user’s', () => {
    expect(lastOf('USER')).toBe('node')
    expect(lastOf('ENV')).toBe(
      `MADELEINE_CONFIG=${environment['MADELEINE_CONFIG']} MADELEINE_DATA=${environment['MADELEINE_DATA']}`,
    )
    expect(lastOf('RUN')).toBe('mkdir /data && chown node:node /data')
  })

  test('starts the command that these tests start, and asks for its health as compose does', () => {
    expect(JSON.parse(lastOf('CMD'))).toEqual(['node', 'dist/main.js', 'serve'])
    expect(file('dist/main.js')).toBe(MAIN)
    const health = lastOf('HEALTHCHECK')
    expect(['CMD', ...JSON.parse(health.slice(health.indexOf('[')))]).toEqual(madeleine.healthcheck?.test)
  })
})

test('the collector runs in server mode on the variables of compose, and its health check tells whether it does', async () => {
  const health = (port: number) => exitCodeOf(madeleine.healthcheck?.test.slice(1) ?? [], { PORT: String(port) })
  const { store, url, close } = await openScratchStore('server')
  const project = scratchProject()
  try {
    const given = givenBy({ MADELEINE_API_KEY: 'secret' })
    const clickhouse = given['CLICKHOUSE_URL']?.replace('clickhouse:8123', new URL(url ?? '').host) ?? ''
    const own = { PORT: '0', MADELEINE_CONFIG: project.config, MADELEINE_DATA: project.data, CLICKHOUSE_URL: clickhouse }
    const serving = await startServe(project, { ...given, ...own })
    try {
      expect(await health(serving.port)).toBe(0)
      const hit = await fetch(`${serving.origin}/p.gif?source=site`, {
        headers: { 'user-agent': BROWSER_AGENT, 'sec-fetch-storage-access': 'active' },
      })
      expect(hit.status).toBe(200)
    } finally {
      expect(await serving.stop('SIGTERM')).toBe(0)
    }
    expect(await health(serving.port)).toBe(1)
    expect(await store.rows({ owner: 'test.count', sql: 'SELECT count() AS n FROM madeleine.events' })).toEqual([{ n: 1 }])
  } finally {
    await close()
    project.remove()
  }
})

const hasRedis = spawnSync('redis-server', ['--version']).error === undefined

describe.skipIf(!hasRedis && process.env['CI'] !== 'true')('redis (skipped where redis-server is missing)', () => {
  test('starts with the arguments of compose, keeps nothing on disk, and its health check tells whether it runs', async () => {
    const probe = createServer().listen(0, '127.0.0.1')
    await once(probe, 'listening')
    const { port } = probe.address() as { port: number }
    probe.close()
    await once(probe, 'close')
    const project = scratchProject()
    const at = ['--port', String(port), '--bind', '127.0.0.1', '--dir', project.root]
    const [command = '', ...args] = service('redis').command ?? []
    const [client = '', ...ping] = service('redis').healthcheck?.test.slice(1) ?? []
    const health = () => exitCodeOf([client, '-p', String(port), ...ping])
    const setting = async (name: string) =>
      (await promisify(execFile)('redis-cli', ['-p', String(port), 'config', 'get', name])).stdout.trim().split('\n')[1] ?? ''

    expect(await health()).not.toBe(0)
    const redis = spawn(command, [...args, ...at], { stdio: 'ignore' })
    const exited = once(redis, 'exit')
    try {
      await expect.poll(health, { timeout: 10_000 }).toBe(0)
      expect(await Promise.all(['save', 'appendonly', 'maxmemory-policy'].map(setting))).toEqual(['', 'no', 'noeviction'])
      expect(Number(await setting('maxmemory'))).toBe(256 * 1024 * 1024)
    } finally {
      redis.kill()
      await exited
      project.remove()
    }
    expect(await health()).not.toBe(0)
  })
})
