import { isoOf } from '../core/time.ts'
import { buildAudiences, chooseAudiences } from '../membership/build.ts'
import { audiencesOf, readImportedLists } from '../membership/lists.ts'
import { expireUnlessServed, now, withEvents } from '../wire.ts'
import { type Flags, readContext } from './context.ts'
import { type Outcome, table } from './output.ts'
import { shareProgress } from './progress.ts'

/** `build [ID...]`: brings audiences up to date. */
export async function build(ids: readonly string[], flags: Flags): Promise<Outcome> {
  const { environment, settings } = readContext(flags)
  const { retentionMs, memoryBytes } = settings
  const result = await withEvents(environment, async (store) => {
    const { known, usual } = audiencesOf(settings, await readImportedLists(store))
    const audiences = chooseAudiences(known, ids, usual)
    const progress = shareProgress('building')
    const options = { audiences, retentionMs, now, limits: { memoryBytes }, onShare: progress.share }
    const built = await buildAudiences(store, options).finally(progress.done)
    await expireUnlessServed(environment, store, retentionMs) // a directory that only commands open has no server to do it
    return built
  })
  const rows = result.audiences.map(({ id, size, entered, left, state }) => [id, size, entered, left, state])
  return {
    json: { watermark: isoOf(result.asOfMs), audiences: result.audiences },
    text: `${table(['audience', 'size', 'entered', 'left', 'state'], rows)}\ncomplete through ${isoOf(result.asOfMs)}`,
  }
}
