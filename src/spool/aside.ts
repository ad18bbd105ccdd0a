// What cannot be stored is kept with its reason in `aside/`, one JSON object a line: `{reason, line}`. Nothing there is read again by
// Madeleine: an operator looks at it, mends it and imports it. It holds visitors' ids, so it ends with retention like everything else.

import { randomUUID } from 'node:crypto'
import { lstatSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { log } from '../core/log.ts'
import { syncDirectory, writeDurable } from './disk.ts'

export type Refused = { readonly reason: string; readonly line: string }

/** Writes the file whole or not at all; the same name again replaces it, so a step that is redone after a crash sets nothing aside twice. */
export function setAside(directory: string, name: string, refused: readonly Refused[]): void {
  if (refused.length === 0) return
  const aside = makeAside(directory)
  const path = join(aside, `${name}.ndjson`)
  writeDurable(`${path}.tmp`, refused.map((item) => `${JSON.stringify(item)}\n`).join(''))
  renameSync(`${path}.tmp`, path)
  syncDirectory(aside)
  // Not the reason itself: ClickHouse quotes the row in it.
  log.error({ file: name, lines: refused.length }, 'events set aside; the reasons are in aside/')
}

/** A whole file, or whatever lies there under a file's name: moved, with its reason beside it. */
export function setFileAside(directory: string, file: string, reason: string): void {
  const aside = makeAside(directory)
  writeDurable(join(aside, `${file}.reason`), `${reason}\n`)
  const isTaken = lstatSync(join(aside, file), { throwIfNoEntry: false }) !== undefined
  renameSync(join(directory, file), join(aside, isTaken ? `${file}.${randomUUID()}` : file))
  syncDirectory(aside)
  log.error({ file, reason }, 'spool file set aside')
}

/** A stray file under that name is moved out of the way: it must not keep the spool from being shipped. */
function makeAside(directory: string): string {
  const aside = join(directory, 'aside')
  if (statSync(aside, { throwIfNoEntry: false })?.isDirectory() === false) renameSync(aside, `${aside}.${randomUUID()}`)
  mkdirSync(aside, { recursive: true })
  return aside
}

/** Removes what was set aside before `untilMs`. */
export function expireAside(directory: string, untilMs: number): void {
  const aside = join(directory, 'aside')
  if (statSync(aside, { throwIfNoEntry: false })?.isDirectory() !== true) return
  for (const name of readdirSync(aside))
    if (lstatSync(join(aside, name)).mtimeMs < untilMs) rmSync(join(aside, name), { recursive: true, force: true })
}
