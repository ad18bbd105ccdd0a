// Connector `file`: one file a delivery, `DIR/<as>/<moment>-<full|delta>.<format>`. A reader sees it whole or not at all: temporary file, sync, rename.

import { existsSync } from 'node:fs'
import { mkdir, open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { isoOf } from '../core/time.ts'
import type { DeliveryKind, DeliveryRow } from './delivery.ts'

export type FileTarget = {
  readonly path: string
  readonly as: string
  readonly format: 'csv' | 'jsonl'
  readonly kind: DeliveryKind
}

const HEADER = { csv: 'visitor,audience,action\n', jsonl: '' } as const

/** `as` is letters, digits, `_`, `-` and `.` (settings/schema.ts): no cell needs quoting. */
const LINE = {
  csv: (row: DeliveryRow, as: string) => `${row.visitor},${as},${row.action}\n`,
  jsonl: (row: DeliveryRow, as: string) => `${JSON.stringify({ visitor: row.visitor, audience: as, action: row.action })}\n`,
} as const

/** Writes the rows of the wanted actions. Returns the file's path. */
export async function writeDeliveryFile(
  target: FileTarget,
  pages: AsyncIterable<readonly DeliveryRow[]>,
  nowMs: number,
): Promise<string> {
  const { path, as, format, kind } = target
  const directory = join(path, as)
  await mkdir(directory, { recursive: true })
  let momentMs = nowMs
  const named = () => `${isoOf(momentMs).replace(/[-:.]/g, '')}-${kind}.${format}`
  while (existsSync(join(directory, named()))) momentMs++ // two deliveries of one millisecond
  const name = named()
  const temporary = join(directory, `.${name}.tmp`)
  const file = await open(temporary, 'w', 0o640)
  try {
    await file.write(HEADER[format])
    for await (const rows of pages) {
      // A full file is the audience itself; who is not in it is out.
      const shown = kind === 'full' ? rows.filter((row) => row.action === 'add') : rows
      await file.write(shown.map((row) => LINE[format](row, as)).join(''))
    }
    await file.sync()
    await file.close()
    await rename(temporary, join(directory, name))
  } catch (error) {
    await file.close().catch(() => {})
    await rm(temporary, { force: true })
    throw error
  }
  return join(directory, name)
}
