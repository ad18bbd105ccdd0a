// A task through the product itself: its columns as pages of a site, in events of a scratch store; a list as the seed; a training with a reach of everybody; its scores.

import { createHash } from 'node:crypto'
import { DAY_MS, RETENTION_MAX_MS } from '../../src/core/duration.ts'
import type { AudienceId, VisitorId } from '../../src/core/ids.ts'
import { parseVisitorId } from '../../src/core/ids.ts'
import type { Event } from '../../src/event/event.ts'
import { readScores } from '../../src/lookalike/scores.ts'
import { trainLookalikes } from '../../src/lookalike/train.ts'
import { readDue } from '../../src/lookalike/trainings.ts'
import { DEFAULT_LIMITS } from '../../src/membership/pass.ts'
import { loadSettings } from '../../src/settings/load.ts'
import { anEvent, storeEvents, storeList } from '../support/events.ts'
import { OPEN_CONFIG, scratchProject } from '../support/scratch.ts'
import { openScratchStore } from '../support/store.ts'
import type { Task } from './lookalike-data.ts'

const EVENTS_A_BLOCK = 20_000

const visitorOf = (id: string): VisitorId => {
  const hex = createHash('sha256').update(id).digest('hex')
  return parseVisitorId(
    `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`,
  ) as VisitorId
}

/** Letters: digits in a row would be scrubbed from a path. */
const letters = (n: number): string =>
  n < 26 ? String.fromCharCode(97 + n) : `${letters(Math.floor(n / 26) - 1)}${letters(n % 26)}`

/** Scores of every row; 0 for the seed. */
export async function productScores({ ids, rows, seed }: Task): Promise<Float64Array> {
  const project = scratchProject({
    ...OPEN_CONFIG,
    'config/lookalikes/a.yaml': 'lookalikes:\n  - { id: near, seed: fans, reach: 100% }\n',
  })
  const { store, close } = await openScratchStore()
  const visitors = ids.map(visitorOf)
  const startMs = Date.now() - 2 * DAY_MS
  let waiting: Event[] = []
  for (const [n, visitor] of visitors.entries()) {
    for (let i = rows.offsets[n] as number; i < (rows.offsets[n + 1] as number); i++) {
      const path = `/${letters(rows.features[i] as number)}`
      const page = { origin: 'https://ms.example', host: 'ms.example', path, url: `https://ms.example${path}` }
      waiting.push(anEvent({ visitor, ts: startMs + (i - (rows.offsets[n] as number)) * 1_000, event: 'page_view', ...page }))
    }
    if (waiting.length < EVENTS_A_BLOCK && n < visitors.length - 1) continue
    await storeEvents(store, waiting)
    waiting = []
  }
  await storeList(
    store,
    'fans',
    visitors.filter((_, n) => seed[n] === 1),
  )
  const { lookalikes, contentTaxonomy } = loadSettings(project.config, {})
  const moment = { nowMs: Date.now(), retentionMs: RETENTION_MAX_MS }
  const due = await readDue(store, lookalikes.values(), moment)
  const [training] = await trainLookalikes(store, due, {
    taxonomy: contentTaxonomy,
    retentionMs: RETENTION_MAX_MS,
    now: () => Date.now(),
    limits: DEFAULT_LIMITS,
  })
  if (training?.outcome !== 'trained') throw new Error(`not trained: ${training?.detail}`)
  const scores = await readScores(store, 'near' as AudienceId, training)
  await close()
  project.remove()
  return Float64Array.from(visitors, (visitor) => scores.get(visitor) ?? 0)
}
