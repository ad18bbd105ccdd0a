// The store as commands open it: the environment becomes a client, with what the spool held shipped into it.

import { mkdirSync } from 'node:fs'
import { causeOf, MadeleineError, messageOf } from '../core/errors.ts'
import { log } from '../core/log.ts'
import { applyRetention, expireOverdue, migrate } from '../engine/migrate.ts'
import { openStore, type Store } from '../engine/store.ts'
import { tombstoneKey } from '../identity/key.ts'
import { shareTombstones } from '../identity/share.ts'
import { makeTombstones, type Tombstones } from '../identity/tombstones.ts'
import { refreshThroughServer } from '../membership/office.ts'
import type { Environment } from '../settings/environment.ts'
import { askOwner } from '../spool/claim.ts'
import { shipSpool } from '../spool/spool.ts'

export const now = (): number => Date.now()

export function openDataStore(environment: Environment): Store {
  try {
    mkdirSync(environment.data, { recursive: true })
  } catch (error) {
    throw new MadeleineError('usage', `the data directory cannot be made: ${messageOf(error)}`, {
      hint: 'set MADELEINE_DATA or --data',
    })
  }
  return openStore({ url: environment.clickhouseUrl, directory: environment.data })
}

/** Migrated. Retention is not touched here: only the owner of the data decides what is erased. */
export async function openReadyStore(environment: Environment): Promise<Store> {
  const store = openDataStore(environment)
  try {
    await migrate(store)
    return store
  } catch (error) {
    await store.close()
    throw error
  }
}

/** Runs `work` on the store with everything that the spool held shipped into it. */
export async function withEvents<T>(environment: Environment, work: (store: Store) => Promise<T>): Promise<T> {
  const store = await openReadyStore(environment)
  try {
    await shipSpool(environment.data, store, now)
    return await work(store)
  } finally {
    await store.close()
  }
}

/** For a command, which hears of opt-outs from the store alone. */
export async function readTombstones(environment: Environment, store: Store): Promise<Tombstones> {
  const tombstones = makeTombstones(tombstoneKey(environment.data, environment.tombstoneKey))
  const share = shareTombstones({ tombstones, store, redisUrl: undefined, now })
  await share.load()
  await share.close()
  return tombstones
}

/** As `withEvents`, with memberships that know of them where a server keeps them; without one they are those of the last build. */
export function withMembers<T>(environment: Environment, work: (store: Store, isServed: boolean) => Promise<T>): Promise<T> {
  return withEvents(environment, async (store) => {
    const isServed = await refreshThroughServer(environment.data)
    return work(store, isServed)
  })
}

/** What retention has ended for is erased. A failure is told and tried again later: answers filter by time anyway. */
export async function expire(store: Store, retentionMs: number): Promise<void> {
  try {
    await applyRetention(store, retentionMs)
    await expireOverdue(store, retentionMs, now())
  } catch (error) {
    log.warn({ cause: causeOf(error) }, 'expiry failed and will be tried again')
  }
}

/** For a command: where a server runs on the directory, it expires by its own settings. */
export async function expireUnlessServed(environment: Environment, store: Store, retentionMs: number): Promise<void> {
  if (!(await askOwner(environment.data))) await expire(store, retentionMs)
}
