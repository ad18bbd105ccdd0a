import { reportFields } from '../insight/fields.ts'
import { readUncontested } from '../membership/contest.ts'
import { now, withEvents } from '../wire/store.ts'
import { type Flags, readContext } from './context.ts'
import { type Outcome, table } from './output.ts'

const VALUES_IN_TEXT = 5

/** `report fields`: what comes in, how often, and what no rule uses. */
export async function reportFieldsCommand(flags: Flags): Promise<Outcome> {
  const { environment, settings } = readContext(flags)
  const { retentionMs, minimumReport, segments } = settings
  const rules = [...segments.values()].map(({ rule }) => rule)
  const report = await withEvents(environment, async (store) => {
    const nowMs = now()
    const isUncontested = await readUncontested(store, { atMs: nowMs, nowMs, retentionMs }, 'report')
    return reportFields(store, { rules, retentionMs, minimumReport, isUncontested, nowMs })
  })
  const rows = report.fields.map(({ field, events, visitors, distinct, used, values }) => [
    field,
    events,
    visitors,
    distinct ?? '',
    used ? 'yes' : 'no',
    values
      .slice(0, VALUES_IN_TEXT)
      .map(({ value, events: n, used: isNamed }) => `${value} (${n}${isNamed ? ', used' : ''})`)
      .join(', '),
  ])
  const head = ['field', 'events', 'visitors', 'values', 'used', 'most frequent']
  return { json: report, text: `${table(head, rows)}\n${report.events} events of ${report.visitors} visitors` }
}
