// What a request leads to, decided without a server: refusals and opt-outs that are said once, said again where they were lost, and never by somebody else.

import { describe, expect, it } from 'vitest'
import { NOWHERE, trustedProxies } from '../../src/collect/address.ts'
import { decideEvent } from '../../src/collect/decide.ts'
import { type HitParts, resolveHit } from '../../src/collect/hit.ts'
import { makeRecentRefusals, takeBack } from '../../src/collect/opt-out.ts'
import { makeRateLimiter } from '../../src/collect/rate-limit.ts'
import { readHeaders } from '../../src/collect/request.ts'
import { EVERYWHERE } from '../../src/consent/standing.ts'
import { RETENTION_MAX_MS } from '../../src/core/duration.ts'
import { makeSigner, newVisitor } from '../../src/identity/cookie.ts'
import { makeTombstones } from '../../src/identity/tombstones.ts'
import { firstPartyVisitor } from '../../src/identity/visitor.ts'
import { BROWSER_AGENT } from '../support/serve.ts'
import { sourcesOf } from '../support/sources.ts'
import { C3 } from '../support/tc-strings.ts'

const now = Date.UTC(2026, 10, 22, 12)
const OWN = '5e0f9d5c-1b2a-4c3d-8e4f-0a1b2c3d4e5f'
const settings = { sources: sourcesOf([{ id: 'site' }, { id: 'shop' }]), retentionMs: RETENTION_MAX_MS }

function open(limiter: HitParts['limiter'] = undefined) {
  const signer = makeSigner(() => ['a key of thirty-two characters..'])
  const parts: HitParts = {
    signer,
    tombstones: makeTombstones('another key'),
    recentRefusals: makeRecentRefusals(),
    limiter,
  }
  return {
    parts,
    cookieOf: (visitor = newVisitor(), name = '__Host-mid') => ({ visitor, cookie: `${name}=${signer.sign(visitor, now)}` }),
    send(given: readonly Record<string, unknown>[], headers: Record<string, string> = {}, nowMs = now, keyed = false) {
      const own = { 'user-agent': BROWSER_AGENT, 'sec-fetch-storage-access': 'active', ...headers }
      const browser = readHeaders(own, keyed, NOWHERE, keyed ? undefined : 'network')
      const input = { sender: 'browser', form: 'json', referer: undefined, heard: browser.heard, keyed: true, nowMs } as const
      const items = given.map((event) => ({ given: event, decision: decideEvent({ ...input, given: event }, settings) }))
      return resolveHit(items, browser, parts, { round: 'impossible', nowMs })
    },
  }
}
const said = (visitor: string, source: string) => ({ visitor, source, permissions: 0 })

describe('a refusal', () => {
  it('is written down once for the hits of a page, again a minute later, and again where it was lost', () => {
    const { send, cookieOf, parts } = open()
    const { visitor, cookie } = cookieOf()
    const refuse = (nowMs = now) => send([{ source: 'site', gdpr_consent: C3 }], { cookie }, nowMs).notes
    const first = refuse()
    expect(first?.signals).toMatchObject([said(visitor, 'site')])
    expect(refuse(now + 1_000)).toBeUndefined()
    expect(refuse(now + 61_000)?.signals).toMatchObject([said(visitor, 'site')])
    if (first) takeBack(first, parts, now)
    expect(refuse(now + 62_000)?.signals).toMatchObject([said(visitor, 'site')])
  })

  it('by the browser itself is about everything, one by a page about that source', () => {
    const { send, cookieOf } = open()
    const [a, b] = [cookieOf(), cookieOf()]
    expect(send([{ source: 'site' }], { cookie: a.cookie, 'sec-gpc': '1' }).notes?.signals).toMatchObject([
      said(a.visitor, EVERYWHERE),
    ])
    expect(send([{ source: 'site', gdpr_consent: C3 }], { cookie: b.cookie }).notes?.signals).toMatchObject([
      said(b.visitor, 'site'),
    ])
  })
})

