import { MadeleineError } from '../core/errors.ts'
import { isoOf } from '../core/time.ts'
import { withPreview } from '../lookalike/preview.ts'
import { chooseAudiences, previewBuild } from '../membership/build.ts'
import { audiencesOf, readKept } from '../membership/lists.ts'
import type { Refreshed } from '../membership/refresh.ts'
import { now, withEvents } from '../wire/store.ts'
import { type Flags, readContext } from './context.ts'
import { markdownTable, type Outcome, table } from './output.ts'
import { shareProgress } from './progress.ts'

export type PlanFlags = Flags & { readonly markdown?: boolean; readonly maxShrink?: string; readonly maxGrowth?: string }

function percent(text: string | undefined, flag: string): number | undefined {
  if (text === undefined) return undefined
  const n = Number(text.replace(/%$/, ''))
  if (text === '' || !Number.isFinite(n) || n < 0) throw new MadeleineError('usage', `${flag} ${text}: a percentage, such as 20`)
  return n
}

/** Sentences about audiences that change by more than they may. An audience without members before has nothing to compare with. */
function brokenLimits(audiences: readonly (Refreshed & { readonly was: number })[], flags: PlanFlags): string[] {
  const shrink = percent(flags.maxShrink, '--max-shrink')
  const growth = percent(flags.maxGrowth, '--max-growth')
  return audiences.flatMap(({ id, was, size }) => {
    if (was === 0) return []
    const change = ((size - was) / was) * 100
    const said = `${id} would go from ${was} to ${size} (${change > 0 ? '+' : ''}${change.toFixed(1)} %)`
    if (shrink !== undefined && -change > shrink) return [`${said}: no audience may shrink by more than ${shrink} %`]
    if (growth !== undefined && change > growth) return [`${said}: no audience may grow by more than ${growth} %`]
    return []
  })
}

/** `plan`: what a build would change, exactly, without changing it. Exit code 4 where a limit is broken. */
export async function plan(ids: readonly string[], flags: PlanFlags): Promise<Outcome> {
  const { environment, settings } = readContext(flags)
  const { retentionMs, memoryBytes, budgetSeconds } = settings
  brokenLimits([], flags) // a flag that cannot be read is told before the work
  const { asOfMs, audiences } = await withEvents(environment, async (store) => {
    const { known, usual } = audiencesOf(settings, await readKept(store))
    const chosen = chooseAudiences(known, ids, usual)
    const progress = shareProgress('planning')
    const limits = { memoryBytes }
    // As a build: lookalikes that nobody asked for are not trained.
    const lookalikes = new Map([...settings.lookalikes].filter(([id]) => ids.length === 0 || ids.includes(id)))
    const training = { taxonomy: settings.contentTaxonomy, retentionMs, now, limits }
    return withPreview(store, lookalikes, known, training, (changed) => {
      const audiences = chooseAudiences(
        changed,
        chosen.map(({ id }) => id),
      )
      return previewBuild(store, { known: changed, audiences, retentionMs, now, limits, budgetSeconds, onShare: progress.share })
    }).finally(progress.done)
  })
  const planned = audiences.map((audience) => ({ ...audience, was: audience.size - audience.entered + audience.left }))
  const broken = brokenLimits(planned, flags)
  const header = ['audience', 'size', 'would enter', 'would leave', 'unchanged', 'state']
  const rows = planned.map(({ id, size, entered, left, state }) => [id, size, entered, left, size - entered, state])
  const shown = flags.markdown ? markdownTable(header, rows) : table(header, rows)
  return {
    json: {
      as_of: isoOf(asOfMs),
      audiences: planned.map(({ id, size, was, entered, left, state }) => ({
        id,
        size,
        was,
        would_enter: entered,
        would_leave: left,
        unchanged: size - entered,
        state,
      })),
      broken,
    },
    text: [shown, ...broken.map((sentence) => (flags.markdown ? `\n**${sentence}**` : sentence))].join('\n'),
    failed: broken.length > 0,
  }
}
