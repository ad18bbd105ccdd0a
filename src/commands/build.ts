import { MadeleineError } from '../core/errors.ts'
import { isoOf } from '../core/time.ts'
import { type BuildResult, verifyMembers } from '../membership/build.ts'
import { audiencesOf, readKept } from '../membership/lists.ts'
import { build as buildMembers } from '../wire/build.ts'
import { withEvents } from '../wire/store.ts'
import { type Context, type Flags, readContext } from './context.ts'
import { type Outcome, table } from './output.ts'
import { shareProgress } from './progress.ts'

export type BuildFlags = Flags & { readonly full?: boolean; readonly verify?: boolean }

const round = (n: number): number => Math.round(n * 1000) / 1000

function built({ asOfMs, audiences }: BuildResult): Outcome {
  const costs = audiences.flatMap(({ cost }) => cost ?? [])
  const rows = audiences.map(({ id, size, entered, left, state, detail, cost }) => [
    id,
    size,
    entered,
    left,
    state === 'failed' ? `failed: ${detail}` : state,
    ...(costs.length === 0 ? [] : cost ? [cost.rows, cost.bytes, round(cost.seconds)] : ['', '', '']),
  ])
  const header = ['audience', 'size', 'entered', 'left', 'state', ...(costs.length === 0 ? [] : ['rows', 'bytes', 'seconds'])]
  return {
    json: {
      watermark: isoOf(asOfMs),
      audiences: audiences.map(({ id, size, entered, left, state, detail, cost }) => ({
        id,
        size,
        entered,
        left,
        state,
        ...(detail === '' ? {} : { detail }),
        ...(cost ? { cost: { ...cost, seconds: round(cost.seconds) } } : {}),
      })),
    },
    text: `${table(header, rows)}\ncomplete through ${isoOf(asOfMs)}`,
    failed: audiences.some(({ state }) => state === 'failed'),
  }
}

/** Everything evaluated from nothing, against the members as they are written. Exit code 4 where they differ. */
async function verify({ environment, settings }: Context): Promise<Outcome> {
  const { retentionMs, memoryBytes } = settings
  const { asOfMs, audiences, differences } = await withEvents(environment, async (store) => {
    const { known } = audiencesOf(settings, await readKept(store))
    const progress = shareProgress('verifying')
    const options = { known, retentionMs, limits: { memoryBytes }, onShare: progress.share }
    return verifyMembers(store, options).finally(progress.done)
  })
  const header = ['audience', 'missing', 'extra', 'for instance']
  const rows = differences.map(({ id, missing, extra, visitors }) => [id, missing, extra, visitors.join(' ')])
  const told =
    rows.length === 0
      ? `${audiences} audiences are as a rebuild from nothing finds them`
      : `${table(header, rows)}\nmadeleine build --full writes them anew`
  return {
    json: { watermark: isoOf(asOfMs), verified: audiences, ok: differences.length === 0, differences },
    text: `${told}\nat ${isoOf(asOfMs)}`,
    failed: differences.length > 0,
  }
}

/** `build [ID...] [--full | --verify]`: brings audiences up to date, or proves that they are. */
export async function build(ids: readonly string[], flags: BuildFlags): Promise<Outcome> {
  const context = readContext(flags)
  if (flags.verify && (flags.full || ids.length > 0))
    throw new MadeleineError('usage', '--verify is about every audience that was built, and builds nothing')
  if (flags.verify) return verify(context)
  const progress = shareProgress('building')
  const asked = { ids, full: flags.full ?? false }
  return built(await buildMembers(context.environment, context.settings, asked, progress.share).finally(progress.done))
}
