// Where a request comes from: its address, used for country, region and rate limits, and then forgotten. It is never stored, counted or logged.

import { readFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { BlockList, isIP } from 'node:net'
import { type CityResponse, Reader } from 'maxmind'
import { MadeleineError, messageOf } from '../core/errors.ts'

export type Place = {
  /** ISO 3166-1 and 3166-2 (`DE`, `DE-BY`); '' where nobody knows. */
  readonly country: string
  readonly region: string
}
export const NOWHERE: Place = { country: '', region: '' }
export type Locate = (request: IncomingMessage) => Place

/** `::ffff:192.0.2.1` is an IPv4 address that came through an IPv6 socket; a zone (`%eth0`) says nothing outside of its host. */
const plainAddress = (text: string): string =>
  text
    .trim()
    // Some proxies write the port along: `192.0.2.1:4711`, `[2001:db8::1]:4711`.
    .replace(/^(\d+\.\d+\.\d+\.\d+):\d+$/, '$1')
    .replace(/^\[([\da-f:.]+)\](:\d+)?$/i, '$1')
    .replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, '')
    .replace(/%.*$/, '')

export type TrustedProxies = BlockList

export function trustedProxies(written: readonly string[]): TrustedProxies {
  const list = new BlockList()
  for (const text of written) {
    const [address = '', bits] = text.split('/')
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
    if (bits === undefined) list.addAddress(address, family)
    else list.addSubnet(address, Number(bits), family)
  }
  return list
}

/**
 * The address of the browser: the last one in `X-Forwarded-For` that no trusted proxy of ours has. What stands left of it was written by whoever sent the
 * request, and so may say anything. Undefined where the proxies tell nothing that is an address.
 */
export function clientAddress(
  peer: string | undefined,
  forwarded: string | undefined,
  trusted: TrustedProxies,
): string | undefined {
  const isTrusted = (address: string) => trusted.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')
  let address = plainAddress(peer ?? '')
  for (const next of (forwarded ?? '').split(',').reverse()) {
    if (isIP(address) === 0 || !isTrusted(address)) break
    if (next.trim() !== '') address = plainAddress(next)
  }
  return isIP(address) === 0 ? undefined : address
}

export function addressOf(request: IncomingMessage, trusted: TrustedProxies): string | undefined {
  const forwarded = request.headers['x-forwarded-for']
  return clientAddress(request.socket.remoteAddress, Array.isArray(forwarded) ? forwarded.join(',') : forwarded, trusted)
}

/** The eight groups of an IPv6 address. */
function groupsOf(address: string): number[] {
  // RFC 4291 section 2.2: the last two groups may be written as an IPv4 address.
  const plain = address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, a, b, c, d) =>
    [Number(a) * 256 + Number(b), Number(c) * 256 + Number(d)].map((group) => group.toString(16)).join(':'),
  )
  const [front = [], back = []] = plain.split('::').map((part) => part.split(':').filter((group) => group !== ''))
  const zeros = Array.from({ length: Math.max(0, 8 - front.length - back.length) }, () => '0')
  return [...front, ...zeros, ...back].map((group) => Number.parseInt(group, 16))
}

/**
 * What an address shares with its neighbours: IPv4 /24, IPv6 /48. Whoever holds a smaller network changes addresses in it as they like. '' for whoever has none:
 * all of them are one.
 */
export function networkOf(address: string | undefined): string {
  if (address === undefined) return ''
  if (isIP(address) === 4) return address.split('.').slice(0, 3).join('.')
  const groups = groupsOf(address)
  const [, , , , , mapped, high = 0, low = 0] = groups
  if (mapped === 0xffff && groups.slice(0, 5).every((group) => group === 0)) return `${high >> 8}.${high & 255}.${low >> 8}`
  return groups
    .slice(0, 3)
    .map((group) => group.toString(16))
    .join(':')
}

/** Without a database everyone is nowhere, and no address is looked at. Throws `configuration` where the file is no mmdb of places. */
export function openPlaces(database: string | undefined, trusted: TrustedProxies): Locate {
  if (database === undefined) return () => NOWHERE
  let reader: Reader<CityResponse>
  try {
    reader = new Reader<CityResponse>(readFileSync(database))
  } catch (error) {
    throw new MadeleineError('configuration', `geo.database cannot be read: ${messageOf(error)}`, {
      hint: 'settings.yaml: geo.database is a country or city database in MaxMind DB format (.mmdb), relative to the configuration',
    })
  }
  return (request) => {
    const address = addressOf(request, trusted)
    const found = address === undefined ? null : reader.get(address)
    const country = found?.country?.iso_code ?? ''
    const part = found?.subdivisions?.[0]?.iso_code
    return { country, region: country !== '' && part ? `${country}-${part}` : '' }
  }
}
