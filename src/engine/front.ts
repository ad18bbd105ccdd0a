// ClickHouse's HTTP interface in front of embedded engine sessions, as much of it as the official client uses: a statement in the
// `query` parameter or the body, `param_*` bindings, rows in the body, errors with ClickHouse's code.
// Invariants: a session serves one request at a time; nothing a request says outlives it in a session. Settings in the address are
// therefore refused rather than SET: embedded sessions would keep them for every later statement, and a kept
// `insert_deduplication_token` silently drops later inserts. Settings belong into the statement's own SETTINGS clause.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { messageOf } from '../core/errors.ts'

/**
 * A thousand audiences are a statement of half a megabyte, twice the server's default. This one setting cannot stand in the statement whose length it is about: embedded
 * sessions begin with it, and the store sends it with every request to a server.
 */
export const QUERY_MAX_BYTES = 16 * 1024 * 1024

/** What the front needs of a chdb Session. */
export type EngineSession = {
  queryAsync(sql: string): Promise<{ bytes(): Uint8Array; readonly rowsRead: number; readonly bytesRead: number }>
}

/** Sent by the official client, or by the store, with every request; none of them changes what a statement means here (sessions begin with the same `max_query_size`). */
const CLIENT_PARAMETERS = new Set([
  'query',
  'query_id',
  'database',
  'wait_end_of_query',
  'default_format',
  'role',
  'max_query_size',
])
const SYNTAX_ERROR = 62
const UNKNOWN_SETTING = 115
const SUBSTITUTION_NOT_SET = 456

/** In the words of a ClickHouse server, which the official client takes apart again. */
class FrontError extends Error {
  constructor(code: number, name: string, message: string) {
    super(`Code: ${code}. DB::Exception: ${message}. (${name})`)
  }
}

export const quoted = (text: string): string => `'${text.replace(/\\/g, '\\\\').replace(/'/g, "\\'")}'`

/** Hands out sessions one at a time, first come first served. */
class SessionPool {
  #free: EngineSession[]
  #waiting: ((session: EngineSession) => void)[] = []

  constructor(sessions: readonly EngineSession[]) {
    this.#free = [...sessions]
  }

  async use<T>(work: (session: EngineSession) => Promise<T>): Promise<T> {
    const session = this.#free.pop() ?? (await new Promise<EngineSession>((resolve) => this.#waiting.push(resolve)))
    try {
      return await work(session)
    } finally {
      const next = this.#waiting.shift()
      if (next) next(session)
      else this.#free.push(session)
    }
  }
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  if (!request.complete) throw new FrontError(SYNTAX_ERROR, 'SYNTAX_ERROR', 'the request was cut off')
  return Buffer.concat(chunks).toString('utf8')
}

/** The statement and its bindings. A parameter without a value is refused here: the session would still hold an earlier request's. */
async function readStatement(request: IncomingMessage): Promise<{ sql: string; bindings: Map<string, string> }> {
  const address = new URL(request.url ?? '/', 'http://engine')
  const bindings = new Map<string, string>()
  for (const [name, value] of address.searchParams) {
    if (name.startsWith('param_')) bindings.set(name, value)
    else if (!CLIENT_PARAMETERS.has(name))
      throw new FrontError(
        UNKNOWN_SETTING,
        'UNKNOWN_SETTING',
        `${name} in the address: settings stand in the statement's own SETTINGS clause`,
      )
  }
  const query = address.searchParams.get('query')
  const body = await readBody(request)
  const sql = query === null ? body : body === '' ? query : `${query}\n${body}`
  const statement = query ?? body
  for (const match of statement.matchAll(/\{([A-Za-z_]\w*):[A-Za-z]/g))
    if (!bindings.has(`param_${match[1]}`))
      throw new FrontError(SUBSTITUTION_NOT_SET, 'SUBSTITUTION_NOT_SET', `Substitution ${match[1]} is not set`)
  return { sql, bindings }
}

async function answer(pool: SessionPool, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { sql, bindings } = await readStatement(request)
  const result = await pool.use(async (session) => {
    if (bindings.size > 0)
      await session.queryAsync(`SET ${[...bindings].map(([name, value]) => `${name} = ${quoted(value)}`).join(', ')}`)
    return session.queryAsync(sql)
  })
  const summary = { read_rows: String(result.rowsRead), read_bytes: String(result.bytesRead) }
  response.writeHead(200, { 'x-clickhouse-summary': JSON.stringify(summary) })
  response.end(result.bytes())
}

function refuse(response: ServerResponse, error: unknown): void {
  const message = messageOf(error)
  const code = /^Code: (\d+)\./.exec(message)?.[1] ?? '1002'
  response.writeHead(500, { 'x-clickhouse-exception-code': code, 'content-type': 'text/plain' })
  response.end(message)
}

/** A server over `sessions`; `onLease` is called with a request that stays open for as long as its sender lives. */
export function createFront(sessions: readonly EngineSession[], onLease?: (response: ServerResponse) => void): Server {
  const pool = new SessionPool(sessions)
  // Bound values travel in the address: hundreds of audiences bind thousands of values.
  const server = createServer({ maxHeaderSize: 16 * 1024 * 1024 }, (request, response) => {
    if (request.url === '/ping') response.end('Ok.\n')
    else if (request.url === '/lease' && onLease) onLease(response)
    else answer(pool, request, response).catch((error: unknown) => refuse(response, error))
  })
  server.requestTimeout = 0
  server.keepAliveTimeout = 60_000
  return server
}
