// Durations as the configuration writes them: a whole number and m, h, d or w (contract 2.1).

export const MINUTE_MS = 60_000
export const HOUR_MS = 60 * MINUTE_MS
export const DAY_MS = 24 * HOUR_MS
export const RETENTION_MAX_MS = 90 * DAY_MS

const UNIT_MS = { m: MINUTE_MS, h: HOUR_MS, d: DAY_MS, w: 7 * DAY_MS } as const

/** Milliseconds, or undefined where the text is no duration. Zero is none: a window of no length selects nobody. */
export function parseDuration(text: string): number | undefined {
  const match = /^([1-9]\d{0,8})([mhdw])$/.exec(text)
  if (!match) return undefined
  return Number(match[1]) * UNIT_MS[match[2] as keyof typeof UNIT_MS]
}
