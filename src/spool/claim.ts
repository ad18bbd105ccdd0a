// One owner a data directory: whoever listens on its socket writes its spool. A second `serve` is refused; a command asks the owner to ship.
// The socket is bound under a name of its own and then linked to the known name, which fails where one is there. A socket that nobody
// answers on is a killed owner's and is moved away first.

import { linkSync, renameSync, rmSync } from 'node:fs'
import { createServer, request, type Server } from 'node:http'
import { MadeleineError, messageOf, systemCode } from '../core/errors.ts'
import { socketPath } from '../engine/embedded.ts'

export type Role = 'serve' | 'command'
export type Answer = { readonly status: number; readonly body: string }
export type Claim = { release(): Promise<void> }

const SOCKET = 'madeleine.sock'

/** Asks the owner of the directory. Undefined where there is none. */
export function askOwner(directory: string, method: 'GET' | 'POST', path: string): Promise<Answer | undefined> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath: socketPath(directory, SOCKET), method, path, agent: false }, (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => {
        body += chunk
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
      response.on('error', reject)
    })
    asked.on('error', (error) =>
      ['ENOENT', 'ECONNREFUSED', 'ECONNRESET', 'ENOTSOCK'].includes(systemCode(error)) ? resolve(undefined) : reject(error),
    )
    asked.end()
  })
}

async function listen(server: Server, path: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, resolve)
  })
}

/** `onShip` answers a command that wants everything shipped. Rejects with `locked` where the directory has an owner. */
export async function claimDirectory(directory: string, role: Role, onShip: () => Promise<void>): Promise<Claim> {
  const known = socketPath(directory, SOCKET)
  const own = socketPath(directory, `m${process.pid.toString(36)}.${Math.random().toString(36).slice(2, 6)}`)
  const server = createServer((incoming, response) => {
    if (incoming.method === 'GET') response.end(role)
    else
      onShip().then(
        () => response.writeHead(204).end(),
        (error: unknown) => response.writeHead(503).end(messageOf(error)),
      )
  })
  await listen(server, own)
  for (let attempt = 0; ; attempt++) {
    try {
      linkSync(own, known)
      break
    } catch (error) {
      const owner = systemCode(error) === 'EEXIST' ? await askOwner(directory, 'GET', '/role') : undefined
      if (owner || attempt >= 5 || systemCode(error) !== 'EEXIST') {
        await new Promise((resolve) => server.close(resolve))
        throw new MadeleineError('locked', `${directory} is in use by another madeleine ${owner?.body ?? 'process'}`, {
          hint:
            owner?.body === 'serve' ? 'stop it first, or choose another directory with --data' : 'try again when it has finished',
          retry: owner?.body === 'command',
          cause: error,
        })
      }
      const dead = `${own}.dead`
      try {
        renameSync(known, dead)
        rmSync(dead)
      } catch {
        // another process moved it first
      }
    }
  }
  rmSync(own, { force: true })
  return {
    async release() {
      rmSync(known, { force: true })
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
