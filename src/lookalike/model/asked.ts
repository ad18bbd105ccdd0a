// Which columns trees may ask: those on whose answer visitors differ most. It knows nothing of labels, so that choosing among thousands of columns cannot flatter the
// evidence (chosen by the labels of all rows, a shuffled seed would look like a find).

import { ASKED_MAX } from './model.ts'
import { type Rows, supports } from './rows.ts'

export function askedOf(rows: Rows): number[] {
  const varies = [...supports(rows)].map((support) => support * (rows.size - support))
  return [...varies.keys()]
    .filter((column) => (varies[column] as number) > 0)
    .sort((a, b) => (varies[b] as number) - (varies[a] as number) || a - b)
    .slice(0, ASKED_MAX)
}
