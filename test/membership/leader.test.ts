// Of several servers on one ClickHouse one leads: the one that came first, and when it leaves the next.

import { expect, it, vi } from 'vitest'
import { makeLeader, refuseBesideLeader } from '../../src/membership/leader.ts'
import { openScratchStore } from '../support/store.ts'

const WITHIN = { timeout: 20_000, interval: 100 }

it('one of two leads, a command beside them is refused, and the second leads when the first has left', async () => {
  const { store, close } = await openScratchStore('server')
  await refuseBesideLeader(store) // nobody is there
  const first = makeLeader(store, 'first')
  const second = makeLeader(store, 'second')
  const led: boolean[] = [await first.leads()]
  await vi.waitFor(async () => {
    led.push(await second.leads())
    expect(await first.leads()).toBe(true)
  }, WITHIN)
  expect(await second.leads()).toBe(false)
  expect(led, 'nobody leads before others had time to be heard').not.toContain(true)
  await expect(refuseBesideLeader(store, 0)).rejects.toMatchObject({ code: 'locked' })
  await first.leave()
  await vi.waitFor(async () => expect(await second.leads()).toBe(true), WITHIN)
  await second.leave()
  await refuseBesideLeader(store)
  await close()
})
