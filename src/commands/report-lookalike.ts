import { MadeleineError } from '../core/errors.ts'
import type { AudienceId } from '../core/ids.ts'
import { isoOf } from '../core/time.ts'
import { readTrainingReport, readTrainings } from '../lookalike/trainings.ts'
import { withEvents } from '../wire/store.ts'
import { type Flags, readContext } from './context.ts'
import { type Outcome, table } from './output.ts'

const FEATURES_SHOWN = 20
const LEAKS_SHOWN = 12
const percent = (share: number | null | undefined): string => (share == null ? '' : `${(100 * share).toFixed(1)} %`)
const two = (n: number | null | undefined): string => (n == null ? '' : n.toFixed(3))
const range = ([low, high]: readonly [number, number]): string => `${low.toFixed(3)} to ${high.toFixed(3)}`

/** `report lookalike ID`: what the last training was measured to be worth. */
export async function reportLookalike(id: string, flags: Flags): Promise<Outcome> {
  const { environment, settings } = readContext(flags)
  const lookalike = settings.lookalikes.get(id as AudienceId)
  if (!lookalike)
    throw new MadeleineError('usage', `unknown lookalike \`${id}\``, {
      hint: `known: ${[...settings.lookalikes.keys()].join(', ') || 'none'}`,
    })
  const { training, report } = await withEvents(environment, async (store) => {
    const last = (await readTrainings(store)).get(lookalike.id)
    return { training: last, report: last && (await readTrainingReport(store, last)) }
  })
  if (!training)
    throw new MadeleineError('usage', `\`${id}\` was never trained`, {
      hint: 'madeleine build; its seed may be a list that is not imported yet',
    })
  // Reports tell nothing of few: neither how many they are nor what only they have.
  const minimum = settings.minimumReport
  const counted = (n: number) => (n < minimum ? null : n)
  // The size of a seed that is too small stands in what was said of it.
  const detail = training.seed < minimum && training.outcome === 'refused' ? 'refused: the seed is too small' : training.detail
  const base = {
    id,
    seed: counted(training.seed),
    pool: counted(training.pool),
    size: counted(training.size),
    seed_id: lookalike.seed.id,
    trained_at: isoOf(training.atMs),
    outcome: training.outcome,
    ...(detail === '' ? {} : { detail }),
  }
  if (!report) return { json: base, text: `${id}: ${detail}` }
  const { evidence, excluded, sample, seconds } = report
  const { auc, recall, lift, interval, baselines, reach, calibration, candidates, chosen, aucWithinActivity } = evidence
  const isTold = ({ visitors }: { readonly visitors: number }): boolean => visitors >= minimum
  const features = report.features.filter(isTold).map(({ name, weight }) => ({ name, weight }))
  const leaks = report.leaks.filter(isTold).map(({ name, why }) => ({ name, why }))
  const change = report.change && {
    ...report.change,
    entered: counted(report.change.entered),
    left: counted(report.change.left),
    wanted: counted(report.change.wanted),
    features: report.change.features.filter(isTold).map(({ visitors: _, ...feature }) => feature),
  }
  const json = {
    ...base,
    auc,
    recall,
    lift,
    interval,
    baselines,
    features,
    auc_within_activity: aucWithinActivity,
    reach,
    calibration,
    model: chosen,
    candidates,
    left_out: { leaks, excluded },
    sample: { seed: counted(sample.seed), others: counted(sample.others), features: sample.features },
    seconds: { total: training.seconds, ...seconds },
    ...(change && { change }),
  }
  const depth = (['p1', 'p5', 'p10'] as const).map((key) => [
    { p1: '1 %', p5: '5 %', p10: '10 %' }[key],
    percent(recall[key]),
    two(lift[key]),
    range(interval.lift[key]),
    percent(baselines.random.recall[key]),
    percent(baselines.most_active.recall[key]),
  ])
  const few = `fewer than ${minimum}`
  const lines = [
    `${id}: ${training.outcome === 'trained' ? `${counted(training.size) ?? `fewer than ${minimum}`} members` : detail}, trained ${isoOf(training.atMs)} in ${training.seconds.toFixed(1)} s`,
    `seed ${lookalike.seed.id}: ${counted(training.seed) ?? `fewer than ${minimum}`} visitors; pool outside it: ${counted(training.pool) ?? `fewer than ${minimum}`}`,
    `held-out AUC ${two(auc)} (${range(interval.auc)}); within fifths of activity: ${aucWithinActivity.map(two).join(', ')}; most active alone: ${two(baselines.most_active.auc)}`,
    table(['best', 'of the seed', 'lift', 'interval 95 %', 'random', 'most active'], depth),
    '',
    table(
      ['feature', 'weight'],
      features.slice(0, FEATURES_SHOWN).map(({ name, weight }) => [name, two(weight)]),
    ),
    ...(leaks.length === 0
      ? []
      : [
          `left out as the seed's own rule: ${leaks
            .slice(0, LEAKS_SHOWN)
            .map(({ name }) => name)
            .join('; ')}${leaks.length > LEAKS_SHOWN ? ` and ${leaks.length - LEAKS_SHOWN} more` : ''}`,
        ]),
    ...(change
      ? [
          `against the members before: ${change.entered ?? few} came, ${change.left ?? few} went; the scores alone would have replaced ${change.wanted ?? few}, lift kept ${percent(change.liftKept)}`,
          ...change.features.map(
            (one) => `  ${one.name}: ${percent(one.entered)} of those who came, ${percent(one.left)} of those who went`,
          ),
        ]
      : []),
  ]
  return { json, text: lines.join('\n') }
}
