/** The end of a switch that has named every case: a new case that nobody handles is a compile error, and a crash rather than a larger audience. */
export function assertNever(value: never): never {
  throw new Error(`unhandled case: ${JSON.stringify(value)}`)
}
