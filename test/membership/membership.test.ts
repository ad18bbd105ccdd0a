// Builds, members and exports against a real engine.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { exportAudiences } from '../../src/activate/export.ts'
import { DAY_MS, RETENTION_MAX_MS } from '../../src/core/duration.ts'
import type { AudienceId } from '../../src/core/ids.ts'
import { permissionSet } from '../../src/core/permissions.ts'
import { buildAudiences } from '../../src/membership/build.ts'
import { readMembers, readMembersAsOf } from '../../src/membership/members.ts'
import type { Audience } from '../../src/membership/pass.ts'
import type { ResolvedRule } from '../../src/rules/rule.ts'
import type { Destination } from '../../src/settings/load.ts'
import { anEvent, storeEvents, visitorNumber } from '../support/events.ts'
import { withAndWithout } from '../support/permission.ts'
import { openScratchStore, type ScratchStore } from '../support/store.ts'

const retentionMs = RETENTION_MAX_MS
const start = Date.now() - 10 * DAY_MS
const viewers = audience('viewers', 'page_view')
const buyers = audience('buyers', 'conversion')

function audience(id: string, event: string, withinMs = retentionMs): { id: AudienceId; rule: ResolvedRule } {
  return {
    id: id as AudienceId,
    rule: {
      kind: 'events',
      events: [event],
      where: [],
      withinMs,
      measure: { kind: 'count', comparison: [{ operator: 'gte', than: 1 }] },
    },
  }
}

let scratch: ScratchStore
let clock: number
beforeEach(async () => {
  scratch = await openScratchStore()
  clock = Date.now()
})
afterEach(() => scratch.close())

const now = () => clock++
const knownOf = (audiences: readonly Audience[]) => new Map(audiences.map((one) => [one.id, one]))
/** What the export knows of: the last that was built. */
let built: readonly Audience[] = []
const build = (...audiences: Audience[]) => {
  built = audiences
  return buildAudiences(scratch.store, { known: knownOf(audiences), audiences, retentionMs, now })
}
const view = (n: number, more = {}) => anEvent({ ts: start, visitor: visitorNumber(n), ...more })
const membersOf = async (...audiences: Audience[]) => {
  const { asOfMs, audiences: found } = await readMembers(scratch.store, audiences, { retentionMs, nowMs: clock })
  return { asOfMs, ...Object.fromEntries(found.map(({ id, members }) => [id, members])) }
}

describe('a build', () => {
  it('counts who is in, who entered and who left', async () => {
    await storeEvents(scratch.store, [view(1), view(2), view(2, { event: 'conversion' })])
    expect((await build(viewers, buyers)).audiences).toMatchObject([
      { id: 'viewers', size: 2, entered: 2, left: 0, state: 'complete' },
      { id: 'buyers', size: 1, entered: 1, left: 0, state: 'complete' },
    ])
    await storeEvents(scratch.store, [view(3)])
    // The rule was edited: only the third and nobody else is in now.
    const edited = audience('buyers', 'add_to_cart')
    expect((await build(viewers, edited)).audiences).toMatchObject([
      { id: 'viewers', size: 3, entered: 1, left: 0, state: 'complete' },
      { id: 'buyers', size: 0, entered: 0, left: 1, state: 'complete' },
    ])
  })

  it('is what members shows until the next, whatever arrives meanwhile', async () => {
    await storeEvents(scratch.store, [view(1)])
    const { asOfMs } = await build(viewers)
    await storeEvents(scratch.store, [view(2)])
    expect(await membersOf(viewers)).toEqual({ asOfMs, viewers: [visitorNumber(1)] })
  })

  it('of one audience leaves the others as they were, and an audience never built is evaluated at the same moment', async () => {
    await storeEvents(scratch.store, [view(1), view(1, { event: 'conversion' })])
    const { asOfMs } = await build(viewers)
    expect(await membersOf(viewers, buyers)).toEqual({ asOfMs, viewers: [visitorNumber(1)], buyers: [visitorNumber(1)] })
  })

  it('numbers itself after the last one although the clock went back', async () => {
    await storeEvents(scratch.store, [view(1)])
    await build(viewers)
    clock -= 3_600_000
    await storeEvents(scratch.store, [view(2)])
    await build(viewers)
    expect(await membersOf(viewers)).toMatchObject({ viewers: [visitorNumber(1), visitorNumber(2)] })
  })
})

