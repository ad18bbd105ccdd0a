import { readEnvironment } from '../settings/environment.ts'
import { ConfigurationError, loadSettings } from '../settings/load.ts'
import type { Flags } from './context.ts'
import type { Outcome } from './output.ts'

/** `check`: validates the configuration. Exit code 2 with errors. */
export function check(flags: Flags): Outcome & { readonly exitCode: number } {
  const environment = readEnvironment(process.env, flags)
  try {
    const { segments, sources, destinations } = loadSettings(environment.config, process.env)
    const text = `${environment.config}: ${sources.size} sources, ${segments.size} segments, ${destinations.length} destinations: ok`
    return { json: { ok: true, errors: [] }, text, exitCode: 0 }
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error
    if (!flags.json) throw error
    return { json: { ok: false, errors: error.errors }, text: error.message, exitCode: error.exitCode }
  }
}
