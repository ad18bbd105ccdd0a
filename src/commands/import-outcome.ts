// What an import says of itself: the same for every kind.

import type { ImportResult } from '../imports/events.ts'
import type { Outcome } from './output.ts'

const REJECTS_SHOWN = 20

export function importOutcome(file: string, result: ImportResult): Outcome {
  const { read, stored, duplicates, rejected } = result
  const shown = result.rejects.slice(0, REJECTS_SHOWN).map(({ line, reason }) => `${file}:${line}: ${reason}`)
  const more = rejected > shown.length ? [`... and ${rejected - shown.length} more`] : []
  const sum = `${read} read, ${stored} stored, ${duplicates} already there, ${rejected} rejected`
  return { json: result, text: [...shown, ...more, sum].join('\n'), failed: rejected > 0 }
}
