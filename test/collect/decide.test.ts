import { describe, expect, it } from 'vitest'
import { readAgent, readLanguage } from '../../src/collect/agent.ts'
import { parseBody, parseQuery } from '../../src/collect/body.ts'
import { decideEvent, dropRequest, type EventInput } from '../../src/collect/decide.ts'
import { DAY_MS, RETENTION_MAX_MS } from '../../src/core/duration.ts'
import { ALL_PERMISSIONS, LIMITED_BIT, permissionSet, SIGNALLED_BIT } from '../../src/core/permissions.ts'
import { withAndWithout } from '../support/permission.ts'
import { sourcesOf } from '../support/sources.ts'
import { C1, C3 } from '../support/tc-strings.ts'

const now = Date.UTC(2026, 10, 21, 12)
const declared = [
  { id: 'open' },
  { id: 'news', hosts: ['news.example'] },
  { id: 'feed', permissions: permissionSet(['store', 'profile']) },
  { id: 'shut', permissions: permissionSet(['report']) },
]
const allow = { sources: sourcesOf(declared), retentionMs: RETENTION_MAX_MS }
const deny = { sources: sourcesOf(declared, { noSignal: 'deny' }), retentionMs: RETENTION_MAX_MS }
const input = (given: Record<string, unknown>, more: Partial<EventInput> = {}): EventInput => ({
  sender: 'browser',
  form: 'json',
  given: { source: 'open', ...given },
  referer: undefined,
  keyed: false,
  nowMs: now,
  ...more,
})

describe('what becomes of an event', () => {
  it('without a consent signal is what the setting says', () => {
    expect(decideEvent(input({}), allow)).toMatchObject({ kind: 'event', permissions: ALL_PERMISSIONS })
    expect(decideEvent(input({}), deny)).toEqual({ kind: 'drop', reason: 'no_consent' })
  })

  it('with a signal is what the signal says, and that it said so is kept', () => {
    const signalled = ALL_PERMISSIONS | (1 << SIGNALLED_BIT)
    // That the law does not apply is nothing that the visitor said.
    expect(decideEvent(input({ gdpr: 0 }), deny)).toMatchObject({ kind: 'event', permissions: ALL_PERMISSIONS })
    expect(decideEvent(input({ gdpr: '1' }), allow)).toEqual({ kind: 'drop', reason: 'no_consent' })
    expect(decideEvent(input({ gdpr_consent: C1 }), allow)).toMatchObject({
      permissions: signalled | (1 << LIMITED_BIT),
      receivers: [],
    })
  })

  it('that the visitor refuses is dropped with what the refusal governs, and one that nobody answered governs nothing', () => {
    const refused = { source: 'open', tsMs: now }
    expect(decideEvent(input({ gdpr_consent: C3 }), allow)).toEqual({ kind: 'drop', reason: 'consent_refused', refused })
    expect(decideEvent(input({ us_privacy: '1YYN' }), allow)).toEqual({ kind: 'drop', reason: 'us_opt_out', refused })
    // Nobody's word: it keeps the event out, and takes nothing back.
    const unread = { kind: 'drop', reason: 'consent_malformed' }
    for (const given of [
      { gdpr_consent: '$' + '{GDPR_CONSENT_123}' },
      { us_privacy: '$' + '{US_PRIVACY}' },
      { gpp: 'undefined' },
    ])
      expect(decideEvent(input(given), allow)).toEqual(unread)
    const heard = { gpc: '1', dnt: undefined, country: undefined }
    expect(decideEvent(input({}, { heard }), allow)).toEqual({ kind: 'drop', reason: 'gpc', refused })
    expect(decideEvent(input({}, { heard: { ...heard, gpc: undefined, country: 'FR' } }), allow)).toEqual({
      kind: 'drop',
      reason: 'no_consent',
    })
  })

  it('from a page that may not send for the source is no refusal either', () => {
    const given = { source: 'news', url: 'https://evil.example/', gdpr_consent: C3 }
    expect(decideEvent(input(given), allow)).toMatchObject({ kind: 'refused', reason: 'host_not_allowed' })
  })

  it('of a source that nobody declared is refused', () => {
    for (const source of ['', 'other', undefined, 5])
      expect(decideEvent(input({ source }), allow)).toMatchObject({ kind: 'refused', reason: 'unknown_source' })
  })

  it('from a page of another host is refused, subdomains belong', () => {
    const from = (url: string) => decideEvent(input({ source: 'news', url }), allow)
    expect(from('https://www.news.example/a')).toMatchObject({ kind: 'event' })
    expect(from('https://news.example.evil.example/a')).toMatchObject({ reason: 'host_not_allowed' })
    expect(from('https://notnews.example/a')).toMatchObject({ reason: 'host_not_allowed' })
    expect(decideEvent(input({ source: 'news' }), allow)).toMatchObject({ reason: 'host_not_allowed' })
  })

  it('takes its address from the Referer where it has none', () => {
    expect(decideEvent(input({}, { referer: 'https://news.example/' }), allow)).toMatchObject({
      fields: { url: 'https://news.example/' },
    })
    expect(decideEvent(input({ url: 'https://a.example/' }, { referer: 'https://b.example/' }), allow)).toMatchObject({
      fields: { host: 'a.example' },
    })
  })

  it('has no page where the Referer is an app, which is no mistake of the sender', () => {
    expect(decideEvent(input({}, { referer: 'android-app://com.example/' }), allow)).toMatchObject({
      kind: 'event',
      fields: { url: '' },
    })
  })

  it('has the time of its arrival, unless the request carries the key', () => {
    const ts = new Date(now - DAY_MS).toISOString()
    expect(decideEvent(input({ ts }), allow)).toMatchObject({ tsMs: now, ignored: ['ts'] })
    expect(decideEvent(input({ ts }, { keyed: true }), allow)).toMatchObject({ tsMs: now - DAY_MS })
  })

  it('is refused as too old, in the future, or without a zone, to the millisecond', () => {
    const at = (ts: unknown) => decideEvent(input({ ts }, { keyed: true }), allow)
    expect(at(now - RETENTION_MAX_MS)).toMatchObject({ reason: 'too_old' })
    expect(at(now - RETENTION_MAX_MS + 1)).toMatchObject({ kind: 'event' })
    expect(at(now + 300_000)).toMatchObject({ kind: 'event' })
    expect(at(now + 300_001)).toMatchObject({ reason: 'in_future' })
    for (const ts of ['2026-11-20T10:00:00', '2026-02-30T10:00:00Z', '20.11.2026', 1.5, 'now'])
      expect(at(ts), String(ts)).toMatchObject({ reason: 'invalid_field', field: 'ts' })
  })

  it('from a server has the permissions of its source', () => {
    expect(decideEvent(input({ source: 'feed' }, { sender: 'server' }), allow)).toMatchObject({
      permissions: permissionSet(['store', 'profile']),
    })
    expect(decideEvent(input({ source: 'shut' }, { sender: 'server' }), allow)).toEqual({ kind: 'drop', reason: 'no_store' })
  })
})

