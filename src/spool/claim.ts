// One owner a data directory: whoever listens on its socket writes its spool. A second `serve` is refused; a command asks the owner to ship.
// The socket is bound under a name of its own and then linked to the known name, which fails where one is there. A socket that nobody
// answers on is a killed owner's and is removed first.

import { linkSync, mkdirSync, rmSync, statSync } from 'node:fs'
import { createServer, type IncomingMessage, request, type Server } from 'node:http'
import { performance } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { causeOf, type ErrorCode, MadeleineError, StoreRefused, systemCode } from '../core/errors.ts'
import { socketPath } from '../engine/embedded.ts'

export type Role = 'serve' | 'command'
export type Answer = { readonly status: number; readonly body: string }

/** An error as it crosses the socket: what ClickHouse says may quote a row, and stays behind. */
const toldOf = (error: unknown) =>
  error instanceof MadeleineError && !(error instanceof StoreRefused)
    ? { code: error.code, message: error.message, hint: error.hint, retry: error.retry }
    : { code: 'store_refused', message: causeOf(error), hint: '', retry: false }

/** The error of an answer that is not 200, as it was thrown on the other side. */
export function errorOf({ body }: Answer): MadeleineError {
  const { code, message, hint, retry } = JSON.parse(body) as ReturnType<typeof toldOf>
  return new MadeleineError(code as ErrorCode, message, { hint, retry })
}
export type Claim = { release(): Promise<void> }

/** `spool`: who writes the spool, and answers commands. `segmenter`: who refreshes memberships. `trainer`: who trains lookalikes. */
export type Office = 'spool' | 'segmenter' | 'trainer'
const SOCKETS: Record<Office, string> = { spool: 'madeleine.sock', segmenter: 'segmenter.sock', trainer: 'trainer.sock' }

export type Question = { readonly method: 'GET' | 'POST'; readonly path: string; readonly body?: string }
const WHO: Question = { method: 'GET', path: '/role' }

/** What is met where nobody listens, or where who did is gone before it has answered. */
const GONE = ['ENOENT', 'ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ENOTSOCK']

/** Asks the owner of the directory. Undefined where there is none, or it ended meanwhile. */
export function askOwner(directory: string, question = WHO, office: Office = 'spool'): Promise<Answer | undefined> {
  const { method, path, body: said = '' } = question
  return new Promise((resolve, reject) => {
    const fail = (error: Error) => (GONE.includes(systemCode(error)) ? resolve(undefined) : reject(error))
    const asked = request({ socketPath: socketPath(directory, SOCKETS[office]), method, path, agent: false }, (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => {
        body += chunk
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
      response.on('error', fail)
    })
    asked.on('error', fail)
    asked.end(said)
  })
}

async function listen(server: Server, path: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, resolve)
  })
}

/** How long a take-over may last; one that is seen for longer was left by a process that was killed in it. */
const TAKE_OVER_MAX_MS = 10_000

/** The lock of a take-over, and since when it is seen on a clock that nobody sets back. */
type SeenLock = { ino: number; sinceMs: number }

/**
 * Moves a dead owner's socket away. Asked again and moved under a lock of its own: between "nobody answers" and the move another process may have taken
 * the place, and would be moved away alive.
 */
async function takeOver(directory: string, known: string, office: Office, seen: SeenLock): Promise<void> {
  const lock = `${known}.takeover`
  try {
    mkdirSync(lock)
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error
    const ino = statSync(lock, { throwIfNoEntry: false })?.ino ?? 0
    if (ino !== seen.ino) Object.assign(seen, { ino, sinceMs: performance.now() })
    else if (performance.now() - seen.sinceMs > TAKE_OVER_MAX_MS) rmSync(lock, { recursive: true, force: true })
    await delay(20)
    return
  }
  try {
    if ((await askOwner(directory, WHO, office)) === undefined) rmSync(known, { force: true })
  } finally {
    rmSync(lock, { recursive: true, force: true })
  }
}

/** Does what a command asks for by a path; what it answers is the body, in text. */
export type OnCommand = (path: string, body: string) => Promise<string>

async function readBody(incoming: IncomingMessage): Promise<string> {
  incoming.setEncoding('utf8')
  let body = ''
  for await (const chunk of incoming) body += chunk as string
  return body
}

/** Rejects with `locked` where the directory has an owner. */
export async function claimDirectory(
  directory: string,
  role: Role,
  onCommand: OnCommand,
  office: Office = 'spool',
): Promise<Claim> {
  const known = socketPath(directory, SOCKETS[office])
  const own = socketPath(directory, `m${process.pid.toString(36)}.${Math.random().toString(36).slice(2, 6)}`)
  const server = createServer((incoming, response) => {
    if (incoming.method === 'GET') response.end(role)
    else
      readBody(incoming)
        .then((body) => onCommand(incoming.url ?? '/', body))
        .then(
          (answer) => response.end(answer),
          (error: unknown) => response.writeHead(503).end(JSON.stringify(toldOf(error))),
        )
  })
  server.requestTimeout = 0 // a build may take minutes
  await listen(server, own)
  const close = () => {
    server.closeAllConnections()
    return new Promise((resolve) => server.close(resolve))
  }
  const seen: SeenLock = { ino: 0, sinceMs: performance.now() }
  try {
    while (!tryLink(own, known)) {
      const owner = await askOwner(directory, WHO, office)
      if (owner) {
        const hint =
          owner.body === 'serve' ? 'stop it first, or choose another directory with --data' : 'try again when it has finished'
        throw new MadeleineError('locked', `${directory} is in use by another madeleine ${owner.body}`, {
          hint,
          retry: owner.body === 'command',
        })
      }
      await takeOver(directory, known, office, seen)
    }
  } catch (error) {
    await close()
    throw error
  } finally {
    rmSync(own, { force: true })
  }
  const { ino } = statSync(known)
  return {
    async release() {
      if (statSync(known, { throwIfNoEntry: false })?.ino === ino) rmSync(known, { force: true })
      await close()
    },
  }
}

/** False where the name is taken. */
function tryLink(own: string, known: string): boolean {
  try {
    linkSync(own, known)
    return true
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false
    throw error
  }
}
