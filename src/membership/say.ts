// What a tick says of the audiences in their log.

import { DAY_MS } from '../core/duration.ts'
import type { AudienceId } from '../core/ids.ts'
import type { Outcome } from './carry-out.ts'
import { type Cost, shareOf } from './costs.ts'
import { isCurrent, type Logged, type LogRow, ruleText } from './log.ts'
import type { Audience } from './pass.ts'
import { isMaintained, type State } from './state.ts'
import type { RefreshOptions, Work } from './work.ts'

/** The log forgets what was said long ago: it is said again. */
const SAID_AGAIN_MS = 30 * DAY_MS

export type Done = {
  readonly before: State
  readonly work: Work
  readonly options: RefreshOptions
  readonly versions: ReadonlyMap<AudienceId, number>
  readonly outcomes: ReadonlyMap<AudienceId, Outcome>
  readonly sizes: ReadonlyMap<AudienceId, number>
  readonly resized: ReadonlySet<AudienceId>
}

/** Rows for the log, and what the audiences that were evaluated have cost. */
export function sayings({ before, work, options, versions, outcomes, sizes, resized }: Done) {
  const { moment, tick, maintained, evaluated, keys } = work
  const { log: logged } = before
  const rows: LogRow[] = []
  const say = (id: AudienceId, what: Logged['what'], more: Partial<LogRow>) =>
    rows.push({
      audience: id,
      tick,
      atMs: moment.atMs,
      what,
      version: versions.get(id) ?? logged.get(id)?.version ?? 0,
      key: keys.get(id) ?? logged.get(id)?.key ?? '',
      size: sizes.get(id) ?? 0,
      detail: '',
      rule: '',
      rows: 0,
      bytes: 0,
      seconds: 0,
      ...more,
    })
  const costs = new Map<AudienceId, Cost>()
  for (const { id, rule } of evaluated) {
    const { cost, detail, together = [] } = outcomes.get(id) ?? {}
    if (detail !== undefined) {
      say(id, 'failed', { detail })
      continue
    }
    const own = cost && shareOf(cost, { id, rule }, together)
    if (own) costs.set(id, own)
    const isNew = !isMaintained(logged.get(id), keys.get(id) ?? '')
    say(id, 'built', { ...own, rule: isNew ? ruleText(rule) : '' })
  }
  for (const [id, detail] of work.refused) say(id, 'failed', { detail })
  const known = new Set(options.known.map(({ id }) => id))
  const done = new Set([...maintained.map(({ id }) => id), ...evaluated.map(({ id }) => id), ...work.refused.keys()])
  const torn = new Set(before.left.logged)
  for (const id of new Set([...logged.keys(), ...torn])) {
    const was = logged.get(id)
    const as = { key: was?.key ?? '', version: was?.version ?? 0 }
    if (!known.has(id) && (was?.what !== 'deleted' || torn.has(id))) say(id, 'deleted', as)
    else if (known.has(id) && !done.has(id) && (isCurrent(was) || torn.has(id))) say(id, 'stale', as)
  }
  const isDue = ({ id }: Audience) => torn.has(id) || moment.atMs - (logged.get(id)?.tick ?? 0) > SAID_AGAIN_MS
  // All sizes that have changed are said together (state.ts).
  if (options.checkpoint || maintained.some(isDue))
    for (const audience of maintained) if (isDue(audience) || resized.has(audience.id)) say(audience.id, 'size', {})
  return { rows, costs }
}