it('an event that may not be stored is no event', () => {
  const { allowed, refused } = withAndWithout('store')
  const from = (permissions: number) => {
    const settings = {
      sources: sourcesOf([{ id: 'open', permissions: permissions & ALL_PERMISSIONS }]),
      retentionMs: RETENTION_MAX_MS,
    }
    return decideEvent(input({}, { sender: 'server' }), settings)
  }
  expect(from(allowed)).toMatchObject({ kind: 'event', permissions: ALL_PERMISSIONS })
  expect(from(refused)).toEqual({ kind: 'drop', reason: 'no_store' })
})

describe('what becomes of a request', () => {
  const person = { bot: false, optedOut: false, purpose: undefined }
  it('goes through for a person, and not for a bot, an opt-out or a prefetch', () => {
    expect(dropRequest(person)).toBeUndefined()
    expect(dropRequest({ ...person, bot: true })).toBe('bot')
    expect(dropRequest({ ...person, optedOut: true })).toBe('opt_out')
    expect(dropRequest({ ...person, purpose: 'prefetch;anonymous-client-ip' })).toBe('prefetch')
  })

  it('a declared or an empty agent is a bot, a browser is not', () => {
    expect(readAgent('')).toMatchObject({ bot: true })
    expect(readAgent(undefined)).toMatchObject({ bot: true })
    expect(readAgent('Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)')).toMatchObject({ bot: true })
    const phone =
      'Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1'
    expect(readAgent(phone)).toEqual({ bot: false, device: 'mobile', browser: 'Safari', os: 'iOS' })
  })

  it('the language is the first one as its primary subtag', () => {
    expect(['de-DE,de;q=0.9', 'EN', 'zh-Hant-TW', '*', '', undefined].map(readLanguage)).toEqual(['de', 'en', 'zh', '', '', ''])
  })
})

describe('the body of a request', () => {
  it('gives its defaults to each event, and an event overrides them', () => {
    const parsed = parseBody(JSON.stringify({ source: 'open', campaign: 'a', events: [{ event: 'x' }, { campaign: 'b' }] }))
    expect(parsed).toEqual({
      ok: true,
      events: [
        { source: 'open', campaign: 'a', event: 'x' },
        { source: 'open', campaign: 'b' },
      ],
    })
  })

  it('keeps a consent signal that an empty one beside it would take back', () => {
    const [event] = eventsOf({ gdpr_consent: 'CPx', gpp: 'DBAA', events: [{ gdpr_consent: null, gpp: '' }] })
    expect(event).toMatchObject({ gdpr_consent: 'CPx', gpp: 'DBAA' })
    expect(parseQuery('gdpr=1&gdpr_consent=CPx&gdpr_consent=&gdpr=0&campaign=a&campaign=b')).toMatchObject({
      gdpr: '1,0',
      gdpr_consent: 'CPx',
      campaign: 'b',
    })
    expect(decideEvent(input(parseQuery('source=open&gdpr=1&gdpr=0')), allow)).toMatchObject({
      kind: 'drop',
      reason: 'no_consent',
    })
  })

  it('is refused where little text would become much', () => {
    const many = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`k${i}`, '']))
    expect(parseBody(JSON.stringify({ ...many, events: [{}] }))).toMatchObject({ ok: false })
    expect(parseBody(JSON.stringify({ events: [many] }))).toMatchObject({ ok: false })
    const wide = {
      events: Array.from({ length: 100 }, () => ({})),
      keyword: Array.from({ length: 100 }, () => 'x'.repeat(1_000)),
    }
    expect(parseBody(JSON.stringify(wide))).toMatchObject({ ok: false, message: expect.stringContaining('defaults') })
  })

  it('takes names that every object has for what they are: unknown', () => {
    expect(decideEvent(input(parseQuery('source=open&__proto__=x&constructor=y&toString=z')), allow)).toMatchObject({
      kind: 'event',
      ignored: ['__proto__', 'constructor', 'toString'],
    })
    const [event] = eventsOf({ source: 'open', 'attr.constructor': 'kept', hasOwnProperty: 1 })
    expect(decideEvent(input(event ?? {}), allow)).toMatchObject({ kind: 'event', fields: { attr: { constructor: 'kept' } } })
  })
})

function eventsOf(body: unknown) {
  const parsed = parseBody(JSON.stringify(body))
  if (!parsed.ok) throw new Error(parsed.message)
  return parsed.events
}
