// Events for tests: every field at its missing value unless said otherwise.

import type { ConsentSignal } from '../../src/consent/standing.ts'
import { parseDecimal } from '../../src/core/decimal.ts'
import { parseVisitorId, type VisitorId } from '../../src/core/ids.ts'
import { ALL_PERMISSIONS } from '../../src/core/permissions.ts'
import type { Store } from '../../src/engine/store.ts'
import type { Event } from '../../src/event/event.ts'
import { completeEvent, parseFields } from '../../src/event/fields.ts'
import { partitionOf } from '../../src/spool/names.ts'
import { EVENT_COLUMNS, eventLine, lineInBatch, NOTE_TABLES, signalLine } from '../../src/spool/row.ts'

export function visitorNumber(n: number): VisitorId {
  return parseVisitorId(`${n.toString(16).padStart(8, '0')}-0000-4000-8000-000000000000`) as VisitorId
}

export const decimal = (text: string): bigint => {
  const value = parseDecimal(text)
  if (value === undefined) throw new Error(`no decimal: ${text}`)
  return value
}

export function anEvent(given: Partial<Event>): Event {
  const empty = parseFields({}, { form: 'json', derived: false })
  if (!empty.ok) throw new Error(empty.problem.message)
  const received = {
    ts: 0,
    visitor: visitorNumber(1),
    source: 'news',
    scope: 'global' as const,
    receivers: [],
    permissions: ALL_PERMISSIONS,
  }
  return { ...completeEvent(empty.fields, received), ...given }
}

let lastBatch = BigInt(Date.now()) << 22n

/** Stores events without a spool, a block a partition. */
export async function storeEvents(store: Store, events: readonly Event[]): Promise<void> {
  const blocks = new Map<string, string[]>()
  for (const event of events) {
    const partition = partitionOf(event.ts)
    const lines = blocks.get(partition)
    if (lines) lines.push(eventLine(event))
    else blocks.set(partition, [eventLine(event)])
  }
  for (const lines of blocks.values()) {
    const batch = ++lastBatch
    await store.insertLines({
      owner: 'test.events',
      into: `madeleine.events (${EVENT_COLUMNS})`,
      lines: Buffer.from(lines.map((line) => lineInBatch(line, batch)).join('')),
    })
  }
}

/** Consent signals that came without an event. */
export async function storeSignals(store: Store, signals: readonly ConsentSignal[]): Promise<void> {
  const batch = ++lastBatch
  await store.insertLines({
    owner: 'test.signals',
    into: NOTE_TABLES.signals,
    lines: Buffer.from(signals.map((signal) => lineInBatch(signalLine(signal), batch)).join('')),
  })
}

let lastGeneration = 0

/** An imported list. */
export async function storeList(store: Store, list: string, visitors: readonly VisitorId[]): Promise<void> {
  lastGeneration = Math.max(lastGeneration + 1, Date.now())
  const generation = lastGeneration
  const at = Date.now()
  const rows = (into: string, values: readonly object[]) =>
    store.insertLines({ owner: 'test.list', into, lines: Buffer.from(values.map((row) => `${JSON.stringify(row)}\n`).join('')) })
  const members = visitors.map((visitor) => ({ list, generation, visitor, at }))
  await rows('madeleine.list_members (list, generation, visitor, at)', members)
  await rows('madeleine.list_imports (list, generation, size, at)', [{ list, generation, size: visitors.length, at }])
}
