// What `build` does.

import type { AudienceId } from '../core/ids.ts'
import { type BuildResult, buildAudiences, chooseAudiences } from '../membership/build.ts'
import { refuseBesideLeader } from '../membership/leader.ts'
import { audiencesOf, readKept } from '../membership/lists.ts'
import { buildOnce } from '../membership/office.ts'
import type { Environment } from '../settings/environment.ts'
import type { Settings } from '../settings/load.ts'
import { askOwner } from '../spool/claim.ts'
import { expireUnlessServed, now, withEvents } from './store.ts'
import { trainOnce } from './trainer.ts'

/** Share of the bar. */
const TRAINING_SHARE = 0.7

/** Through the running server of the directory, or here. Lookalikes that are due are trained first: their members are part of what is built. */
export function build(
  environment: Environment,
  settings: Settings,
  asked: { readonly ids: readonly string[]; readonly full: boolean },
  onShare: (share: number) => void,
): Promise<BuildResult> {
  const { retentionMs, memoryBytes, budgetSeconds } = settings
  return withEvents(environment, async (store) => {
    const lookalikes = asked.ids.filter((id) => settings.lookalikes.has(id as AudienceId)) as AudienceId[]
    const isTraining = settings.lookalikes.size > 0 && (asked.ids.length === 0 || lookalikes.length > 0)
    const after = isTraining ? TRAINING_SHARE : 0
    if (isTraining && environment.clickhouseUrl !== undefined && !(await askOwner(environment.data, undefined, 'segmenter')))
      await refuseBesideLeader(store)
    if (isTraining) await trainOnce(environment, settings, store, lookalikes, (share) => onShare(after * share))
    const share = (done: number) => onShare(after + (1 - after) * done)
    return buildOnce(environment.data, { ...asked, config: environment.config }, async () => {
      if (environment.clickhouseUrl !== undefined) await refuseBesideLeader(store)
      const { known, usual } = audiencesOf(settings, await readKept(store))
      const audiences = chooseAudiences(known, asked.ids, usual)
      const built = await buildAudiences(store, {
        known,
        audiences,
        full: asked.full,
        retentionMs,
        now,
        limits: { memoryBytes },
        budgetSeconds,
        onShare: share,
      })
      await expireUnlessServed(environment, store, retentionMs) // a directory that only commands open has no server to do it
      return built
    })
  })
}
