// Finds or starts the embedded engine of a data directory and keeps a lease on it.
// Every process does the same (serve, a command beside it, two commands at once): connect to the socket, else start an engine and
// connect again. Two that start one at once are sorted out by the engine's own lock: the loser exits with EXIT_LOCKED.

import { spawn } from 'node:child_process'
import { closeSync, constants, mkdirSync, openSync, readFileSync, realpathSync } from 'node:fs'
import { Agent, get, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { MadeleineError } from '../core/errors.ts'
import { distFile } from './package-files.ts'

/** sun_path holds 108 bytes on Linux, 104 on macOS, the closing zero included. */
const SOCKET_PATH_MAX_BYTES = 100
const START_MAX_MS = 30_000
export const ENGINE_SOCKET = 'engine.sock'

const directories = new Map<string, number>()

/**
 * The address of a socket in the data directory. A path too long for a socket is written through the directory's own descriptor, which Linux
 * allows; elsewhere it is refused, because a socket in another place would not keep two processes apart.
 */
export function socketPath(directory: string, name: string): string {
  const real = realpathSync(directory)
  const inside = join(real, name)
  if (Buffer.byteLength(inside) <= SOCKET_PATH_MAX_BYTES) return inside
  if (process.platform !== 'linux')
    throw new MadeleineError('usage', `the path of the data directory is too long for a socket: ${real}`, {
      hint: `${SOCKET_PATH_MAX_BYTES} bytes with the socket's name are possible`,
    })
  const descriptor = directories.get(real) ?? openSync(real, constants.O_RDONLY | constants.O_DIRECTORY)
  directories.set(real, descriptor)
  return `/proc/self/fd/${descriptor}/${name}`
}

export type Engine = {
  readonly agent: Agent
  /** Resolves when an engine is there; starts one where it is not. Rejects with store_unreachable. */
  ready(): Promise<void>
  close(): void
}

function takeLease(socket: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = get({ socketPath: socket, path: '/lease', agent: false }, (response) => {
      response.resume()
      resolve(response)
    })
    request.on('error', reject)
  })
}

type Start = { readonly exited: Promise<void>; readonly failure: () => string }

function startEngine(directory: string): Start {
  const logFile = join(directory, 'engine.log')
  const output = openSync(logFile, 'a') // not emptied: a second one that loses the race for the directory must not wipe the winner's
  // Own session: a terminal's Ctrl-C must not reach the engine before the collector has shipped.
  // Its standard input says to the engine that we are still there: one whose starter was killed before it took a lease goes at once.
  const child = spawn(process.execPath, [distFile('engine-process.js'), directory], {
    stdio: ['pipe', 'ignore', output],
    detached: true,
    env: { ...process.env, UV_THREADPOOL_SIZE: '16' },
  })
  closeSync(output)
  child.unref()
  child.stdin?.on('error', () => {})
  ;(child.stdin as Socket | null)?.unref()
  const exited = new Promise<void>((resolve) => {
    child.on('exit', () => resolve())
    child.on('error', () => resolve())
  })
  return { exited, failure: () => readFileSync(logFile, 'utf8').trim().split('\n').at(-1)?.slice(0, 300) ?? '' }
}

export function openEngine(directory: string): Engine {
  mkdirSync(directory, { recursive: true })
  const socket = socketPath(directory, ENGINE_SOCKET)
  const agent = new Agent({ keepAlive: true, maxSockets: 16, socketPath: socket } as ConstructorParameters<typeof Agent>[0])
  let lease: IncomingMessage | undefined
  let connecting: Promise<void> | undefined
  let closed = false

  async function connect(): Promise<void> {
    const until = Date.now() + START_MAX_MS
    let start: Start | undefined
    let failure = ''
    for (;;) {
      try {
        const held = await takeLease(socket)
        if (closed) held.destroy()
        lease = held
        held.on('close', () => {
          if (lease === held) lease = undefined
        })
        held.on('error', () => {})
        return
      } catch (error) {
        if (Date.now() > until)
          throw new MadeleineError('store_unreachable', `the embedded engine did not start: ${failure || 'no answer'}`, {
            hint: `see engine.log in the data directory`,
            retry: true,
            cause: error,
          })
      }
      start ??= startEngine(directory)
      const running = start
      const gone = await Promise.race([running.exited.then(() => true), delay(20).then(() => false)])
      if (gone) {
        failure = running.failure()
        start = undefined // it failed, or lost the race for the directory to another one that will answer soon
        await delay(100)
      }
    }
  }

  return {
    agent,
    async ready() {
      if (lease) return
      connecting ??= connect().finally(() => {
        connecting = undefined
      })
      await connecting
    },
    close() {
      closed = true
      lease?.destroy()
      agent.destroy()
    },
  }
}
