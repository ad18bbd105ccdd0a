// The only place where clients are made: the environment and the configuration become the parts that commands use.

import { randomUUID } from 'node:crypto'
import { mkdirSync, readFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { openPlaces, trustedProxies } from './collect/address.ts'
import type { CollectorParts } from './collect/answer.ts'
import { makeCollector } from './collect/collector.ts'
import { makeCounts } from './collect/counts.ts'
import { followKnownOrders } from './collect/known-orders.ts'
import { makeRecentRefusals } from './collect/opt-out.ts'
import { makeOrders } from './collect/orders.ts'
import { makeRateLimiter } from './collect/rate-limit.ts'
import { policyInTag } from './collect/tag.ts'
import { causeOf, MadeleineError, messageOf } from './core/errors.ts'
import { log } from './core/log.ts'
import { applyDurability, applyRetention, expireOverdue, migrate } from './engine/migrate.ts'
import { distFile, packageVersion } from './engine/package-files.ts'
import { watchReach } from './engine/reach.ts'
import { openStore, type Store } from './engine/store.ts'
import { makeSigner } from './identity/cookie.ts'
import { cookieKeys, linkKey, syncKey, tombstoneKey } from './identity/key.ts'
import { shareTombstones, type TombstoneShare } from './identity/share.ts'
import { makeTombstones, type Tombstones } from './identity/tombstones.ts'
import { startMonitor } from './insight/monitor.ts'
import { type BuildResult, buildAudiences, chooseAudiences } from './membership/build.ts'
import { makeLeader, refuseBesideLeader } from './membership/leader.ts'
import { audiencesOf, readImportedLists } from './membership/lists.ts'
import { type BuildRequest, buildOnce, refreshThroughServer, waitForSegmenter } from './membership/office.ts'
import type { SegmenterReport } from './membership/report.ts'
import { type Audiences, makeSegmenter } from './membership/segmenter.ts'
import { startThread } from './membership/thread.ts'
import type { Environment } from './settings/environment.ts'
import { loadSettings, type Settings } from './settings/load.ts'
import { watchSettings } from './settings/watch.ts'
import { askOwner } from './spool/claim.ts'
import { openSpool, type Spool, shipSpool } from './spool/spool.ts'
import { makePartners } from './sync/partners.ts'
import { addSyncRoutes } from './sync/routes.ts'

export const now = (): number => Date.now()

function openDataStore(environment: Environment): Store {
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

/** What `build` does: through the running server of the directory, or here. */
export function build(
  environment: Environment,
  settings: Settings,
  asked: { readonly ids: readonly string[]; readonly full: boolean },
  onShare: (share: number) => void,
): Promise<BuildResult> {
  const { retentionMs, memoryBytes, budgetSeconds } = settings
  return withEvents(environment, (store) =>
    buildOnce(environment.data, { ...asked, config: environment.config }, async () => {
      if (environment.clickhouseUrl !== undefined) await refuseBesideLeader(store)
      const { known, usual } = audiencesOf(settings, await readImportedLists(store))
      const audiences = chooseAudiences(known, asked.ids, usual)
      const built = await buildAudiences(store, {
        known,
        audiences,
        full: asked.full,
        retentionMs,
        now,
        limits: { memoryBytes },
        budgetSeconds,
        onShare,
      })
      await expireUnlessServed(environment, store, retentionMs) // a directory that only commands open has no server to do it
      return built
    }),
  )
}

/** As `withEvents`, with memberships that know of them where a server keeps them; without one they are those of the last build. */
export function withMembers<T>(environment: Environment, work: (store: Store, isServed: boolean) => Promise<T>): Promise<T> {
  return withEvents(environment, async (store) => {
    const isServed = await refreshThroughServer(environment.data)
    return work(store, isServed)
  })
}

export type Collector = {
  handle(request: IncomingMessage, response: ServerResponse): void
  readonly spool: Spool
  readonly store: Store
  /** From now on it says that it is not ready, and answers all the same. */
  stopping(): void
  close(withinMs: number): Promise<void>
}

/** Refreshes memberships until it is told to stop: in a thread of its own, so that the collector answers meanwhile. */
export async function openSegmenter(
  environment: Environment,
  signal: AbortSignal,
  report: (report: SegmenterReport) => void,
): Promise<void> {
  const settings = loadSettings(environment.config, process.env)
  const watched = watchSettings(environment.config, settings, process.env)
  const store = openDataStore(environment)
  let isPrepared = false
  const audiences = async (): Promise<Audiences> => {
    if (!isPrepared) await migrate(store)
    isPrepared = true
    const current = watched.current()
    return { ...audiencesOf(current, await readImportedLists(store)), retentionMs: current.retentionMs }
  }
  const { memoryBytes, budgetSeconds } = settings
  // The embedded engine has one owner, which the office is about.
  const leader = environment.clickhouseUrl === undefined ? undefined : makeLeader(store, randomUUID())
  const segmenter = makeSegmenter({ store, audiences, limits: { memoryBytes }, budgetSeconds, now, leader, report })
  async function onCommand(path: string, body: string): Promise<string> {
    if (path === '/refresh') {
      // A first build may take minutes: whoever asks then is answered with what there is.
      await Promise.race([segmenter.tick(), delay(REFRESH_MAX_MS, undefined, { ref: false })])
      return ''
    }
    if (path !== '/build') throw new MadeleineError('usage', `the server knows no ${path}`)
    const { ids, full, config } = JSON.parse(body) as BuildRequest
    if (config !== environment.config)
      throw new MadeleineError('usage', `it runs with another configuration: ${environment.config}`)
    const { known, usual, retentionMs } = await audiences()
    return JSON.stringify(await segmenter.build({ known, audiences: chooseAudiences(known, ids, usual), full, retentionMs }))
  }
  try {
    const claim = await waitForSegmenter(environment.data, onCommand, signal) // a command may still be building
    try {
      await segmenter.run(TICK_EVERY_MS, signal)
    } finally {
      await claim.release()
    }
  } finally {
    await store.close()
  }
}

const EXPIRE_EVERY_MS = 3_600_000
const TICK_EVERY_MS = 1_000
const REFRESH_MAX_MS = 15_000
/** A stop has 10 seconds, most of them for the spool. */
const SEGMENTER_CLOSE_MS = 1_000

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

/**
 * Claims the directory first: whoever is refused has changed nothing. A ClickHouse server that is away does not keep the collector from starting: events
 * wait in the spool until it is back.
 */
export async function openCollector(environment: Environment, settings: Settings): Promise<Collector> {
  const { store, reach } = watchReach(openDataStore(environment), now)
  let isPrepared = false
  const prepare = async (): Promise<void> => {
    if (isPrepared) return
    await migrate(store)
    await applyDurability(store, settings.spool.sync !== 'never')
    isPrepared = true
  }
  let spool: Spool | undefined
  let share: TombstoneShare | undefined
  const watching: { close(): void }[] = []
  const orders = makeOrders(settings.retentionMs)
  // Read before anything is opened: a database that cannot be read is a mistake to be told at once.
  const trusted = trustedProxies(settings.trustedProxies)
  const locate = openPlaces(settings.geoDatabase, trusted)
  try {
    spool = await openSpool({ data: environment.data, store, now, prepare, onLeftOrder: orders.remember, ...settings.spool })
    await prepare().catch((error: unknown) => {
      if (environment.clickhouseUrl === undefined || !(error instanceof MadeleineError && error.code === 'store_unreachable'))
        throw error
      log.warn('ClickHouse does not answer: events wait in the spool until it does')
    })
    const opened = spool
    const tombstones = makeTombstones(tombstoneKey(environment.data, environment.tombstoneKey))
    const shared = shareTombstones({ tombstones, store, redisUrl: environment.redisUrl, now })
    share = shared
    if (isPrepared)
      await shared.load().catch((error: unknown) => log.warn({ cause: causeOf(error) }, 'opt-outs cannot be read yet'))
    tombstones.load(opened.leftTombstones, now())
    const knownOrders = followKnownOrders({ orders, store, retentionMs: settings.retentionMs, now })
    watching.push(knownOrders)
    if (isPrepared) await knownOrders.first()
    let keys = cookieKeys(environment.data, environment.cookieKeys, now())
    const counts = makeCounts()
    const watched = { counts, tombstones, orders, spool, store, reach, now, data: environment.data, version: packageVersion() }
    const monitor = startMonitor({ ...watched, sources: settings.sources.values() })
    watching.push(monitor)
    const syncing = {
      partners: makePartners(settings.partners),
      consent: settings.consent,
      perPage: settings.syncsPerPage,
      publicUrl: settings.publicUrl,
      key: syncKey(environment.data, environment.syncKey),
    }
    const collectorParts: CollectorParts = {
      settings,
      spool,
      orders,
      signer: makeSigner(() => keys),
      tombstones,
      recentRefusals: makeRecentRefusals(),
      shareTombstones: shared.tell,
      locate,
      limiter: makeRateLimiter(settings.rateLimits, trusted, () => performance.now()),
      apiKey: environment.apiKey,
      linkKey: linkKey(environment.data, environment.linkKey),
      tag: policyInTag(readFileSync(distFile('t.js'), 'utf8'), settings),
      now,
      counts,
      metrics: monitor.metrics,
      readiness: monitor.readiness,
    }
    const handle = makeCollector(collectorParts, (app) => addSyncRoutes(app, collectorParts, syncing))
    const expireAll = async (): Promise<void> => {
      try {
        opened.expireAside(now() - settings.retentionMs)
      } catch (error) {
        log.warn({ err: messageOf(error) }, 'what was set aside could not be expired and will be tried again')
      }
      try {
        keys = cookieKeys(environment.data, environment.cookieKeys, now())
      } catch (error) {
        log.warn({ err: messageOf(error) }, 'cookie keys could not be turned: the ones there are go on')
      }
      await expire(store, settings.retentionMs)
    }
    const expiring = setInterval(expireAll, EXPIRE_EVERY_MS)
    expiring.unref()
    const segmenter = startThread(distFile('segmenter-thread.js'), environment, monitor.onReport)
    if (isPrepared) void expireAll() // beside the collecting: a large partition takes minutes to rewrite
    return {
      handle,
      spool: opened,
      store,
      stopping: monitor.stopping,
      async close(withinMs) {
        clearInterval(expiring)
        for (const watcher of watching) watcher.close()
        const stopped = segmenter.stop(SEGMENTER_CLOSE_MS) // beside the shipping, which needs the engine
        await shared.close()
        await opened.close(withinMs)
        await stopped
        await store.close()
      },
    }
  } catch (error) {
    for (const watcher of watching) watcher.close()
    await share?.close()
    await spool?.close(0)
    await store.close()
    throw error
  }
}
