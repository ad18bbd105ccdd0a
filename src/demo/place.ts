// Where a demo happens: a directory of its own with a copy of the sample configuration, which may be edited, and with its own data.

import { cpSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { MadeleineError } from '../core/errors.ts'
import { packageFile } from '../engine/package-files.ts'
import { openStore } from '../engine/store.ts'
import type { Settings } from '../settings/load.ts'
import { SITES } from './sites.ts'

export type Place = { readonly config: string; readonly data: string }

/** `given` replaces either; a temporary directory is made for what is not given, and stays. */
export function makePlace(given: { readonly config?: string; readonly data?: string }): Place {
  const { config, data } = given
  if (config !== undefined && data !== undefined) return { config: resolve(config), data: resolve(data) }
  const directory = mkdtempSync(join(tmpdir(), 'madeleine-demo-'))
  if (config === undefined) cpSync(packageFile('config'), join(directory, 'config'), { recursive: true })
  return { config: resolve(config ?? join(directory, 'config')), data: resolve(data ?? join(directory, 'data')) }
}

/** A server that holds our database already is somebody's: sample visitors must not get among real ones. */
export async function isUnusedServer(url: string, directory: string): Promise<boolean> {
  const store = openStore({ url, directory })
  try {
    const [row] = await store.rows<{ n: number }>({
      owner: 'demo.look',
      sql: `SELECT count() AS n FROM system.databases WHERE name = 'madeleine'`,
    })
    return row?.n === 0
  } finally {
    await store.close()
  }
}

/** Says at once what would otherwise show as events that never arrive. */
export function requireSampleSources({ sources, noSignal }: Pick<Settings, 'sources' | 'noSignal'>): void {
  const missing = SITES.filter(({ source }) => !sources.has(source)).map(({ source }) => source)
  if (missing.length > 0)
    throw new MadeleineError(
      'usage',
      `the demo's traffic comes from sources that sources.yaml does not declare: ${missing.join(', ')}`,
      {
        hint: 'leave --config out to use the sample configuration',
      },
    )
  if (noSignal !== 'allow')
    throw new MadeleineError('usage', "the demo's traffic carries no consent signal, and settings.yaml refuses such hits", {
      hint: 'set consent: { no_signal: allow }, or leave --config out',
    })
}
