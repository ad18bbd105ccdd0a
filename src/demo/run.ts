// The whole job on the sample traffic: sent through the pixel, stored, built, exported, and counted at each step.

import { type DestinationDelivery, exportAudiences } from '../activate/export.ts'
import type { AudienceId } from '../core/ids.ts'
import type { Store } from '../engine/store.ts'
import type { BuildResult } from '../membership/build.ts'
import type { Refreshed } from '../membership/refresh.ts'
import type { ResolvedRule } from '../rules/rule.ts'
import type { Settings } from '../settings/load.ts'
import type { Spool } from '../spool/spool.ts'
import { sendTraffic } from './network.ts'
import { eventsOf, simulateTraffic } from './traffic.ts'

const SEED = 2026
/** About 27,000 events: every audience of the sample configuration is large enough to be sent, and a slow machine is done within a minute. */
const VISITORS = 1_600

export type DemoResult = {
  readonly visitorsSent: number
  readonly visitorsStored: number
  readonly eventsSent: number
  readonly eventsStored: number
  readonly botsSent: number
  readonly botsRefused: number
  readonly botsWithCookie: number
  readonly audiences: readonly Refreshed[]
  readonly destinations: readonly DestinationDelivery[]
  /** What did not come out as it must; empty when all is well. */
  readonly problems: readonly string[]
}

export type DemoSteps = {
  /** Each step as it begins. */
  onStep(what: string): void
  /** Sending begins; what comes back is told of events answered, and of the end. */
  onSending(events: number): { add(events: number): void; done(): void }
}

export type DemoParts = {
  readonly port: number
  readonly apiKey: string
  readonly store: Store
  readonly spool: Pick<Spool, 'ship'>
  readonly settings: Settings
  readonly data: string
  build(ids: readonly string[]): Promise<BuildResult>
  readonly now: () => number
}

type Stored = { readonly events: number; readonly visitors: number }

async function readStored(store: Store, fromMs: number, retentionMs: number): Promise<Stored> {
  const [row] = await store.rows<Stored>({
    owner: 'demo.stored',
    sql: `SELECT count() AS events, uniqExact(visitor) AS visitors FROM madeleine.events
          WHERE ts > fromUnixTimestamp64Milli({oldest:Int64}, 'UTC') AND received >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')`,
    values: { oldest: fromMs - retentionMs, from: fromMs },
  })
  return row ?? { events: 0, visitors: 0 }
}

/** Events the collector did not keep, by reason, as its own metrics say. */
async function readDrops(port: number): Promise<Map<string, number>> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  const drops = new Map<string, number>()
  for (const [, reason = '', n] of text.matchAll(/^madeleine_events_dropped_total\{.*?reason="([a-z_]+)".*?\} (\d+)$/gm))
    drops.set(reason, (drops.get(reason) ?? 0) + Number(n))
  return drops
}

/** What did not come out as it must, as lines for people. */
export function problemsOf(result: Omit<DemoResult, 'problems'>, drops: ReadonlyMap<string, number>): string[] {
  const problems: string[] = []
  const lost = result.eventsSent - result.eventsStored
  const reasons = [...drops].filter(([reason]) => reason !== 'bot').map(([reason, n]) => `${reason} ${n}`)
  if (lost !== 0)
    problems.push(
      `${result.eventsSent} events were sent and ${result.eventsStored} are stored (dropped: ${reasons.join(', ') || 'none'})`,
    )
  if (result.visitorsSent !== result.visitorsStored)
    problems.push(`${result.visitorsSent} visitors sent them and ${result.visitorsStored} are stored`)
  if (result.botsSent !== result.botsRefused)
    problems.push(`bots sent ${result.botsSent} events and ${result.botsRefused} were refused`)
  if (result.botsWithCookie > 0) problems.push(`${result.botsWithCookie} bots were given a cookie`)
  for (const { id, audiences } of result.destinations)
    for (const { audience, failed, reason } of audiences)
      if (failed) problems.push(`${audience} was not sent to ${id}: ${reason}`)
  return problems
}

export async function runDemo(parts: DemoParts, { onStep, onSending }: DemoSteps): Promise<DemoResult> {
  const { port, apiKey, store, spool, settings, data, build, now } = parts
  const { retentionMs } = settings
  const startedMs = now()
  const senders = simulateTraffic({ seed: SEED, nowMs: startedMs, visitors: VISITORS })
  const people = senders.filter(({ kind }) => kind === 'person')
  onStep(`${people.length} people and ${senders.length - people.length} bots visit five sites`)
  const sending = onSending(eventsOf(senders, 'person') + eventsOf(senders, 'bot'))
  const sent = await sendTraffic(senders, { port, apiKey }, (events) => sending.add(events)).finally(() => sending.done())
  onStep('storing what they did in ClickHouse')
  await spool.ship()
  const stored = await readStored(store, startedMs, retentionMs)
  onStep('building the audiences')
  const { audiences } = await build([...settings.segments.keys(), ...settings.lookalikes.keys()])
  onStep('writing the files for the destinations')
  const destinations = await exportAudiences({
    store,
    known: new Map<AudienceId, { readonly rule: ResolvedRule }>([...settings.segments, ...settings.lookalikes]),
    destinations: settings.destinations.filter(({ connector }) => connector === 'file'),
    data,
    retentionMs,
    kind: 'delta',
    dryRun: false,
    now,
  })
  const drops = await readDrops(port)
  const result = {
    visitorsSent: people.length,
    visitorsStored: stored.visitors,
    eventsSent: sent.person,
    eventsStored: stored.events,
    botsSent: sent.bot,
    botsRefused: drops.get('bot') ?? 0,
    botsWithCookie: sent.botsWithCookie,
    audiences,
    destinations,
  }
  return { ...result, problems: problemsOf(result, drops) }
}
