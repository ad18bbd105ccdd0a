// How a command speaks: one JSON document on standard output with --json, else lines for people; errors and progress on standard error.

import { MadeleineError } from '../core/errors.ts'
import { ConfigurationError } from '../settings/files.ts'

/** What a command did. Exit code 4: it finished, but something in it failed. */
export type Outcome = { readonly json: unknown; readonly text: string; readonly failed?: boolean }

export function printOutcome(outcome: Outcome, asJson: boolean): void {
  process.stdout.write(asJson ? `${JSON.stringify(outcome.json)}\n` : `${outcome.text}\n`)
}

export function printError(error: unknown): number {
  if (error instanceof ConfigurationError) {
    process.stderr.write(`${error.message}\n`)
    return error.exitCode
  }
  if (error instanceof MadeleineError) {
    process.stderr.write(`madeleine: ${error.message}${error.hint === '' ? '' : ` (${error.hint})`}\n`)
    return error.exitCode
  }
  process.stderr.write(`madeleine: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
  return 1
}

const shown = (cell: string | number): string => (typeof cell === 'number' ? cell.toLocaleString('en-US') : cell)

/** For a pull request; numbers to the right. */
export function markdownTable(header: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const rule = header.map((_, i) => (typeof rows[0]?.[i] === 'number' ? '---:' : '---'))
  return [header, rule, ...rows.map((row) => row.map(shown))].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

/** Columns aligned by their longest cell; numbers to the right. */
export function table(header: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const cells = [header, ...rows.map((row) => row.map(shown))]
  const widths = header.map((_, i) => Math.max(...cells.map((row) => row[i]?.length ?? 0)))
  return cells
    .map((row, r) =>
      row
        .map((cell, i) =>
          r > 0 && typeof rows[r - 1]?.[i] === 'number' ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
