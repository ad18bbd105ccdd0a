// An event as the line that ClickHouse reads (JSONEachRow): only what is there, so lines stay short and columns may be added later.

import type { ConsentSignal } from '../consent/standing.ts'
import { decimalText } from '../core/decimal.ts'
import type { Event } from '../event/event.ts'
import type { Order } from '../event/order.ts'
import type { Match } from '../identity/matches.ts'
import type { Tombstone } from '../identity/tombstones.ts'
import type { Batch, Note } from './names.ts'

export const EVENT_COLUMNS =
  'batch, ts, visitor, event, source, scope, permissions, receivers, origin, path, host, referrer_host, category, keyword, attr, device, browser, os, country, region, language, campaign, creative, placement, order_id, currency, value, cost, dwell_ms'

/** Where the notes go: `table (columns)`. */
export const NOTE_TABLES: Record<Note, string> = {
  signals: 'madeleine.consent_signals (batch, ts, visitor, source, permissions, receivers)',
  tombstones: 'madeleine.tombstones (batch, hash, day, opted_out)',
  matches: 'madeleine.matches (batch, ts, visitor, partner, partner_id)',
}

const TEXTS = [
  'origin',
  'path',
  'host',
  'referrer_host',
  'device',
  'browser',
  'os',
  'country',
  'region',
  'language',
  'campaign',
  'creative',
  'placement',
  'order_id',
  'currency',
] as const

/** How every line of a batch begins. */
export const batchPrefix = (batch: Batch): string => `{"batch":"${batch}",`

/** What needs no escaping and is ASCII, which is nearly everything, is quoted as it is: JSON.stringify costs three times the look. */
const PLAIN = /^[ !#-[\]-~]*$/
const quoted = (text: string): string => (PLAIN.test(text) ? `"${text}"` : JSON.stringify(text))

/** The line without its batch, which is known only when a file takes it, and without `received`, which the engine says. */
export function eventLine(event: Event): string {
  // Names, ids and numbers need no escaping: their parsers let nothing through that would.
  let line = `"ts":${event.ts},"visitor":"${event.visitor}","event":"${event.event}","source":"${event.source}","permissions":${event.permissions}`
  if (event.scope !== 'global') line += `,"scope":"${event.scope}"`
  if (event.receivers.length > 0) line += `,"receivers":[${event.receivers.join(',')}]`
  for (const field of TEXTS) if (event[field] !== '') line += `,"${field}":${quoted(event[field])}`
  if (event.category.length > 0) line += `,"category":${JSON.stringify(event.category)}`
  if (event.keyword.length > 0) line += `,"keyword":${JSON.stringify(event.keyword)}`
  if (event.value !== null) line += `,"value":${decimalText(event.value)}`
  if (event.cost !== null) line += `,"cost":${decimalText(event.cost)}`
  if (event.dwell_ms !== null) line += `,"dwell_ms":${decimalText(event.dwell_ms)}`
  for (const _ in event.attr) {
    line += `,"attr":${JSON.stringify(event.attr)}`
    break
  }
  return line
}

export const signalLine = ({ tsMs, visitor, source, permissions, receivers }: ConsentSignal): string =>
  `"ts":${tsMs},"visitor":"${visitor}","source":"${source}","permissions":${permissions},"receivers":[${receivers.join(',')}]`

export const tombstoneLine = ({ hash, day, isOptedOut }: Tombstone): string =>
  `"hash":"${hash}","day":"${day}","opted_out":${isOptedOut ? 1 : 0}`

export const matchLine = ({ tsMs, visitor, partner, partnerId }: Match): string =>
  `"ts":${tsMs},"visitor":"${visitor}","partner":"${partner}","partner_id":${JSON.stringify(partnerId)}`

/** Undefined where the line is damaged: the shipper sets it aside with its reason. */
export function parseTombstoneLine(line: string): Tombstone | undefined {
  try {
    const { hash, day, opted_out } = JSON.parse(line) as Record<string, unknown>
    return typeof hash === 'string' && typeof day === 'string' ? { hash, day, isOptedOut: opted_out === 1 } : undefined
  } catch {
    return undefined
  }
}

const CONVERSION = '"event":"conversion"'

/** The order of a line, where it is a conversion that names one. A damaged line names none: the shipper sets it aside. */
export function parseOrderLine(line: string): Order | undefined {
  if (!line.includes(CONVERSION)) return undefined
  try {
    const { event, source, order_id = '', ts } = JSON.parse(line) as Record<string, unknown>
    return event === 'conversion' &&
      typeof source === 'string' &&
      typeof order_id === 'string' &&
      order_id !== '' &&
      typeof ts === 'number'
      ? { source, orderId: order_id, tsMs: ts }
      : undefined
  } catch {
    return undefined
  }
}

export const lineInBatch = (line: string, batch: Batch): string => `${batchPrefix(batch)}${line}}\n`
