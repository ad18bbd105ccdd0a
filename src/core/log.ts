// Logs are JSON lines on standard error, so that standard output stays one document. No id, cookie, address or query string goes in.

import pino from 'pino'

export type Log = pino.Logger
export const log: Log = pino(
  { level: process.env['MADELEINE_LOG'] ?? 'warn', base: null },
  pino.destination({ dest: 2, sync: true }),
)
