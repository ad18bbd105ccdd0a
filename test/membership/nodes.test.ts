// A node of the audience taxonomy is an audience: the members of every segment at it or below it.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { buildAudiences, chooseAudiences } from '../../src/membership/build.ts'
import { audiencesOf } from '../../src/membership/lists.ts'
import { readMembers } from '../../src/membership/members.ts'
import { loadSettings } from '../../src/settings/load.ts'
import { anEvent, storeEvents, visitorNumber } from '../support/events.ts'
import { openScratchStore } from '../support/store.ts'

// 243 Interest | Automotive, 253 Interest | Automotive | Green Vehicles; 242 is Interest.
const SEGMENTS = `segments:
  - { id: cars, taxonomy: "243", when: { event: car } }
  - { id: green-cars, taxonomy: "253", when: { event: green_car } }
  - { id: plain, when: { event: plain } }
`
const DESTINATION = `destinations:
  - { id: partner, connector: file, settings: { path: out }, audiences: [{ audience: "243", as: automotive }] }
`

it('holds its descendants, is built where a destination receives it, and can be asked for', async () => {
  const config = mkdtempSync(join(tmpdir(), 'config-'))
  for (const folder of ['segments', 'destinations']) mkdirSync(join(config, folder))
  writeFileSync(join(config, 'segments', 'a.yaml'), SEGMENTS)
  writeFileSync(join(config, 'destinations', 'a.yaml'), DESTINATION)
  const settings = loadSettings(config, {})
  const top = [...settings.nodes.values()].find(({ name }) => name === 'Interest')
  expect([...settings.nodes.keys()].sort()).toEqual(['243', '253', top?.id].sort())

  const { store, close } = await openScratchStore()
  const ts = Date.now() - 1_000
  await storeEvents(store, [
    anEvent({ ts, visitor: visitorNumber(1), event: 'car' }),
    anEvent({ ts, visitor: visitorNumber(2), event: 'green_car' }),
    anEvent({ ts, visitor: visitorNumber(3), event: 'plain' }),
  ])
  const { known, usual } = audiencesOf(settings, { lists: new Set(), refused: new Map() })
  const { retentionMs } = settings
  const built = await buildAudiences(store, { known, audiences: chooseAudiences(known, [], usual), retentionMs, now: Date.now })
  expect(built.audiences.map(({ id, size }) => [id, size])).toEqual([
    ['cars', 1],
    ['green-cars', 1],
    ['plain', 1],
    ['243', 2],
  ])
  const asked = chooseAudiences(known, ['243', '253', String(top?.id)], usual)
  const { audiences } = await readMembers(store, asked, { retentionMs, nowMs: Date.now() })
  expect(audiences.map(({ members }) => members)).toEqual([
    [visitorNumber(1), visitorNumber(2)],
    [visitorNumber(2)],
    [visitorNumber(1), visitorNumber(2)],
  ])
  await close()
  rmSync(config, { recursive: true })
})
