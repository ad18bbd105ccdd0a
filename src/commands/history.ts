import { DAY_MS } from '../core/duration.ts'
import { MadeleineError } from '../core/errors.ts'
import { type AudienceId, parseVisitorId } from '../core/ids.ts'
import { isoOf, parseMoment } from '../core/time.ts'
import {
  type AudienceHistory,
  isRemembered,
  readAudienceHistory,
  readVisitorHistory,
  type VisitorHistory,
} from '../insight/history.ts'
import { chooseAudiences } from '../membership/build.ts'
import { audiencesOf, readKept } from '../membership/lists.ts'
import { now, withMembers } from '../wire/store.ts'
import { type Flags, readContext } from './context.ts'
import { type Outcome, table } from './output.ts'

const isoOrNull = (ms: number | undefined): string | null => (ms === undefined ? null : isoOf(ms))

function audienceOutcome({ id, size, watermarkMs, state, versions, periods, unitMs }: AudienceHistory): Outcome {
  const shownPeriod = (ms: number): string => (unitMs === DAY_MS ? isoOf(ms).slice(0, 10) : `${isoOf(ms).slice(0, 16)}Z`)
  const asOf = watermarkMs === undefined ? '' : ` as of ${isoOf(watermarkMs)}`
  const stands = state === 'deleted' ? 'not in the configuration' : state
  const versionRows = versions.map(({ atMs, version, what, size: then, detail }) => [isoOf(atMs), version, what, then, detail])
  const periodRows = periods.map(({ fromMs, entered, left, size: then }) => [shownPeriod(fromMs), entered, left, then])
  return {
    json: {
      id,
      size,
      watermark: isoOrNull(watermarkMs),
      state,
      versions: versions.map(({ version, atMs, what, size: then, detail }) => ({
        version,
        at: isoOf(atMs),
        what,
        size: then,
        ...(detail === '' ? {} : { detail }),
      })),
      periods: periods.map(({ fromMs, ...period }) => ({ from: isoOf(fromMs), ...period })),
    },
    text: [
      `${id}: size ${size.toLocaleString('en-US')}${asOf}, ${stands}`,
      ...(versions.length > 0 ? ['', table(['at', 'version', 'what', 'size', ''], versionRows)] : []),
      ...(periods.length > 0 ? ['', table([unitMs === DAY_MS ? 'day' : 'hour', 'entered', 'left', 'size'], periodRows)] : []),
    ].join('\n'),
  }
}

function visitorOutcome({ visitor, watermarkMs, audiences, transitions }: VisitorHistory): Outcome {
  const asOf = watermarkMs === undefined ? 'nothing was built yet' : `as of ${isoOf(watermarkMs)}`
  const byId = new Map(audiences.map((audience) => [audience.id, audience]))
  const lastOf = new Map(transitions.map((transition) => [transition.audience, transition]))
  const rows = transitions.map((transition) => {
    const { atMs, audience, what, version } = transition
    const { known = false, member = false } = byId.get(audience) ?? {}
    const holds = member && lastOf.get(audience) === transition ? ['holds now'] : []
    return [isoOf(atMs), audience, what, version, [...holds, ...(known ? [] : ['not in the configuration'])].join(', ')]
  })
  const longer = audiences.filter(({ id, member }) => member && !lastOf.has(id)).map(({ id }) => id)
  return {
    json: {
      visitor,
      watermark: isoOrNull(watermarkMs),
      audiences,
      transitions: transitions.map(({ atMs, audience, what, version }) => ({ at: isoOf(atMs), audience, what, version })),
    },
    text: [
      `${visitor}: ${asOf}`,
      rows.length > 0 ? table(['at', 'audience', 'what', 'version', ''], rows) : 'no transition is remembered',
      ...(longer.length > 0 ? [`holds now, from before: ${longer.join(', ')}`] : []),
    ].join('\n'),
  }
}

/** `history ID | VISITOR [--since TIME]`: what is remembered of an audience, or of a visitor. */
export async function history(text: string, flags: Flags & { readonly since?: string }): Promise<Outcome> {
  const { environment, settings } = readContext(flags)
  const sinceMs = flags.since === undefined ? undefined : parseMoment(flags.since)
  if (flags.since !== undefined && sinceMs === undefined)
    throw new MadeleineError('usage', `--since ${flags.since} is no moment`, {
      hint: 'ISO 8601 with a zone, such as 2026-11-21T12:00:00Z',
    })
  return withMembers(environment, async (store) => {
    const { known } = audiencesOf(settings, await readKept(store))
    const options = { known, retentionMs: settings.retentionMs, nowMs: now(), sinceMs }
    const id = text as AudienceId // one that the configuration or the log knows, or none
    const visitor = parseVisitorId(text)
    const isAudience = known.has(id) || (await isRemembered(store, id))
    if (!isAudience && visitor) return visitorOutcome(await readVisitorHistory(store, visitor, options))
    if (!isAudience) chooseAudiences(known, [text]) // refuses it, with those that there are
    return audienceOutcome(await readAudienceHistory(store, id, options))
  })
}
