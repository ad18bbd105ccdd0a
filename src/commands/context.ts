// What every command starts from: its flags, the environment, the configuration.

import { type Environment, readEnvironment } from '../settings/environment.ts'
import { loadSettings, type Settings } from '../settings/load.ts'

export type Flags = { readonly config?: string; readonly data?: string; readonly json?: boolean }
export type Context = { readonly environment: Environment; readonly settings: Settings }

export function readContext(flags: Flags): Context {
  const environment = readEnvironment(process.env, flags)
  return { environment, settings: loadSettings(environment.config, process.env) }
}
