// The one way to ClickHouse: the official client, over HTTP to a server (CLICKHOUSE_URL) or over a unix socket to the embedded engine.
// Values are bound; settings stand in the statement's own SETTINGS clause, never in the client's `clickhouse_settings` (which the
// embedded engine would keep for later statements), so this file offers no way to pass them otherwise (but see QUERY_MAX_BYTES). Each statement names its owner
// in the log comment. The driver's errors are translated here and nowhere else.

import { Readable } from 'node:stream'
import { type ClickHouseClient, ClickHouseError, createClient } from '@clickhouse/client'
import { MadeleineError, messageOf, StoreRefused } from '../core/errors.ts'
import { openEngine } from './embedded.ts'
import { QUERY_MAX_BYTES } from './front.ts'

export type Value = string | number | bigint | boolean | readonly string[]
export type Values = Readonly<Record<string, Value>>
/** Settings of one statement. Values come from code, never from outside; a text outside [A-Za-z0-9_./:-] is refused. */
export type Settings = Readonly<Record<string, number | string>>
export type Statement = {
  /** Who asks, as `stage.purpose`: shown in system.query_log. */
  readonly owner: string
  /** Without SETTINGS and FORMAT. */
  readonly sql: string
  readonly values?: Values
  readonly settings?: Settings
}

/** Rows and (uncompressed) bytes that a statement read, as the engine counts them. */
export type ReadWork = { readonly rows: number; readonly bytes: number }

export type Store = {
  /** All rows of a SELECT. Large results are paged by the caller: the embedded engine gathers a result whole. */
  rows<Row>(statement: Statement): Promise<Row[]>
  /** A statement without a result: DDL, INSERT ... SELECT. What it read. */
  run(statement: Statement): Promise<ReadWork>
  /** One block of JSONEachRow lines. `into` is `table (columns)`. */
  insertLines(insert: {
    readonly owner: string
    readonly into: string
    readonly lines: Buffer
    readonly settings?: Settings
  }): Promise<void>
  /** What all statements have read so far, as far as the engine has said. */
  readonly read: ReadWork
  ping(): Promise<void>
  close(): Promise<void>
}

/** Server defaults differ from the embedded engine's and from version to version: what a statement relies on is said with it. */
const SELECT_SETTINGS: Settings = { precise_float_parsing: 1, join_use_nulls: 0, output_format_json_quote_64bit_integers: 0 }
const INSERT_SETTINGS: Settings = {
  async_insert: 0,
  insert_deduplicate: 1,
  distributed_foreground_insert: 1,
  // One file is one block: parallel parsing may cut it, and a token deduplicates blocks, not files.
  input_format_parallel_parsing: 0,
  input_format_skip_unknown_fields: 0,
  input_format_defaults_for_omitted_fields: 1,
}

function settingsClause(owner: string, settings: Settings): string {
  const all: Settings = { ...settings, log_comment: `madeleine:${owner}` }
  const parts = Object.entries(all).map(([name, value]) => {
    if (typeof value === 'number') return `${name} = ${value}`
    if (!/^[A-Za-z0-9_./:-]+$/.test(value)) throw new Error(`setting ${name} has a value that cannot stand in a statement`)
    return `${name} = '${value}'`
  })
  return `SETTINGS ${parts.join(', ')}`
}

function translated(error: unknown, owner: string): MadeleineError {
  if (error instanceof MadeleineError) return error
  if (error instanceof ClickHouseError)
    return new StoreRefused(
      Number(error.code),
      `ClickHouse refused ${owner}: ${error.message.slice(0, 2_000)} (${error.type ?? error.code})`,
      error,
    )
  return new MadeleineError('store_unreachable', `ClickHouse does not answer (${owner}): ${messageOf(error)}`, {
    hint: 'check CLICKHOUSE_URL, or engine.log in the data directory',
    retry: true,
    cause: error,
  })
}

type Backend = { readonly client: ClickHouseClient; ready(): Promise<void>; close(): void }

function backendOf(options: StoreOptions): Backend {
  const common = { request_timeout: 600_000, log: { level: 127 as const } } // OFF: errors are thrown, and reported once, by us
  if (options.url !== undefined)
    return {
      client: createClient({ url: options.url, clickhouse_settings: { max_query_size: String(QUERY_MAX_BYTES) }, ...common }),
      ready: async () => {},
      close() {},
    }
  const engine = openEngine(options.directory)
  const client = createClient({ url: 'http://localhost', http_agent: engine.agent, ...common })
  return { client, ready: () => engine.ready(), close: () => engine.close() }
}

/** From the header that a ClickHouse server sends, and our front does. */
function summaryOf(headers: Readonly<Record<string, unknown>>): ReadWork {
  const { read_rows = 0, read_bytes = 0 } = JSON.parse(String(headers['x-clickhouse-summary'] ?? '{}')) as Record<string, string>
  return { rows: Number(read_rows), bytes: Number(read_bytes) }
}

export type StoreOptions = { readonly url?: string | undefined; readonly directory: string }

export function openStore(options: StoreOptions): Store {
  const { client, ready, close } = backendOf(options)

  async function guarded<T>(owner: string, work: () => Promise<T>): Promise<T> {
    try {
      await ready()
      return await work()
    } catch (error) {
      throw translated(error, owner)
    }
  }

  const read = { rows: 0, bytes: 0 }
  function count(work: ReadWork): ReadWork {
    read.rows += work.rows
    read.bytes += work.bytes
    return work
  }

  return {
    read,
    rows<Row>({ owner, sql, values, settings }: Statement) {
      const query = `${sql}\n${settingsClause(owner, { ...SELECT_SETTINGS, ...settings })}`
      return guarded(owner, async () => {
        const result = await client.query({ query, query_params: { ...values }, format: 'JSONEachRow' })
        count(summaryOf(result.response_headers))
        return (await result.json()) as Row[]
      })
    },
    run({ owner, sql, values, settings }) {
      // INSERT takes its settings before the SELECT; everything else at its end.
      const insert = /^\s*(INSERT INTO [\w.]+(?: \([^)]*\))?)\s([\s\S]*)$/.exec(sql)
      const query = insert
        ? `${insert[1]} ${settingsClause(owner, { ...SELECT_SETTINGS, async_insert: 0, ...settings })} ${insert[2]}`
        : settings
          ? `${sql}\n${settingsClause(owner, settings)}`
          : sql
      return guarded(owner, async () => {
        const { response_headers } = await client.command({ query, query_params: { ...values } })
        return count(summaryOf(response_headers))
      })
    },
    insertLines({ owner, into, lines, settings }) {
      const query = `INSERT INTO ${into} ${settingsClause(owner, { ...INSERT_SETTINGS, ...settings })} FORMAT JSONEachRow`
      return guarded(owner, async () => {
        const { stream } = await client.exec({ query, values: Readable.from([lines], { objectMode: false }) })
        for await (const _ of stream) {
          // the answer has no body; reading it to its end frees the connection
        }
      })
    },
    ping: () =>
      guarded('engine.ping', async () => {
        const result = await client.ping()
        if (!result.success) throw result.error
      }),
    async close() {
      await client.close()
      close()
    },
  }
}
