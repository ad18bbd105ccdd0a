import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { MadeleineError } from '../core/errors.ts'
import { findUnseen } from '../insight/unseen.ts'
import type { ConfigError } from '../settings/document.ts'
import { type Environment, readEnvironment } from '../settings/environment.ts'
import { ConfigurationError } from '../settings/files.ts'
import { jsonSchemas } from '../settings/json-schema.ts'
import { loadSettings, type Settings } from '../settings/load.ts'
import { now, openReadyStore } from '../wire/store.ts'
import type { Flags } from './context.ts'
import type { Outcome } from './output.ts'

const line = ({ file, line, column, message }: ConfigError): string => `${file}:${line}:${column}: warning: ${message}`

/** What has never come in, where there are data to ask. A store that does not answer is no reason to fail: the configuration is what is checked. */
async function unseen(environment: Environment, { named, retentionMs }: Settings): Promise<readonly ConfigError[]> {
  if (environment.clickhouseUrl === undefined && !existsSync(join(environment.data, 'clickhouse'))) return []
  try {
    const store = await openReadyStore(environment)
    return await findUnseen(store, named, retentionMs, now()).finally(() => store.close())
  } catch (error) {
    if (error instanceof MadeleineError) return []
    throw error
  }
}

/** Written where an editor looks for them: `config/.schema` is where the sample files point to. */
function writeSchemas(directory: string): void {
  mkdirSync(directory, { recursive: true })
  for (const [name, schema] of Object.entries(jsonSchemas()))
    writeFileSync(join(directory, name), `${JSON.stringify(schema, null, 2)}\n`)
}

/** `check`: validates the configuration. Exit code 2 with errors; what is merely unlikely is told on standard error. */
export async function check(flags: Flags & { readonly schema?: string }): Promise<Outcome & { readonly exitCode: number }> {
  const environment = readEnvironment(process.env, flags)
  if (flags.schema !== undefined) writeSchemas(flags.schema)
  try {
    const settings = loadSettings(environment.config, process.env)
    const { segments, lookalikes, sources, destinations } = settings
    const warnings = [...settings.warnings, ...(await unseen(environment, settings))]
    for (const warning of warnings) process.stderr.write(`${line(warning)}\n`)
    const text = `${environment.config}: ${sources.size} sources, ${segments.size} segments, ${lookalikes.size} lookalikes, ${destinations.length} destinations: ok`
    return { json: { ok: true, errors: [], warnings }, text, exitCode: 0 }
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error
    if (!flags.json) throw error
    return { json: { ok: false, errors: error.errors }, text: error.message, exitCode: error.exitCode }
  }
}
