// The only place where clients are made: the environment and the configuration become the parts that commands use.

import { mkdirSync, readFileSync } from 'node:fs'
import { makeCollector } from './collect/app.ts'
import { makeCounts } from './collect/counts.ts'
import { applyRetention, expireOverdue, migrate } from './engine/migrate.ts'
import { distFile } from './engine/package-files.ts'
import { openStore, type Store } from './engine/store.ts'
import { makeSigner } from './identity/cookie.ts'
import { cookieKey } from './identity/key.ts'
import type { Environment } from './settings/environment.ts'
import type { Settings } from './settings/load.ts'
import { openSpool, type Spool, shipSpool } from './spool/spool.ts'

export const now = (): number => Date.now()

/** A store that is migrated and expires what the settings say. */
export async function openReadyStore(environment: Environment, settings: Settings): Promise<Store> {
  mkdirSync(environment.data, { recursive: true })
  const store = openStore({ url: environment.clickhouseUrl, directory: environment.data })
  try {
    await migrate(store)
    await applyRetention(store, settings.retentionMs)
    return store
  } catch (error) {
    await store.close()
    throw error
  }
}

/** Runs `work` on the store with everything that the spool held shipped into it. */
export async function withEvents<T>(
  environment: Environment,
  settings: Settings,
  work: (store: Store) => Promise<T>,
): Promise<T> {
  const store = await openReadyStore(environment, settings)
  try {
    await shipSpool(environment.data, store, now)
    return await work(store)
  } finally {
    await store.close()
  }
}

export type Collector = {
  readonly app: ReturnType<typeof makeCollector>
  readonly spool: Spool
  readonly store: Store
  close(withinMs: number): Promise<void>
}

const EXPIRE_EVERY_MS = 3_600_000

export async function openCollector(environment: Environment, settings: Settings): Promise<Collector> {
  const store = await openReadyStore(environment, settings)
  try {
    const spool = await openSpool({ data: environment.data, store, now })
    const app = makeCollector({
      settings,
      spool,
      signer: makeSigner(cookieKey(environment.data, environment.cookieKey)),
      apiKey: environment.apiKey,
      tag: readFileSync(distFile('t.js'), 'utf8'),
      now,
      counts: makeCounts(),
    })
    const expire = () => expireOverdue(store, settings.retentionMs, now()).catch(() => {}) // tried again in an hour; answers filter by time anyway
    const expiring = setInterval(expire, EXPIRE_EVERY_MS)
    expire()
    expiring.unref()
    return {
      app,
      spool,
      store,
      async close(withinMs) {
        clearInterval(expiring)
        await spool.close(withinMs)
        await store.close()
      },
    }
  } catch (error) {
    await store.close()
    throw error
  }
}