describe('an opt-out', () => {
  it('that could not be written down is said again with the next hit', () => {
    const { send, cookieOf, parts } = open()
    const { visitor, cookie } = cookieOf()
    const optOut = () => send([{ source: 'site' }], { cookie: `${cookie}; __Host-mopt=1` }).notes
    const lost = optOut()
    expect([lost?.signals, lost?.tombstones?.length]).toMatchObject([[said(visitor, EVERYWHERE)], 1])
    expect([parts.tombstones.has(visitor), optOut()]).toEqual([true, undefined])
    if (lost) takeBack(lost, parts, now)
    expect(optOut()?.signals).toMatchObject([said(visitor, EVERYWHERE)])
  })

  it('of one id is heard whichever id the browser would be known by', () => {
    const { send, cookieOf, parts } = open()
    const [global, apart] = [cookieOf(), cookieOf(newVisitor(), '__Host-midp')]
    const both = { cookie: `${global.cookie}; ${apart.cookie}` }
    expect(send([{ source: 'site' }], both).events).toHaveLength(1)
    parts.tombstones.set(apart.visitor, true, now)
    expect(send([{ source: 'site' }], both)).toMatchObject({ events: [], decisions: [{ kind: 'drop', reason: 'opt_out' }] })
  })

  it('for a site silences every source of the request there, and remembers no id that nobody has signed', () => {
    const { send, cookieOf, parts } = open()
    const { visitor, cookie } = cookieOf()
    const hit = send([{ source: 'site', fpid: OWN }, { source: 'shop' }], { cookie: `${cookie}; __Host-moptp=1` })
    expect(hit.events).toEqual([])
    expect(hit.notes?.signals).toMatchObject([
      said(firstPartyVisitor(OWN, 'site') ?? '', 'site'),
      said(visitor, 'site'),
      said(firstPartyVisitor(OWN, 'shop') ?? '', 'shop'),
      said(visitor, 'shop'),
    ])
    expect([hit.notes?.tombstones, parts.tombstones.size]).toEqual([[], 0])
  })
})

describe('over a rate limit', () => {
  const limits = { perAddress: 3, perVisitor: 2 }
  const limited = () => open(makeRateLimiter(limits, trustedProxies([]), () => 0))
  const outcomes = ({ decisions }: { decisions: readonly { kind: string }[] }) => decisions.map(({ kind }) => kind)

  it('events of one hit are dropped one by one, and whoever is left with none gets no id', () => {
    const { send } = limited()
    const first = send([{ source: 'site' }, { source: 'site' }, { source: 'site' }])
    expect(outcomes(first)).toEqual(['event', 'event', 'drop'])
    expect(first.decisions[2]).toEqual({ kind: 'drop', reason: 'rate_limited' })
    expect(first.events).toHaveLength(2)
    expect(first.setCookies).toHaveLength(1)
    expect(outcomes(send([{ source: 'site' }]))).toEqual(['event']) // somebody new, and the last one of the network
    const over = send([{ source: 'site' }])
    expect(over).toMatchObject({ events: [], setCookies: [], decisions: [{ kind: 'drop', reason: 'rate_limited' }] })
  })

  it('a refusal is still written down, and what was dropped for another reason takes nothing from the limit', () => {
    const { send, cookieOf } = limited()
    for (let n = 0; n < 5; n++) expect(outcomes(send([{ source: 'site', gdpr_consent: C3 }]))).toEqual(['drop'])
    expect(outcomes(send([{ source: 'site' }, { source: 'site' }]))).toEqual(['event', 'event'])
    send([{ source: 'site' }])
    const { visitor, cookie } = cookieOf()
    const mixed = send([{ source: 'site' }, { source: 'shop', gdpr_consent: C3 }], { cookie })
    expect(mixed.notes?.signals).toMatchObject([said(visitor, 'shop')])
    expect(mixed.decisions).toMatchObject([{ reason: 'rate_limited' }, { reason: 'consent_refused' }])
  })

  it('whoever carries the key is not limited', () => {
    const { send } = limited()
    const many = Array.from({ length: 20 }, () => ({ source: 'site' }))
    expect(send(many, {}, now, true).events).toHaveLength(20)
    expect(send(many).events).toHaveLength(2)
  })
})
