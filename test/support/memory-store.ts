// Stands in for a ClickHouse server where a test needs thousands of failures at exact places: blocks are stored whole or not at all, a token that is known stores nothing, and the
// token is written down before the rows, so that a server that is killed between the two takes the next try for a repeat (seen with the embedded engine).

import { MadeleineError, StoreRefused } from '../../src/core/errors.ts'
import type { Store } from '../../src/engine/store.ts'

/**
 * What becomes of one insert. `no_answer`: stored, and the sender never hears of it. `killed_between`: the token is written down and the rows are not.
 * `refused`: for a reason that may pass.
 */
export const FATES = ['stored', 'away', 'no_answer', 'killed_between', 'refused'] as const
export type Fate = (typeof FATES)[number]

export type StoredRow = { readonly into: string; readonly batch: bigint; readonly row: Readonly<Record<string, unknown>> }

export type Connection = {
  readonly store: Store /** As when its process is killed: nothing goes through any more. */
  cut(): void
}

export type MemoryServer = {
  readonly stored: readonly StoredRow[]
  connect(): Connection
}

const away = () => new MadeleineError('store_unreachable', 'the server does not answer', { retry: true })

/** `fate` is asked for every insert; `isRefused` says which rows the table's types do not take; `window`: so many tokens are remembered. */
export function memoryServer(
  fate: () => Fate = () => 'stored',
  isRefused: (row: Readonly<Record<string, unknown>>) => boolean = () => false,
  window = 10_000,
): MemoryServer {
  const stored: StoredRow[] = []
  const tokens = new Set<string>()

  function insert(into: string, text: string, token: string | undefined, met: Fate): void {
    if (met === 'away') throw away()
    if (met === 'refused') throw new StoreRefused(241, 'memory limit exceeded')
    const lines = text.split('\n').filter((line) => line !== '')
    const rows = lines.map((line) => {
      try {
        return JSON.parse(line) as Record<string, unknown>
      } catch {
        throw new StoreRefused(117, 'cannot parse')
      }
    })
    if (rows.some(isRefused)) throw new StoreRefused(27, 'cannot parse input')
    const isKnown = token !== undefined && tokens.has(`${into} ${token}`)
    if (token !== undefined) tokens.add(`${into} ${token}`)
    for (const oldest of tokens) if (tokens.size > window) tokens.delete(oldest)
    if (met === 'killed_between') throw away()
    if (!isKnown) for (const row of rows) stored.push({ into, batch: BigInt(String(row['batch'])), row })
    if (met === 'no_answer') throw away()
  }

  return {
    stored,
    connect() {
      let isCut = false
      const answer = async <T>(work: () => T): Promise<T> => {
        if (isCut) throw away()
        const answered = work()
        await Promise.resolve()
        return answered
      }
      const store: Store = {
        read: { rows: 0, bytes: 0 },
        rows<Row>(statement: Parameters<Store['rows']>[0]) {
          return answer(() => {
            if (statement.owner !== 'spool.stored') throw new Error(`no answer to ${statement.owner}`)
            const { batch, start, end } = statement.values as { batch: bigint; start: number; end: number }
            const isAsked = ({ into, row, batch: of }: StoredRow) =>
              into.startsWith('madeleine.events ') && of === batch && Number(row['ts']) >= start && Number(row['ts']) < end
            return [{ n: stored.filter(isAsked).length }] as Row[]
          })
        },
        insertLines({ into, lines, settings }) {
          const token = settings?.['insert_deduplication_token']
          return answer(() => insert(into, lines.toString('utf8'), token === undefined ? undefined : String(token), fate()))
        },
        run: () => Promise.reject(new Error('only rows are stored here')),
        ping: () => answer(() => {}),
        close: async () => {},
      }
      return {
        store,
        cut() {
          isCut = true
        },
      }
    },
  }
}
