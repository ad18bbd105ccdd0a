// What cannot be stored is kept with its reason in `aside/`, one JSON object a line: `{reason, line}`. Nothing there is read again by
// Madeleine: an operator looks at it, mends it and imports it. It holds visitors' ids, so it ends with retention like everything else.

import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { log } from '../core/log.ts'

export type Refused = { readonly reason: string; readonly line: string }

/** Writes the file whole or not at all; the same name again replaces it, so a step that is redone after a crash sets nothing aside twice. */
export function setAside(directory: string, name: string, refused: readonly Refused[]): void {
  if (refused.length === 0) return
  const aside = join(directory, 'aside')
  mkdirSync(aside, { recursive: true })
  const path = join(aside, `${name}.ndjson`)
  writeFileSync(`${path}.tmp`, refused.map((item) => `${JSON.stringify(item)}\n`).join(''), { mode: 0o600 })
  renameSync(`${path}.tmp`, path)
  // Not the reason itself: ClickHouse quotes the row in it.
  log.error({ file: name, lines: refused.length }, 'events set aside; the reasons are in aside/')
}

/** Removes what was set aside before `untilMs`. */
export function expireAside(directory: string, untilMs: number): void {
  const aside = join(directory, 'aside')
  if (!existsSync(aside)) return
  for (const name of readdirSync(aside))
    if (statSync(join(aside, name)).mtimeMs < untilMs) rmSync(join(aside, name), { force: true })
}
