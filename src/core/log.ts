// Logs are JSON lines on standard error, so that standard output stays one document. No id, cookie, address or query string goes in.

import pino from 'pino'

export type Log = pino.Logger

export const LOG_LEVELS: readonly string[] = ['debug', 'info', 'warn', 'error', 'silent']

/** An unknown level is an error of the environment (settings/environment.ts), told there in one sentence. */
const asked = process.env['MADELEINE_LOG'] ?? ''

export const log: Log = pino(
  { level: LOG_LEVELS.includes(asked) ? asked : 'warn', base: null },
  pino.destination({ dest: 2, sync: true }),
)
