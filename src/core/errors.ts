// The errors that leave a stage. Each carries a code, the exit code it means on the command line, and a hint that names what to change.

export type ErrorCode =
  | 'usage' // bad flags or arguments
  | 'configuration' // config/ or the environment
  | 'store_unreachable' // no answer from ClickHouse
  | 'store_refused' // ClickHouse answered with an exception
  | 'locked' // another process owns the data directory
  | 'spool_failed' // the local disk did not take an event

const EXIT: Record<ErrorCode, number> = {
  usage: 2,
  configuration: 2,
  store_unreachable: 3,
  store_refused: 1,
  locked: 3,
  spool_failed: 1,
}

export class MadeleineError extends Error {
  readonly code: ErrorCode
  readonly hint: string
  /** Worth trying again unchanged: the cause is outside and may pass. */
  readonly retry: boolean

  constructor(code: ErrorCode, message: string, options: { hint?: string; retry?: boolean; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'MadeleineError'
    this.code = code
    this.hint = options.hint ?? ''
    this.retry = options.retry ?? false
  }

  get exitCode(): number {
    return EXIT[this.code]
  }
}

/** ClickHouse's own exception, with its number (https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp). */
export class StoreRefused extends MadeleineError {
  readonly clickhouseCode: number

  constructor(clickhouseCode: number, message: string, cause?: unknown) {
    super('store_refused', message, { cause })
    this.clickhouseCode = clickhouseCode
  }
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** The code of a Node system error (`ENOENT`), or '' for anything else. */
export const systemCode = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''

/** What a log or another process may be told of an error: ClickHouse's message may quote a row. */
export const causeOf = (error: unknown): string =>
  error instanceof StoreRefused
    ? `ClickHouse error ${error.clickhouseCode}`
    : error instanceof MadeleineError
      ? error.code
      : messageOf(error)
