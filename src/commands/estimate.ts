import { MadeleineError } from '../core/errors.ts'
import { isoOf } from '../core/time.ts'
import { type Estimate, estimateSizes } from '../insight/estimate.ts'
import { chooseAudiences } from '../membership/build.ts'
import { audiencesOf, readKept } from '../membership/lists.ts'
import { readEnvironment } from '../settings/environment.ts'
import { shownPath } from '../settings/files.ts'
import { loadSettings } from '../settings/load.ts'
import { now, withEvents } from '../wire/store.ts'
import type { Flags } from './context.ts'
import type { Outcome } from './output.ts'

const jsonOf = ({ atMs, belowMinimum, ...estimate }: Estimate) => ({
  ...estimate,
  below_minimum: belowMinimum,
  as_of: isoOf(atMs),
})

function told({ id, size, exact, low, high, confidence, belowMinimum }: Estimate): string {
  const shown = (n: number) => n.toLocaleString('en-US')
  if (belowMinimum) return `${id}: fewer than ${shown(high + 1)}; privacy.minimum_report keeps the rest`
  if (exact) return `${id}: ${shown(size)}`
  return `${id}: about ${shown(size)}, between ${shown(low)} and ${shown(high)} (${confidence * 100} % confidence)`
}

/** `estimate ID`, or `estimate -f FILE` of the segments in a file, which take the place of those of the configuration with the same ids: sizes within a second. */
export async function estimate(id: string | undefined, flags: Flags & { readonly file?: string }): Promise<Outcome> {
  const { file } = flags
  if ((id === undefined) === (file === undefined))
    throw new MadeleineError('usage', 'estimate takes the id of an audience, or -f FILE with segments', {
      hint: 'one of the two',
    })
  const environment = readEnvironment(process.env, flags)
  const settings = loadSettings(environment.config, process.env, file)
  const drafted = [...settings.segments.values()].filter((segment) => file !== undefined && segment.file === shownPath(file))
  if (file !== undefined && drafted.length === 0) throw new MadeleineError('usage', `${file} defines no segment`)
  const { retentionMs, memoryBytes, minimumReport } = settings
  const estimates = await withEvents(environment, async (store) => {
    const { known } = audiencesOf(settings, await readKept(store))
    const ids = id === undefined ? drafted.map((segment) => segment.id) : [id]
    const limits = { memoryBytes }
    return estimateSizes(store, chooseAudiences(known, ids), { retentionMs, nowMs: now(), minimumReport, limits })
  })
  const [first] = estimates
  return {
    json: first && estimates.length === 1 ? jsonOf(first) : { estimates: estimates.map(jsonOf) },
    text: estimates.map(told).join('\n'),
  }
}
