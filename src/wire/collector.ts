// The collector of `serve`, with everything that it is made of.

import { readFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { openPlaces, trustedProxies } from '../collect/address.ts'
import type { CollectorParts } from '../collect/answer.ts'
import { makeCollector } from '../collect/collector.ts'
import { makeCounts } from '../collect/counts.ts'
import { followKnownOrders } from '../collect/known-orders.ts'
import { makeRecentRefusals } from '../collect/opt-out.ts'
import { makeOrders } from '../collect/orders.ts'
import { makeRateLimiter } from '../collect/rate-limit.ts'
import { policyInTag } from '../collect/tag.ts'
import { causeOf, MadeleineError, messageOf } from '../core/errors.ts'
import { log } from '../core/log.ts'
import { applyDurability, migrate } from '../engine/migrate.ts'
import { distFile, packageVersion } from '../engine/package-files.ts'
import { watchReach } from '../engine/reach.ts'
import type { Store } from '../engine/store.ts'
import { makeSigner } from '../identity/cookie.ts'
import { cookieKeys, linkKey, syncKey, tombstoneKey } from '../identity/key.ts'
import { shareTombstones, type TombstoneShare } from '../identity/share.ts'
import { makeTombstones } from '../identity/tombstones.ts'
import { startMonitor } from '../insight/monitor.ts'
import type { TrainingOutcome } from '../lookalike/trainer.ts'
import type { SegmenterReport } from '../membership/report.ts'
import { startThread } from '../membership/thread.ts'
import type { Environment } from '../settings/environment.ts'
import type { Settings } from '../settings/load.ts'
import { openSpool, type Spool } from '../spool/spool.ts'
import { makePartners } from '../sync/partners.ts'
import { addSyncRoutes } from '../sync/routes.ts'
import { expire, now, openDataStore } from './store.ts'

export type Collector = {
  handle(request: IncomingMessage, response: ServerResponse): void
  readonly spool: Spool
  readonly store: Store
  /** From now on it says that it is not ready, and answers all the same. */
  stopping(): void
  close(withinMs: number): Promise<void>
}

const EXPIRE_EVERY_MS = 3_600_000
/** A stop has 10 seconds, most of them for the spool. */
const SEGMENTER_CLOSE_MS = 1_000

/** A server that takes questions and answers none is as good as away. */
const START_PATIENCE_MS = 10_000

async function soon(work: Promise<void>): Promise<void> {
  work.catch(() => {}) // also where it fails after nobody waits for it any more
  const over = new AbortController()
  const late = delay(START_PATIENCE_MS, undefined, { signal: over.signal }).then(() => {
    throw new MadeleineError('store_unreachable', `ClickHouse has not answered for ${START_PATIENCE_MS / 1_000} s`, {
      retry: true,
    })
  })
  try {
    await Promise.race([work, late])
  } finally {
    over.abort()
    late.catch(() => {})
  }
}

/**
 * Claims the directory first: whoever is refused has changed nothing. A ClickHouse server that is away does not keep the collector from starting: events
 * wait in the spool until it is back.
 */
export async function openCollector(environment: Environment, settings: Settings): Promise<Collector> {
  const { store, reach } = watchReach(openDataStore(environment), now)
  let isPrepared = false
  let preparing: Promise<void> | undefined
  async function prepareNow(): Promise<void> {
    await migrate(store)
    await applyDurability(store, settings.spool.sync !== 'never')
    isPrepared = true
  }
  /** Once, and again where it failed; the shipper asks for it too. */
  const prepare = async (): Promise<void> => {
    if (isPrepared) return
    preparing ??= prepareNow().finally(() => {
      preparing = undefined
    })
    await preparing
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
    const isServer = environment.clickhouseUrl !== undefined
    await (isServer ? soon(prepare()) : prepare()).catch((error: unknown) => {
      if (!isServer || !(error instanceof MadeleineError && error.code === 'store_unreachable')) throw error
      log.warn('ClickHouse does not answer: events wait in the spool until it does')
    })
    const opened = spool
    const tombstones = makeTombstones(tombstoneKey(environment.data, environment.tombstoneKey))
    const shared = shareTombstones({ tombstones, store, redisUrl: environment.redisUrl, now })
    share = shared
    if (isPrepared)
      await soon(shared.load()).catch((error: unknown) => log.warn({ cause: causeOf(error) }, 'opt-outs cannot be read yet'))
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
    const segmenter = startThread<SegmenterReport>('segmenter', environment, monitor.onReport)
    const trainer = startThread<TrainingOutcome>('trainer', environment, monitor.onTraining)
    if (isPrepared) void expireAll() // beside the collecting: a large partition takes minutes to rewrite
    return {
      handle,
      spool: opened,
      store,
      stopping: monitor.stopping,
      async close(withinMs) {
        clearInterval(expiring)
        for (const watcher of watching) watcher.close()
        const stopped = Promise.all([segmenter.stop(SEGMENTER_CLOSE_MS), trainer.stop(SEGMENTER_CLOSE_MS)]) // beside the shipping, which needs the engine
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
