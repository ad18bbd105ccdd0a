// What is done to a good request: to its bytes, its encoding, its size, its types, its headers, its framing. Several at once.

import type { Random } from '../../src/demo/random.ts'
import { bytesOf, copyOf, type Shot } from './request.ts'
import { NAMES } from './seeds.ts'

const deep = (depth: number, open: string, close: string): string => open.repeat(depth) + close.repeat(depth)
const TEXTS: readonly string[] = [
  '',
  ' ',
  '0',
  '-1',
  '1e999',
  '999999999999999999999',
  '0.0000001',
  'NaN',
  'null',
  'undefined',
  'true',
  '__proto__',
  'constructor',
  'toString',
  '\u0000',
  '\ud800',
  '\ufeff',
  '\u202egnp',
  '💥'.repeat(20),
  "'; DROP TABLE events; --",
  '{value:String}',
  '$' + '{jndi:ldap://x}',
  '../../../../etc/passwd',
  'jane@mail.example',
  '7f3c2a91-5d4e-4b6f-8a1c-9e0d2b4f6a88',
  'javascript:alert(1)',
  '//evil.example',
  'https://ok.example@evil.example/',
  'https://evil.example\\@ok.example/',
  'http://[::1',
  'http://[fe80::1%25eth0]/',
  `https://a.example/${'x/'.repeat(3_000)}`,
  'x'.repeat(1_024),
  'x'.repeat(1_025),
  'é'.repeat(1_024),
  ','.repeat(500),
  'a,'.repeat(101),
  '2026-11-22T12:00:00Z',
  '99999-01-01T00:00:00Z',
  '-271821-04-20T00:00:00Z',
]
const JSON_VALUES: readonly string[] = [
  'null',
  'true',
  '[]',
  '{}',
  '0',
  '-0',
  '1e308',
  '1e999',
  '123456789012345678901234567890',
  '0.1234567',
  '"\\ud800"',
  '"\\u0000"',
  '{"__proto__":{"polluted":true}}',
  '{"toString":null,"constructor":1}',
  '[[[[1]]]]',
  '["a",1,null,{}]',
  '{"a":"b","c":{"d":"e"}}',
  deep(2_000, '[', ']'),
  deep(2_000, '{"a":', '}').replace('{"a":}', '{"a":1}'),
]
const QUERY_PIECES = [
  '%',
  '%0',
  '%00',
  '%ff',
  '%C3%28',
  '%ED%A0%80',
  '%F0%9F%92%A5',
  '+',
  '%2B',
  '&&',
  '==',
  '=',
  '?',
  '#',
  '%0d%0aset-cookie:%20a=b',
  '\x80\xff',
  '%u0041',
  ';',
  '%25%34%30',
  '<script>',
  '"',
  "'",
  '\\',
  '[]',
  '|',
]
const HEADER_NAMES = [
  'cookie',
  'user-agent',
  'referer',
  'accept-language',
  'x-forwarded-for',
  'forwarded',
  'origin',
  'authorization',
  'sec-gpc',
  'dnt',
  'sec-purpose',
  'purpose',
  'sec-fetch-storage-access',
  'sec-fetch-site',
  'if-none-match',
  'content-type',
  'content-encoding',
  'accept-encoding',
  'range',
  'expect',
  'connection',
  'x-http-method-override',
  'x-odd',
]
const HEADER_VALUES = [
  '',
  '1',
  '0',
  'x'.repeat(2_000),
  '\xff\xfe\x80',
  'a=b; __Host-mid=; __Host-mid=x; __Host-midp=%',
  '__Host-mopt=OPT_OUT.1',
  '__Host-moptp=OPT_OUT.zz',
  `__Host-mid=${'0'.repeat(4_000)}`,
  '=;=;=',
  '__proto__=1',
  'null',
  'prefetch;anonymous-client-ip',
  'https://news.example',
  'null, null',
  '203.0.113.7, 10.0.0.1, ::1, x',
  'bytes=0-',
  '100-continue',
  'W/"x", *',
  'gzip, br',
  'application/x-www-form-urlencoded',
  'Bearer ',
  'Bearer integration-test-kez',
  'Basic YTpi',
  'keep-alive, x',
  'none',
  'active, active',
]
const METHODS = ['GET', 'POST', 'HEAD', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'TRACE', 'PROPFIND', 'SEARCH']

