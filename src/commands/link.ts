import { makeLink } from '../collect/link.ts'
import { MadeleineError } from '../core/errors.ts'
import { nearest } from '../core/nearest.ts'
import { linkKey } from '../identity/key.ts'
import { type Flags, readContext } from './context.ts'
import type { Outcome } from './output.ts'

export type LinkFlags = Flags & {
  readonly url: string
  readonly source: string
  readonly campaign?: string
  readonly creative?: string
  readonly placement?: string
  readonly base?: string
}

/** `link`: a measured link, signed with the key of the data directory or of the environment. */
export function link(flags: LinkFlags): Outcome {
  const { environment, settings } = readContext(flags)
  const { url, source, campaign, creative, placement, base } = flags
  const key = linkKey(environment.data, environment.linkKey)
  const made = makeLink({ url, source, campaign, creative, placement, base }, { key, sources: settings.sources })
  if (made.ok) return { json: { url: made.url }, text: made.url }
  const meant = made.field === 'source' ? nearest(source, [...settings.sources.keys()]) : undefined
  throw new MadeleineError(
    'usage',
    `--${made.field} ${made.message}`,
    meant === undefined ? {} : { hint: `did you mean ${meant}?` },
  )
}
