// Puts a spool directory in order after a crash, before anything else writes there. Every step may be cut off and redone.

import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, truncateSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { setAside } from './aside.ts'
import { parseSpoolName, type SpoolName, spoolName } from './names.ts'

const NEWLINE = 0x0a

/** Cuts a torn last line off (its sender was never answered) and closes the file. */
function closeLeftover(directory: string, file: string, name: SpoolName): void {
  const path = join(directory, file)
  const bytes = readFileSync(path)
  const whole = bytes.lastIndexOf(NEWLINE) + 1
  if (whole < bytes.length) {
    setAside(directory, `${file}.torn`, [
      { reason: 'torn: the process ended while this line was written', line: bytes.subarray(whole).toString('utf8') },
    ])
    truncateSync(path, whole)
  }
  if (whole === 0) unlinkSync(path)
  else renameSync(path, join(directory, spoolName({ ...name, state: 'ready' })))
}

/** A piece of a refused file counts once that file is gone; before, the split was not finished and is done again. */
function settlePiece(directory: string, file: string, name: SpoolName, splitOf: bigint): void {
  const path = join(directory, file)
  if (existsSync(join(directory, spoolName({ ...name, batch: splitOf, state: 'ready' })))) unlinkSync(path)
  else renameSync(path, join(directory, spoolName({ ...name, state: 'ready' })))
}

/** The names of all files that are ready to be shipped, oldest batch first. Only the owner of the directory may call this. */
export function recoverSpool(directory: string): string[] {
  mkdirSync(directory, { recursive: true })
  for (const file of readdirSync(directory)) {
    const name = parseSpoolName(file)
    if (!name || name.state === 'ready') continue
    if (name.state === 'open') closeLeftover(directory, file, name)
    else settlePiece(directory, file, name, name.state.splitOf)
  }
  return readyFiles(directory)
}

export function readyFiles(directory: string): string[] {
  const ready = readdirSync(directory).flatMap((file) => {
    const name = parseSpoolName(file)
    return name?.state === 'ready' ? [{ file, batch: name.batch }] : []
  })
  return ready.sort((a, b) => (a.batch < b.batch ? -1 : a.batch > b.batch ? 1 : 0)).map(({ file }) => file)
}
