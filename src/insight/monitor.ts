// What an operator is told of a running server: metrics of every stage, whether it is ready, and which sources have gone silent.

import { collectDefaultMetrics, Registry } from 'prom-client'
import type { CollectCounts } from '../collect/counts.ts'
import { addCollectorMetrics, addSpoolMetrics, type CollectorNumbers } from '../collect/metrics.ts'
import { type Readiness, readinessOf } from '../collect/ready.ts'
import { type Listened, makeSilence, readLastHeard } from '../collect/silence.ts'
import { DAY_MS } from '../core/duration.ts'
import { causeOf } from '../core/errors.ts'
import { log } from '../core/log.ts'
import { addCounter, addGauge } from '../core/metrics.ts'
import type { Reach } from '../engine/reach.ts'
import type { Store } from '../engine/store.ts'
import { TRAINING_OUTCOMES, type TrainingOutcome } from '../lookalike/trainer.ts'
import { newStatus, reported, type SegmenterReport, type SegmenterStatus } from '../membership/report.ts'
import { makeProbe } from '../spool/probe.ts'
import type { Spool } from '../spool/spool.ts'

export type Monitor = {
  metrics(): Promise<string>
  readiness(): Promise<Readiness>
  /** From the segmenter's thread. */
  onReport(report: SegmenterReport): void
  /** From the trainer's. */
  onTraining(outcome: TrainingOutcome): void
  /** From now on it is not ready. */
  stopping(): void
  close(): void
}

const LISTEN_EVERY_MS = 5_000
/** After a refusal of the spool no event is asked to try; so long it is taken to go on. */
const REFUSING_MS = 5_000

export type MonitorOptions = Omit<CollectorNumbers, 'silence' | 'counts'> & {
  readonly counts: CollectCounts
  readonly sources: Iterable<Listened>
  readonly data: string
  readonly spool: Pick<Spool, 'counts' | 'refusal'>
  readonly store: Store
  readonly reach: Reach
  readonly version: string
  readonly now: () => number
}

export function startMonitor(options: MonitorOptions): Monitor {
  const { counts, data, spool, store, reach, version, now } = options
  const sources = [...options.sources]
  const silence = makeSilence(sources, counts.lastEventMs, now)
  const probe = makeProbe(data, () => performance.now())
  let segmenter = newStatus(now())
  let isStopping = false

  const registry = new Registry()
  collectDefaultMetrics({ register: registry, prefix: 'madeleine_' })
  addCollectorMetrics(registry, { ...options, silence })
  addSpoolMetrics(registry, spool)
  addStoreMetrics(registry, reach, now)
  addSegmenterMetrics(registry, () => segmenter, now)
  const trainings = new Map<TrainingOutcome, number>(TRAINING_OUTCOMES.map((outcome) => [outcome, 0]))
  const counted = {
    name: 'madeleine_lookalike_trainings_total',
    help: 'Trainings of lookalikes, by what came of them',
    labels: ['outcome'],
  }
  addCounter(registry, counted, () => [...trainings].map(([outcome, n]) => [{ outcome }, n] as const))
  const build = { name: 'madeleine_build_info', help: 'What is running', labels: ['version', 'node'] }
  addGauge(registry, build, () => [[{ version, node: process.version }, 1]])

  /** What was heard before the start; asked again until the store has answered. */
  const sinceMs = now() - 2 * Math.max(DAY_MS, ...sources.map(({ silentAfterMs }) => silentAfterMs))
  let isRead = false
  async function listen(): Promise<void> {
    try {
      if (!isRead) for (const { source, lastMs } of await readLastHeard(store, sinceMs)) silence.heard(source, lastMs)
      isRead = true
    } catch (error) {
      log.debug({ cause: causeOf(error) }, 'when sources were heard last cannot be read yet')
    }
    silence.tell()
  }
  void listen()
  const listening = setInterval(listen, LISTEN_EVERY_MS)
  listening.unref()

  return {
    metrics: () => registry.metrics(),
    async readiness() {
      const problem = spool.refusal()?.message ?? (await probe())
      const nowMs = now()
      const isRefusing = counts.refusedMs !== undefined && Math.abs(nowMs - counts.refusedMs) < REFUSING_MS
      return readinessOf({
        isStopping,
        spoolProblem: problem ?? (isRefusing ? 'refuses events' : undefined),
        reach,
        segmenter,
        nowMs,
      })
    },
    onReport(report) {
      segmenter = reported(segmenter, report, now())
    },
    onTraining(outcome) {
      trainings.set(outcome, (trainings.get(outcome) ?? 0) + 1)
    },
    stopping() {
      isStopping = true
    },
    close: () => clearInterval(listening),
  }
}

const ageSeconds = (sinceMs: number, nowMs: number): number => Math.max(0, nowMs - sinceMs) / 1_000

function addStoreMetrics(registry: Registry, reach: Reach, now: () => number): void {
  const reachable = { name: 'madeleine_store_reachable', help: 'Whether ClickHouse answers' }
  addGauge(registry, reachable, () => Number(reach.downSinceMs === undefined && reach.lastSuccessMs !== undefined))
  const age = { name: 'madeleine_store_last_success_age_seconds', help: 'Since ClickHouse answered last; absent before it did' }
  addGauge(registry, age, () => (reach.lastSuccessMs === undefined ? [] : [[{}, ageSeconds(reach.lastSuccessMs, now())]]))
}

function addSegmenterMetrics(registry: Registry, status: () => SegmenterStatus, now: () => number): void {
  const ticks = { name: 'madeleine_segmenter_ticks_total', help: 'Times that memberships were brought up to date' }
  addCounter(registry, ticks, () => status().ticks)
  const failures = { name: 'madeleine_segmenter_failures_total', help: 'Times that they could not be' }
  addCounter(registry, failures, () => status().failures)
  const seconds = { name: 'madeleine_segmenter_last_tick_seconds', help: 'How long the last tick took' }
  addGauge(registry, seconds, () => status().lastTickSeconds)
  const age = {
    name: 'madeleine_segmenter_sign_age_seconds',
    help: 'Since the segmenter has finished a tick, or came further with a build',
  }
  addGauge(registry, age, () => ageSeconds(status().lastSignMs, now()))
  const audiences = {
    name: 'madeleine_audiences',
    help: 'Audiences by state, where this server refreshes them',
    labels: ['state'],
  }
  addGauge(registry, audiences, () => Object.entries(status().audiences ?? {}).map(([state, n]) => [{ state }, n] as const))
}
