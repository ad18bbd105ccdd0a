// The environment, read in one place. An empty variable counts as absent.

import { resolve } from 'node:path'
import { MadeleineError } from '../core/errors.ts'
import { LOG_LEVELS } from '../core/log.ts'

export type Environment = {
  readonly port: number
  readonly config: string
  readonly data: string
  /** Absent: every route that needs a key answers 401. */
  readonly apiKey: string | undefined
  readonly clickhouseUrl: string | undefined
  /** Absent: collectors hear of each other's opt-outs from the store. */
  readonly redisUrl: string | undefined
  /** Sign cookies, the newest first, where several collectors must know each other's; absent: keys of its own in the data directory, which turn. */
  readonly cookieKeys: readonly string[] | undefined
  /** Opted-out ids are remembered under it; absent: a key of its own in the data directory. */
  readonly tombstoneKey: string | undefined
  /** Partners know visitors by ids made under it; absent: a key of its own in the data directory. */
  readonly syncKey: string | undefined
  /** Signs measured links; absent: a key of its own in the data directory. */
  readonly linkKey: string | undefined
}

export function readEnvironment(
  variables: Readonly<Record<string, string | undefined>>,
  flags: { config?: string; data?: string } = {},
): Environment {
  const get = (name: string): string | undefined => (variables[name] === '' ? undefined : variables[name])
  const port = get('PORT') ?? '8080'
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535)
    throw new MadeleineError('usage', `PORT must be a port number, not ${port}`)
  const clickhouseUrl = get('CLICKHOUSE_URL')
  if (clickhouseUrl !== undefined && !/^https?:$/.test(URL.canParse(clickhouseUrl) ? new URL(clickhouseUrl).protocol : ''))
    throw new MadeleineError(
      'usage',
      'CLICKHOUSE_URL must be an http or https address, such as http://user:password@clickhouse:8123',
    )
  const level = get('MADELEINE_LOG')
  if (level !== undefined && !LOG_LEVELS.includes(level))
    throw new MadeleineError('usage', `MADELEINE_LOG must be one of ${LOG_LEVELS.join(', ')}, not ${level}`)
  const redisUrl = get('REDIS_URL')
  if (redisUrl !== undefined && !/^rediss?:$/.test(URL.canParse(redisUrl) ? new URL(redisUrl).protocol : ''))
    throw new MadeleineError('usage', 'REDIS_URL must be a redis or rediss address, such as redis://redis:6379')
  const cookieKeys = get('MADELEINE_COOKIE_KEY')?.split(',')
  if (cookieKeys?.some((key) => key.length < 32))
    throw new MadeleineError('usage', 'MADELEINE_COOKIE_KEY must have 32 characters or more in each key, and commas between keys')
  const tombstoneKey = get('MADELEINE_TOMBSTONE_KEY')
  if (tombstoneKey !== undefined && tombstoneKey.length < 32)
    throw new MadeleineError('usage', 'MADELEINE_TOMBSTONE_KEY must have 32 characters or more')
  const syncKey = get('MADELEINE_SYNC_KEY')
  if (syncKey !== undefined && syncKey.length < 32)
    throw new MadeleineError('usage', 'MADELEINE_SYNC_KEY must have 32 characters or more')
  const linkKey = get('MADELEINE_LINK_KEY')
  if (linkKey !== undefined && linkKey.length < 32)
    throw new MadeleineError('usage', 'MADELEINE_LINK_KEY must have 32 characters or more')
  return {
    port: Number(port),
    config: resolve(flags.config ?? get('MADELEINE_CONFIG') ?? './config'),
    data: resolve(flags.data ?? get('MADELEINE_DATA') ?? './data'),
    apiKey: get('MADELEINE_API_KEY'),
    clickhouseUrl,
    redisUrl,
    cookieKeys,
    tombstoneKey,
    syncKey,
    linkKey,
  }
}
