// The configuration as its files have it now. A running server takes changed audiences over; a configuration that is broken is told once and changes nothing.

import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { messageOf } from '../core/errors.ts'
import { log } from '../core/log.ts'
import { ConfigurationError } from './files.ts'
import { loadSettings, type Settings } from './load.ts'

/** Changes whenever a file does; cheap enough for every second. */
function fingerprint(directory: string): string {
  try {
    const files = readdirSync(directory, { withFileTypes: true, recursive: true }).filter((entry) => !entry.isDirectory())
    const seen = files.map(({ parentPath, name }) => {
      const path = join(parentPath, name)
      const { mtimeMs, size, ino } = statSync(path)
      return `${path} ${mtimeMs} ${size} ${ino}`
    })
    return seen.sort().join('\n')
  } catch (error) {
    return messageOf(error) // a file went while it was looked at: another look follows
  }
}

export type Watched = {
  /** Reads again where a file has changed. */
  current(): Settings
}

export function watchSettings(
  directory: string,
  settings: Settings,
  environment: Readonly<Record<string, string | undefined>>,
): Watched {
  let known = settings
  let seen = fingerprint(directory)
  return {
    current() {
      const now = fingerprint(directory)
      if (now === seen) return known
      seen = now
      try {
        known = loadSettings(directory, environment)
        log.info('the configuration has changed: audiences are taken over; everything else at the next start')
      } catch (error) {
        if (!(error instanceof ConfigurationError)) throw error
        log.error({ errors: error.message }, 'the changed configuration is broken: the one before stays')
      }
      return known
    },
  }
}
