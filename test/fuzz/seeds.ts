// Requests as they should be, from which the others are made. What is known of no route is sent to all of them.

import { LABELS, signedLink } from '../../src/collect/link.ts'
import type { Random } from '../../src/demo/random.ts'
import { FIELD_TYPES } from '../../src/event/event.ts'
import { makeSigner } from '../../src/identity/cookie.ts'
import { visitorNumber } from '../support/events.ts'
import { API_KEY, BROWSER_AGENT } from '../support/serve.ts'
import { C1, C3, C14 } from '../support/tc-strings.ts'
import type { Shot } from './request.ts'
import type { Route } from './routes.ts'

export const COOKIE_KEY = 'cookie-key-of-the-fuzzer-32-characters'
export const LINK_KEY = 'link-key-of-the-fuzzer-of-32-characters'
export const SOURCES = ['site', 'shop', 'guarded'] as const

const signer = makeSigner(() => [COOKIE_KEY])
const VALUES: Readonly<Record<string, readonly string[]>> = {
  source: SOURCES,
  event: ['page_view', 'impression', 'click', 'conversion', 'add_to_cart'],
  url: ['https://news.example/cars/a?x=1#y', 'https://a.example/', 'http://b.example:8080/p/q'],
  referrer: ['https://search.example/?q=cars', 'android-app://com.example'],
  gdpr: ['0', '1'],
  gdpr_consent: [C1, C3, C14],
  gpp: ['DBABMA~CQlH_MAQlH_MAEsABBENCWFgAPLAAELAAAYgA9gAAAAAAAAAAAAAAACAAACAPYAAAAAAAAAAAAAAAAAAAAgAA'],
  gpp_sid: ['2', '7', '2,7'],
  us_privacy: ['1YNN', '1NNN', '1---'],
  order_id: ['a-1', 'b-2'],
  value: ['1', '19.99'],
  cost: ['0.002'],
  dwell_ms: ['1500'],
  category: ['1', '1,2'],
  keyword: ['cars', 'cars,suv'],
  bidder: ['adnxs', 'Pusher', 'nobody'],
  uid: ['12345', '$UID', ''],
  redir: ['https://sync.example/back?u=$UID', 'https://sync.example', 'https://evil.example/'],
  f: ['i', 'b'],
}
export const NAMES: readonly string[] = [
  ...new Set([
    ...Object.keys(FIELD_TYPES),
    ...Object.keys(VALUES),
    'attr.a',
    'attr.b_2',
    'fpid',
    'fpid_known',
    'visitor',
    'ts',
    'cb',
    'sig',
    '_mr',
  ]),
]

/** What Prebid Server's documentation shows: `adnxs` is known. */
const UIDS = Buffer.from(
  JSON.stringify({ tempUIDs: { adnxs: { uid: '12345', expires: new Date(Date.now() + 86_400_000).toISOString() } } }),
).toString('base64url')

export const AGENTS = [
  BROWSER_AGENT,
  'Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Mobile Safari/604.1',
  'Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0',
]

const someValue = (name: string, random: Random): string => random.pick(VALUES[name] ?? ['x', 'some text', '7'])

/** Of a visitor: half of the requests come from a few that were here before, so that what is kept is found again. */
function cookieOf(random: Random): string {
  const name = random.chance(0.7) ? '__Host-mid' : '__Host-midp'
  return `${name}=${signer.sign(visitorNumber(random.between(1, 2_000)), Date.now())}`
}

function event(random: Random, isServer: boolean): Record<string, unknown> {
  const given: Record<string, unknown> = { source: random.pick(SOURCES) }
  for (const name of NAMES) if (random.chance(0.12) && !name.startsWith('gdpr')) given[name] = someValue(name, random)
  for (const number of ['value', 'cost', 'dwell_ms']) if (given[number] !== undefined) given[number] = Number(given[number])
  if (given['event'] === 'conversion' && random.chance(0.7)) given['order_id'] = someValue('order_id', random)
  if (random.chance(0.1)) given['gdpr_consent'] = someValue('gdpr_consent', random)
  given['visitor'] = visitorNumber(random.between(1, 2_000))
  if (!isServer || random.chance(0.7)) delete given['ts']
  else given['ts'] = Date.now() - random.between(0, 60 * 86_400_000)
  for (const name of ['sig', '_mr', 'fpid', 'fpid_known']) delete given[name]
  return given
}

const encode = (given: Readonly<Record<string, unknown>>): string =>
  Object.entries(given)
    .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(String(value))}`)
    .join('&')

function bodyOf(path: string, random: Random): unknown {
  const isServer = path === '/v1/events'
  if (path === '/cookie_sync')
    return {
      bidders: ['adnxs', 'pusher'],
      limit: 3,
      coopSync: true,
      gdpr: random.pick([0, 1]),
      gdpr_consent: someValue('gdpr_consent', random),
    }
  if (path === '/v1/links') return { url: 'https://shop.example/a', source: 'site', campaign: 'x' }
  if (path === '/v1/explain')
    return { url: `/p.gif?${encode(event(random, false))}`, headers: { 'user-agent': BROWSER_AGENT, cookie: cookieOf(random) } }
  if (random.chance(0.5)) return event(random, isServer)
  return { source: 'site', events: Array.from({ length: random.pick([1, 2, 5, 30]) }, () => event(random, isServer)) }
}

function linkOf(random: Random): string {
  const link = {
    target: 'https://shop.example/cars?a=1',
    source: random.pick(SOURCES),
    campaign: '',
    creative: '',
    placement: '',
  }
  for (const label of LABELS) if (random.chance(0.5)) link[label] = 'x y'
  return signedLink(link, LINK_KEY).split('?')[1] ?? ''
}

export function seedOf(route: Route, random: Random): Shot {
  const { method, path } = route
  const headers: Shot['headers'] = [['user-agent', random.pick(AGENTS)]]
  if (random.chance(0.7)) headers.push(['cookie', random.chance(0.1) ? `${cookieOf(random)}; uids=${UIDS}` : cookieOf(random)])
  if (random.chance(0.7)) headers.push(['sec-fetch-storage-access', random.pick(['active', 'none', 'inactive'])])
  if (random.chance(0.3)) headers.push(['referer', 'https://news.example/cars'])
  if (random.chance(0.3)) headers.push(['accept-language', 'de-DE,de;q=0.9'])
  if (path.startsWith('/v1/') || random.chance(0.05)) headers.push(['authorization', `Bearer ${API_KEY}`])
  const hasBody = method === 'POST' || method === 'PUT' || method === 'PATCH'
  const query = path === '/click' ? `${linkOf(random)}&value=1` : hasBody ? undefined : encode(event(random, false))
  const body = hasBody ? Buffer.from(JSON.stringify(bodyOf(path, random))) : undefined
  // A parameter in a path stands for itself.
  return { route, method, path: path.replaceAll('*', 'x'), query, headers, body, framing: 'length' }
}
