// Limits by an injected clock, to the event.

import type { IncomingMessage } from 'node:http'
import { expect, it } from 'vitest'
import { trustedProxies } from '../../src/collect/address.ts'
import { makeRateLimiter, type RateLimiter, type RateLimits } from '../../src/collect/rate-limit.ts'
import { LIMITS } from '../../src/core/limits.ts'
import { visitorNumber } from '../support/events.ts'

function open(limits: RateLimits, trusted: readonly string[] = []) {
  const clock = { ms: 5_000 }
  const limiter = makeRateLimiter(limits, trustedProxies(trusted), () => clock.ms) as RateLimiter
  const request = (remoteAddress: string, headers: Record<string, string> = {}) =>
    ({ socket: { remoteAddress }, headers }) as unknown as IncomingMessage
  const send = (address: string, visitor: number, times = 1, headers: Record<string, string> = {}) =>
    Array.from({ length: times }, () =>
      limiter.take(limiter.networkOf(request(address, headers)), visitorNumber(visitor)),
    ).filter(Boolean).length
  return { clock, limiter, request, send }
}

it('a visitor sends as many events at once as the limit says, and then one each time another is due', () => {
  const { clock, send } = open({ perAddress: 0, perVisitor: 4 })
  expect(send('81.2.69.1', 1, 10)).toBe(4)
  clock.ms += 249
  expect(send('81.2.69.1', 1, 3)).toBe(0)
  clock.ms += 1
  expect(send('81.2.69.1', 1, 3)).toBe(1)
  clock.ms += 500
  expect(send('81.2.69.1', 1, 5)).toBe(2)
  clock.ms += 3_600_000 // what was not used is not saved up
  expect(send('81.2.69.1', 1, 10)).toBe(4)
  expect(send('81.2.69.1', 2, 10)).toBe(4) // another visitor has a limit of its own
})

it('at a limit of one a second exactly one passes in each, though thirds of a second do not add up', () => {
  const { clock, send } = open({ perAddress: 0, perVisitor: 1 })
  let passed = 0
  for (let third = 0; third < 30; third++) {
    passed += send('81.2.69.1', 1)
    clock.ms += 1_000 / 3
  }
  expect(passed).toBe(10)
})

it('addresses of one network share a limit whoever sends, and other networks have their own', () => {
  const { send } = open({ perAddress: 3, perVisitor: 0 })
  expect(send('81.2.69.1', 1, 2)).toBe(2)
  expect(send('81.2.69.200', 2, 2)).toBe(1)
  expect(send('81.2.70.1', 3, 5)).toBe(3)
  expect(send('2001:db8:7::1', 4, 2)).toBe(2)
  expect(send('2001:db8:7:99::2', 5, 2)).toBe(1)
  expect(send('2001:db8:8::1', 6, 5)).toBe(3)
})

it('what one limit refuses takes nothing from the other: a flood of one visitor leaves its neighbours theirs', () => {
  const { send } = open({ perAddress: 5, perVisitor: 2 })
  expect(send('81.2.69.1', 1, 100)).toBe(2)
  expect(send('81.2.69.1', 2, 100)).toBe(2)
  expect(send('81.2.69.1', 3, 100)).toBe(1)
})

it('the network is that of the browser behind trusted proxies, and of the sender where the proxy is a stranger', () => {
  const { send } = open({ perAddress: 1, perVisitor: 0 }, ['10.0.0.0/8'])
  const from = (address: string) => ({ 'x-forwarded-for': address })
  expect(send('10.0.0.1', 1, 2, from('81.2.69.1'))).toBe(1)
  expect(send('10.0.0.1', 1, 2, from('81.2.70.1'))).toBe(1)
  expect(send('89.160.20.1', 1, 2, from('81.2.71.1'))).toBe(1)
  expect(send('89.160.20.1', 1, 2, from('81.2.72.1'))).toBe(0)
})

it('a network is known by a hash that is another in each process, and not looked at where only visitors are limited', () => {
  const [a, b] = [open({ perAddress: 1, perVisitor: 0 }), open({ perAddress: 1, perVisitor: 0 })]
  const network = a.limiter.networkOf(a.request('81.2.69.142'))
  expect(network).toMatch(/^[\w-]{43}$/)
  expect(a.limiter.networkOf(a.request('81.2.69.1'))).toBe(network)
  expect(b.limiter.networkOf(b.request('81.2.69.142'))).not.toBe(network)
  const { limiter, request } = open({ perAddress: 0, perVisitor: 1 })
  expect(limiter.networkOf(request('81.2.69.142'))).toBeUndefined()
  expect(makeRateLimiter({ perAddress: 0, perVisitor: 0 }, trustedProxies([]), () => 0)).toBeUndefined()
})

it('follows a bounded number of visitors: one that was pushed out begins anew, the latest are still held', () => {
  const { send } = open({ perAddress: 0, perVisitor: 1 })
  let passed = 0
  for (let n = 0; n <= LIMITS.rateBuckets; n++) passed += send('81.2.69.1', n)
  expect(passed).toBe(LIMITS.rateBuckets + 1)
  expect(send('81.2.69.1', LIMITS.rateBuckets)).toBe(0)
  expect(send('81.2.69.1', 0)).toBe(1)
})