describe('members', () => {
  it('as of a moment are those of the events up to it, without a build', async () => {
    await storeEvents(scratch.store, [view(1, { ts: start }), view(2, { ts: start + 1_000 })])
    const at = (atMs: number) => readMembersAsOf(scratch.store, [viewers], { atMs, nowMs: clock, retentionMs })
    expect((await at(start)).audiences[0]?.members).toEqual([visitorNumber(1)])
    expect((await at(start + 999)).audiences[0]?.members).toEqual([visitorNumber(1)])
    expect((await at(start + 1_000)).audiences[0]?.members).toEqual([visitorNumber(1), visitorNumber(2)])
  })

  it('do not include whom nobody may profile', async () => {
    const { allowed, refused } = withAndWithout('profile')
    await storeEvents(scratch.store, [view(1, { permissions: refused }), view(2, { permissions: allowed })])
    await build(viewers)
    expect(await membersOf(viewers)).toMatchObject({ viewers: [visitorNumber(2)] })
  })
})

describe('an export to files', () => {
  const destination = (more: Partial<Destination> = {}): Destination => ({
    id: 'files',
    connector: 'file',
    path: 'out',
    format: 'csv',
    audiences: [{ audience: 'viewers' as AudienceId, as: 'people' }],
    minimumSize: 1,
    vendorId: undefined,
    ...more,
  })
  const run = async (more: Partial<Destination> = {}, kind: 'delta' | 'full' = 'delta', dryRun = false) => {
    const [done] = await exportAudiences({
      store: scratch.store,
      known: knownOf(built),
      destinations: [destination(more)],
      data: scratch.directory,
      retentionMs,
      kind,
      dryRun,
      now,
    })
    if (!done) throw new Error('no destination')
    return done
  }
  const folder = () => join(scratch.directory, 'out', 'people')
  const files = () => (existsSync(folder()) ? readdirSync(folder()).sort() : [])
  const content = (name = '') => readFileSync(join(folder(), name), 'utf8')

  it('says who came and who went since the last delivery, and writes nothing when nothing changed', async () => {
    await storeEvents(scratch.store, [view(1), view(2)])
    await build(viewers)
    expect(await run()).toMatchObject({ added: 2, removed: 0, skipped: 0, failed: 0 })
    expect(files()).toEqual([expect.stringMatching(/^\d{8}T\d{9}Z-delta\.csv$/)])
    expect(content(files()[0])).toBe(`visitor,audience,action\n${visitorNumber(1)},people,add\n${visitorNumber(2)},people,add\n`)

    expect(await run()).toMatchObject({ added: 0, removed: 0 })
    expect(files()).toHaveLength(1)

    await storeEvents(scratch.store, [view(3, { event: 'conversion' })])
    await build(audience('viewers', 'conversion'))
    expect(await run()).toMatchObject({ added: 1, removed: 2 })
    expect(content(files()[1]).split('\n').slice(1, -1)).toEqual([
      `${visitorNumber(1)},people,remove`,
      `${visitorNumber(2)},people,remove`,
      `${visitorNumber(3)},people,add`,
    ])
  })

  it('in full holds the audience as it is, and later changes count from there', async () => {
    await storeEvents(scratch.store, [view(1), view(2)])
    await build(viewers)
    await run()
    await storeEvents(scratch.store, [view(3)])
    await build(viewers)
    expect(await run({ format: 'jsonl' }, 'full')).toMatchObject({ added: 3, removed: 0 })
    const full = files().find((name) => name.endsWith('-full.jsonl'))
    expect(
      content(full)
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual([1, 2, 3].map((n) => ({ visitor: visitorNumber(n), audience: 'people', action: 'add' })))
    expect(await run()).toMatchObject({ added: 0, removed: 0 })
  })

  it('dry says the same numbers and delivers nothing', async () => {
    await storeEvents(scratch.store, [view(1)])
    await build(viewers)
    expect(await run({}, 'delta', true)).toMatchObject({ added: 1 })
    expect(files()).toEqual([])
    expect(await run()).toMatchObject({ added: 1 })
  })

  it('withholds an audience below the minimum, and still sends its removals', async () => {
    await storeEvents(scratch.store, [view(1), view(2)])
    await build(viewers)
    await run({ minimumSize: 2 })
    await storeEvents(scratch.store, [view(3, { event: 'conversion' })])
    await build(audience('viewers', 'conversion'))
    const done = await run({ minimumSize: 2 })
    expect(done).toMatchObject({ added: 0, removed: 2, skipped: 1, audiences: [{ reason: 'below_minimum_size' }] })
    expect(content(files()[1])).not.toContain('add\n')
  })

  it('leaves out whom a source does not permit to activate, and removes whoever loses it', async () => {
    await storeEvents(scratch.store, [
      view(1, { permissions: withAndWithout('activate').allowed }),
      view(2),
      view(2, { permissions: withAndWithout('activate').refused }),
    ])
    await build(viewers)
    expect(await membersOf(viewers), 'in the audience all the same').toMatchObject({
      viewers: [visitorNumber(1), visitorNumber(2)],
    })
    expect(await run()).toMatchObject({ added: 1 })
    await storeEvents(scratch.store, [view(1, { permissions: permissionSet(['store', 'profile']) })])
    await build(viewers)
    expect(await run()).toMatchObject({ added: 0, removed: 1 })
  })

  it('of an audience that was never built fails by name, and the others are delivered', async () => {
    await storeEvents(scratch.store, [view(1)])
    await build(viewers)
    const audiences = [
      { audience: 'buyers' as AudienceId, as: 'buyers' },
      { audience: 'viewers' as AudienceId, as: 'people' },
    ]
    expect(await run({ audiences })).toMatchObject({
      added: 1,
      failed: 1,
      audiences: [{ reason: 'not_built', failed: true }, { added: 1 }],
    })
  })

  it('in full of an audience that has become too small takes back what was sent', async () => {
    await storeEvents(scratch.store, [view(1), view(2), view(3, { event: 'conversion' })])
    await build(viewers)
    await run({ minimumSize: 2 })
    await build(audience('viewers', 'conversion'))
    expect(await run({ minimumSize: 2 }, 'full')).toMatchObject({ added: 0, removed: 2, skipped: 1 })
    expect(content(files()[1]).match(/remove/g)).toHaveLength(2)
  })

  it('counts the last delivery as the last although the clock went back', async () => {
    await storeEvents(scratch.store, [view(1), view(2, { event: 'conversion' })])
    await build(viewers)
    expect(await run()).toMatchObject({ added: 1 })
    clock -= 3_600_000
    await build(audience('viewers', 'conversion'))
    expect(await run()).toMatchObject({ added: 1, removed: 1 })
    expect(await run()).toMatchObject({ added: 0, removed: 0 })
  })

  it('of an audience whose rule has changed since fails by name', async () => {
    await storeEvents(scratch.store, [view(1)])
    await build(viewers)
    built = [audience('viewers', 'conversion')]
    expect(await run()).toMatchObject({ added: 0, removed: 0, failed: 1, audiences: [{ reason: 'stale' }] })
    expect(files()).toEqual([])
  })

  it('that failed on the way is said again in whole', async () => {
    await storeEvents(scratch.store, [view(1)])
    await build(viewers)
    const blocked = await run({ path: '/dev/null/nowhere' })
    expect(blocked).toMatchObject({ added: 0, failed: 1 })
    expect(await run()).toMatchObject({ added: 1, failed: 0 })
  })
})
