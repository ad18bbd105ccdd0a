// A migrated store on a scratch directory, on the embedded engine or in server mode: the official client over HTTP on a port, against a server that
// fronts the embedded engine.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { migrate } from '../../src/engine/migrate.ts'
import { openStore, type Store } from '../../src/engine/store.ts'

export type ScratchStore = {
  readonly store: Store
  readonly directory: string
  readonly url: string | undefined
  close(): Promise<void>
}

export const STORE_MODES = ['embedded', 'server'] as const
export type StoreMode = (typeof STORE_MODES)[number]

const root = new URL('../..', import.meta.url).pathname

export type Server = { readonly url: string; stop(): Promise<void> }

/** A ClickHouse server as far as the client can tell: its own process, on a TCP port. */
export async function startClickHouse(directory: string, port = 0): Promise<Server> {
  const child = spawn(process.execPath, ['--import', 'tsx', 'test/support/clickhouse-server.ts', directory, String(port)], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  return {
    url: line.toString().trim(),
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill('SIGKILL')
      await once(child, 'exit')
    },
  }
}

export async function openScratchStore(mode: StoreMode = 'embedded'): Promise<ScratchStore> {
  const directory = mkdtempSync(join(tmpdir(), 'madeleine-test-'))
  const server = mode === 'server' ? await startClickHouse(join(directory, 'server')) : undefined
  const store = openStore({ url: server?.url, directory })
  await migrate(store)
  return {
    store,
    directory,
    url: server?.url,
    async close() {
      await store.close()
      await server?.stop()
      rmSync(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 })
    },
  }
}
