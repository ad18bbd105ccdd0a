// The engine's process ends with its last user, whatever it is doing, and does not wait for one that never comes.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { get, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, it } from 'vitest'

const ENGINE = fileURLToPath(new URL('../../dist/engine-process.js', import.meta.url))

let directory: string
let socketPath: string
let engine: ChildProcess
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'madeleine-test-'))
  socketPath = join(directory, 'engine.sock')
  engine = spawn(process.execPath, [ENGINE, directory], { stdio: ['pipe', 'ignore', 'inherit'] })
  while (!(await answers('/ping'))) await delay(20)
})
afterEach(() => {
  engine.kill('SIGKILL')
  rmSync(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 })
})

const answers = (path: string): Promise<boolean> =>
  new Promise((resolve) => {
    get({ socketPath, path, agent: false }, (response) => response.resume().on('end', () => resolve(true))).on('error', () =>
      resolve(false),
    )
  })
/** Its end, answered or cut off. */
const ask = (sql: string): Promise<void> =>
  new Promise((resolve) => {
    const asked = request({ socketPath, path: '/', method: 'POST', agent: false }, (response) =>
      response.resume().on('close', () => resolve()),
    )
    asked.on('error', () => resolve()).end(sql)
  })

it('goes when whoever started it is gone before it took a lease', async () => {
  const gone = once(engine, 'exit').then(() => 'gone')
  engine.stdin?.end()
  // Without a lease it would go by itself too, after 15 seconds.
  expect(await Promise.race([gone, delay(8_000, 'still there', { ref: false })])).toBe('gone')
})

it('goes at once with its last lease, with statements in hand: by a kill, because an orderly exit may wait for ever then', async () => {
  const lease = get({ socketPath, path: '/lease', agent: false }, (response) => response.resume().on('error', () => {}))
  await once(lease, 'response')
  await ask('CREATE DATABASE d')
  await ask('CREATE TABLE d.t (a UInt64) ENGINE = MergeTree ORDER BY a')
  const asked = Array.from({ length: 6 }, () => ask('INSERT INTO d.t SELECT number FROM numbers(200000000)'))
  await delay(50)
  const exit = once(engine, 'exit')
  lease.destroy()
  expect(await exit).toEqual([null, 'SIGKILL'])
  await Promise.all(asked)
})
