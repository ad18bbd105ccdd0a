// What the collector and its spool tell of themselves. Labels are closed lists, or sources of the configuration.

import type { Registry } from 'prom-client'
import { addCounter, addGauge, type Labels } from '../core/metrics.ts'
import type { Tally } from '../core/tally.ts'
import type { SpoolCounts } from '../spool/spool.ts'
import type { CollectCounts } from './counts.ts'
import type { Silence } from './silence.ts'

function* labelled(tally: Tally, label: (text: string) => Labels): Generator<[Labels, number]> {
  for (const [text, n] of tally.entries()) yield [label(text), n]
}

export type CollectorNumbers = {
  readonly counts: CollectCounts
  readonly tombstones: { readonly size: number }
  readonly orders: { readonly size: number }
  readonly silence: Silence
}

export function addCollectorMetrics(registry: Registry, { counts, tombstones, orders, silence }: CollectorNumbers): void {
  addCounter(registry, { name: 'madeleine_requests_total', help: 'Requests by route', labels: ['route'] }, () =>
    labelled(counts.requests, (route) => ({ route })),
  )
  const accepted = { name: 'madeleine_events_accepted_total', help: 'Events made durable, by source', labels: ['source'] }
  addCounter(registry, accepted, () => labelled(counts.accepted, (source) => ({ source })))
  const dropped = {
    name: 'madeleine_events_dropped_total',
    help: 'Events not kept, by reason, and by field where one is invalid',
    labels: ['reason', 'field'],
  }
  addCounter(registry, dropped, () =>
    labelled(counts.dropped, (text) => {
      const [reason = '', field = ''] = text.split(':')
      return { reason, field }
    }),
  )
  addCounter(
    registry,
    { name: 'madeleine_sync_total', help: 'Syncs of ids with partners, by partner and outcome', labels: ['partner', 'outcome'] },
    () =>
      labelled(counts.syncs, (text) => {
        const [partner = '', outcome = ''] = text.split(':')
        return { partner, outcome }
      }),
  )
  const plain: [name: string, help: string, read: () => number][] = [
    ['parameters_ignored', 'Event parameters that nobody knows, ignored', () => counts.ignoredParameters],
    ['cookies_replaced', 'Visitor cookies that did not carry our signature', () => counts.foreignCookies],
    ['pixels_asked_again', 'Pixels sent round once, to see which cookies the browser keeps', () => counts.askedAgain],
    ['hits_refused', 'Requests answered that their events could not be made durable, to be sent again', () => counts.refused],
  ]
  for (const [name, help, read] of plain) addCounter(registry, { name: `madeleine_${name}_total`, help }, read)
  addGauge(registry, { name: 'madeleine_opted_out_ids', help: 'Ids known to have opted out' }, () => tombstones.size)
  addGauge(registry, { name: 'madeleine_orders_known', help: 'Orders that would not convert again' }, () => orders.size)
  const silent = {
    name: 'madeleine_source_silent',
    help: 'Whether a source from which events came in has sent none for `silent_after`',
    labels: ['source'],
  }
  addGauge(registry, silent, () => silence.sources().map(({ source, isSilent }) => [{ source }, Number(isSilent)] as const))
  const last = {
    name: 'madeleine_source_last_event_timestamp_seconds',
    help: 'When the last event of a source was accepted',
    labels: ['source'],
  }
  addGauge(registry, last, () =>
    silence.sources().flatMap(({ source, lastMs }) => (lastMs === undefined ? [] : [[{ source }, lastMs / 1_000] as const])),
  )
}

export function addSpoolMetrics(registry: Registry, spool: { readonly counts: SpoolCounts }): void {
  const files = { name: 'madeleine_spool_files_shipped_total', help: 'Spool files stored in ClickHouse' }
  addCounter(registry, files, () => spool.counts.filesShipped)
  addCounter(
    registry,
    { name: 'madeleine_spool_rows_shipped_total', help: 'Events stored in ClickHouse' },
    () => spool.counts.rowsShipped,
  )
  addCounter(registry, { name: 'madeleine_spool_failures_total', help: 'Tries to ship that failed' }, () => spool.counts.failures)
  const waiting = { name: 'madeleine_spool_files_waiting', help: 'Closed spool files not yet stored' }
  addGauge(registry, waiting, () => spool.counts.filesWaiting)
  const bytes = { name: 'madeleine_spool_bytes_waiting', help: 'Bytes acknowledged and not yet stored; see spool.max_size' }
  addGauge(registry, bytes, () => spool.counts.bytesWaiting)
  const oldest = { name: 'madeleine_spool_oldest_seconds', help: 'Age of the oldest spool file not yet stored' }
  addGauge(registry, oldest, () => spool.counts.oldestSeconds)
  const refused = { name: 'madeleine_spool_refused_total', help: 'Appends refused: full, or the disk' }
  addCounter(registry, refused, () => spool.counts.appendsRefused)
  addCounter(
    registry,
    { name: 'madeleine_spool_aside_lines_total', help: 'Lines set aside with a reason' },
    () => spool.counts.linesAside,
  )
}