type Mutation = (shot: Shot, random: Random) => void

const latin1 = (text: string): string => encodeURIComponent(text.toWellFormed())
const addToQuery = (shot: Shot, piece: string) => {
  shot.query = shot.query === undefined ? piece : `${shot.query}&${piece}`
}
const inBody = (shot: Shot, change: (text: string) => string) => {
  if (shot.body) shot.body = Buffer.from(change(shot.body.toString('utf8')))
}
/** JSON text put in place of some value. */
const replaceValue = (text: string, value: string, random: Random): string => {
  const places = [...text.matchAll(/:("[^"\\]*"|[\d.]+)/g)]
  if (places.length === 0) return value
  const place = random.pick(places)
  return `${text.slice(0, place.index + 1)}${value}${text.slice(place.index + place[0].length)}`
}

const MUTATIONS: readonly Mutation[] = [
  (shot, random) => addToQuery(shot, `${random.pick(NAMES)}=${latin1(random.pick(TEXTS))}`),
  (shot, random) => addToQuery(shot, `${random.pick(NAMES)}=${random.pick(QUERY_PIECES)}${random.pick(QUERY_PIECES)}`),
  (shot, random) => addToQuery(shot, random.pick(QUERY_PIECES).repeat(random.pick([1, 3, 200]))),
  (shot, random) => {
    // Parts of it again: each name twice.
    const pairs = (shot.query ?? '').split('&')
    addToQuery(shot, pairs.filter(() => random.chance(0.5)).join('&'))
  },
  (shot, random) => {
    const query = shot.query ?? ''
    const at = random.between(0, query.length)
    shot.query = query.slice(0, at) + random.pick(QUERY_PIECES) + query.slice(at + random.between(0, 3))
  },
  (shot, random) => addToQuery(shot, `attr.${'a'.repeat(random.pick([1, 63, 64, 65]))}=${latin1(random.pick(TEXTS))}`),
  (shot, random) => addToQuery(shot, Array.from({ length: random.pick([50, 101, 300]) }, (_, n) => `attr.a${n}=${n}`).join('&')),
  (shot, random) => inBody(shot, (text) => replaceValue(text, random.pick(JSON_VALUES), random)),
  (shot, random) => inBody(shot, (text) => replaceValue(text, JSON.stringify(random.pick(TEXTS)), random)),
  (shot, random) =>
    inBody(shot, (text) =>
      text.replace('{', `{"${random.pick([...NAMES, 'events', 'attr', '__proto__'])}":${random.pick(JSON_VALUES)},`),
    ),
  (shot, random) => inBody(shot, (text) => text.slice(0, random.between(0, text.length))),
  (shot, random) => inBody(shot, (text) => random.pick(['\ufeff', ' '.repeat(9_999), '[', '"', '//', '\u0000']) + text),
  (shot, random) =>
    inBody(shot, () =>
      random.pick([
        ...JSON_VALUES,
        '',
        '{"events":[]}',
        '{"events":{}}',
        '{"events":[null]}',
        `{"source":"site","events":[${Array(101).fill('{}').join()}]}`,
      ]),
    ),
  (shot, random) =>
    inBody(shot, (text) => text.replace(/\}$/, `,"attr.long":"${'x'.repeat(random.pick([1_000, 100_000, 262_144, 400_000]))}"}`)),
  (shot, random) => {
    if (!shot.body || shot.body.length === 0) return
    const bytes = Buffer.from(shot.body)
    for (let n = random.between(1, 8); n > 0; n--) bytes[random.between(0, bytes.length - 1)] = random.between(0, 255)
    shot.body = bytes
  },
  (shot, random) => shot.headers.push([random.pick(HEADER_NAMES), random.pick(HEADER_VALUES)]),
  (shot, random) => shot.headers.push(...shot.headers.filter(() => random.chance(0.5))),
  (shot, random) =>
    shot.headers.push(...Array.from({ length: random.pick([10, 90]) }, (_, n): [string, string] => [`x-${n}`, 'y'])),
  (shot, random) => {
    shot.headers = shot.headers.filter(() => random.chance(0.5))
  },
  (shot, random) => {
    shot.headers.push([
      'cookie',
      `${'a=b; '.repeat(random.pick([1, 100, 5_000]))}__Host-mid=${random.pick(TEXTS).replace(/[^\x21-\x7e]/g, '~')}`,
    ])
  },
  (shot, random) => {
    shot.method = random.pick(METHODS)
  },
  (shot, random) => {
    shot.body ??= Buffer.from('{}')
    shot.framing = random.pick(['length', 'chunked'])
  },
  (shot, random) => {
    shot.path = random.pick([
      `/${shot.path}`,
      `${shot.path}/`,
      shot.path.toUpperCase(),
      `${shot.path}%00`,
      `${shot.path}/../x`,
      '/%2e%2e/x',
      '*',
      '/',
      `/${'a'.repeat(9_000)}`,
      `http://x.example${shot.path}`,
    ])
  },
]

/** The bytes of a request that no server should take as it is: torn, lying about its length, not HTTP. */
function broken(shot: Shot, random: Random): Buffer {
  const bytes = bytesOf(shot)
  const text = bytes.toString('latin1')
  return random.pick<() => Buffer>([
    () => bytes.subarray(0, random.between(1, bytes.length - 1)),
    () =>
      Buffer.from(
        text.replace(
          /content-length: \d+/,
          `content-length: ${random.pick(['-1', 'x', '1e3', '99999999999999999999', '+5', '0x10', '5, 6'])}`,
        ),
        'latin1',
      ),
    () => Buffer.from(text.replace('\r\n', `\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n`), 'latin1'),
    () => Buffer.from(text.replace('\r\n', '\r\ncontent-length: 3\r\ncontent-length: 4\r\n'), 'latin1'),
    () => Buffer.from(text.replace('HTTP/1.1', random.pick(['HTTP/9.9', 'HTTP/0.9', 'HTTQ/1.1', ''])), 'latin1'),
    () =>
      Buffer.from(
        text.replace(
          '\r\n',
          `\r\n${random.pick(['no colon', ': empty', 'a b: c', '\0: x', ' folded: x', `x: ${'y'.repeat(20_000)}`])}\r\n`,
        ),
        'latin1',
      ),
    () => Buffer.from(text.replaceAll('\r\n', '\n'), 'latin1'),
    () => Buffer.from(`${text.replace(/content-length: \d+\r\n/, 'transfer-encoding: chunked\r\n')}zz\r\n`, 'latin1'),
    () => Buffer.from(`\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03${text}`, 'latin1'),
    () => Buffer.from(Array.from({ length: random.between(1, 500) }, () => random.between(0, 255))),
    () => Buffer.from(`CONNECT x.example:80 HTTP/1.1\r\nhost: x\r\n\r\n`),
    () => Buffer.from(`GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n`),
  ])()
}

/** A good request in ten, and the rest with one mutation or several; `isBroken`: half of them are no HTTP any more. */
export function mutate(seed: Shot, random: Random, isBroken: boolean): Shot {
  const shot = copyOf(seed)
  if (random.chance(0.1)) return shot
  for (let n = 1 + random.repeats(0.4); n > 0; n--) random.pick(MUTATIONS)(shot, random)
  if (!isBroken || random.chance(0.5)) return shot
  const raw = broken(copyOf(shot), random)
  // What has nothing to be broken in that way stays what it is.
  if (!raw.equals(bytesOf(shot))) shot.raw = raw
  return shot
}
