// The segmenter's thread: clients and settings of its own, and the office at which commands ask it.

import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { MadeleineError } from '../core/errors.ts'
import { migrate } from '../engine/migrate.ts'
import { chooseAudiences } from '../membership/build.ts'
import { makeLeader } from '../membership/leader.ts'
import { audiencesOf, readKept } from '../membership/lists.ts'
import { type BuildRequest, waitForSegmenter } from '../membership/office.ts'
import type { SegmenterReport } from '../membership/report.ts'
import { type Audiences, makeSegmenter } from '../membership/segmenter.ts'
import type { Environment } from '../settings/environment.ts'
import { loadSettings } from '../settings/load.ts'
import { watchSettings } from '../settings/watch.ts'
import { now, openDataStore } from './store.ts'

const TICK_EVERY_MS = 1_000
const REFRESH_MAX_MS = 15_000

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
    return { ...audiencesOf(current, await readKept(store)), retentionMs: current.retentionMs }
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
