// The embedded engine's own process: it owns the data directory's ClickHouse and serves it on a unix socket.
// It lives as long as somebody holds a lease (an open request): when the last holder exits or is killed, the kernel closes the
// request and the engine goes too, so no orphan keeps the directory locked. Signals are ignored for that reason: Ctrl-C reaches the
// whole process group, and the collector still needs the engine to ship what it has acknowledged.

import { mkdirSync, rmSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { totalmem } from 'node:os'
import { join } from 'node:path'
import { Session } from 'chdb'
import { messageOf } from '../core/errors.ts'
import { ENGINE_SOCKET, socketPath } from './embedded.ts'
import { createFront, QUERY_MAX_BYTES } from './front.ts'

/** ClickHouse's CANNOT_OPEN_FILE: another engine holds the directory. */
export const EXIT_LOCKED = 76
const SESSIONS = 8
/** A process that started the engine and takes no lease must not leave it behind; one that was killed is noticed by its end of our standard input. */
const FIRST_LEASE_MS = 15_000

const data = process.argv[2]
if (data === undefined) process.exit(2)
const directory = join(data, 'clickhouse')
mkdirSync(directory, { recursive: true })
const socket = socketPath(data, ENGINE_SOCKET)
process.on('SIGINT', () => {})
process.on('SIGTERM', () => {})
process.on('SIGHUP', () => {})

const memoryBytes = Math.floor(totalmem() * 0.5)
function open(): Session {
  const session = new Session(directory)
  // Deliberately for the whole session: without them the limit is the machine's, and a large GROUP BY never spills.
  session.query(
    `SET max_memory_usage = ${memoryBytes}, max_bytes_before_external_group_by = ${Math.floor(memoryBytes / 2)}, max_query_size = ${QUERY_MAX_BYTES}`,
  )
  return session
}

try {
  const leases = new Set<ServerResponse>()
  // By a kill: with statements in hand `process.exit` takes the engine apart under its own threads, which now and then wait for each other for ever, and the
  // directory stays locked. What an insert has acknowledged survives a kill.
  const leaveUnheld = () => {
    if (leases.size === 0) process.kill(process.pid, 'SIGKILL')
  }
  const sessions = Array.from({ length: SESSIONS }, open)
  const server = createFront(sessions, (response) => {
    leases.add(response)
    response.writeHead(200)
    response.write('held\n')
    response.on('close', () => {
      leases.delete(response)
      leaveUnheld()
    })
  })
  setTimeout(leaveUnheld, FIRST_LEASE_MS).unref()
  process.stdin.on('close', leaveUnheld).resume()
  rmSync(socket, { force: true }) // the engine's own lock is held: whatever socket is here is a dead engine's
  server.listen(socket)
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`)
  process.exit(/Code: 76\.|Cannot lock|CANNOT_OPEN_FILE/.test(messageOf(error)) ? EXIT_LOCKED : 1)
}
