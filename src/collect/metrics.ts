// The counters as Prometheus text.

import { Counter, Gauge, Registry } from 'prom-client'
import type { Tally } from '../core/tally.ts'
import type { SpoolCounts } from '../spool/spool.ts'
import type { CollectCounts } from './counts.ts'

function counter(
  registry: Registry,
  name: string,
  help: string,
  labels: string[],
  values: Iterable<[Record<string, string>, number]>,
): void {
  const metric = new Counter({ name, help, labelNames: labels, registers: [registry] })
  for (const [label, value] of values) metric.inc(label, value)
}

function* labelled(tally: Tally, label: (text: string) => Record<string, string>): Generator<[Record<string, string>, number]> {
  for (const [text, n] of tally.entries()) yield [label(text), n]
}

export function metricsText(counts: CollectCounts, shipped: SpoolCounts, tombstones: number): Promise<string> {
  const registry = new Registry()
  counter(
    registry,
    'madeleine_requests_total',
    'Requests by route',
    ['route'],
    labelled(counts.requests, (route) => ({ route })),
  )
  counter(
    registry,
    'madeleine_events_accepted_total',
    'Events made durable, by source',
    ['source'],
    labelled(counts.accepted, (source) => ({ source })),
  )
  counter(
    registry,
    'madeleine_events_dropped_total',
    'Events not kept, by reason, and by field where one is invalid',
    ['reason', 'field'],
    labelled(counts.dropped, (text) => {
      const [reason = '', field = ''] = text.split(':')
      return { reason, field }
    }),
  )
  counter(
    registry,
    'madeleine_parameters_ignored_total',
    'Event parameters that nobody knows, ignored',
    [],
    [[{}, counts.ignoredParameters]],
  )
  counter(
    registry,
    'madeleine_cookies_replaced_total',
    'Visitor cookies that did not carry our signature',
    [],
    [[{}, counts.foreignCookies]],
  )
  counter(
    registry,
    'madeleine_pixels_asked_again_total',
    'Pixels sent round once, to see which cookies the browser keeps',
    [],
    [[{}, counts.askedAgain]],
  )
  counter(registry, 'madeleine_spool_files_shipped_total', 'Spool files stored in ClickHouse', [], [[{}, shipped.filesShipped]])
  counter(registry, 'madeleine_spool_rows_shipped_total', 'Events stored in ClickHouse', [], [[{}, shipped.rowsShipped]])
  counter(registry, 'madeleine_spool_failures_total', 'Tries to ship that failed', [], [[{}, shipped.failures]])
  new Gauge({ name: 'madeleine_spool_files_waiting', help: 'Closed spool files not yet stored', registers: [registry] }).set(
    shipped.filesWaiting,
  )
  const gauge = (name: string, help: string, value: number) => new Gauge({ name, help, registers: [registry] }).set(value)
  gauge('madeleine_spool_bytes_waiting', 'Bytes acknowledged and not yet stored; see spool.max_size', shipped.bytesWaiting)
  gauge('madeleine_spool_oldest_seconds', 'Age of the oldest spool file not yet stored', shipped.oldestSeconds)
  counter(registry, 'madeleine_spool_refused_total', 'Appends refused: full, or the disk', [], [[{}, shipped.appendsRefused]])
  counter(registry, 'madeleine_spool_aside_lines_total', 'Lines set aside with a reason', [], [[{}, shipped.linesAside]])
  new Gauge({ name: 'madeleine_opted_out_ids', help: 'Ids known to have opted out', registers: [registry] }).set(tombstones)
  return registry.metrics()
}
