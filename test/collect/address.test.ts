import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { BlockList } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { clientAddress, networkOf, openPlaces, trustedProxies } from '../../src/collect/address.ts'
import { writePlaces } from '../support/mmdb.ts'

const trusted = new BlockList()
trusted.addSubnet('10.0.0.0', 8, 'ipv4')
trusted.addAddress('2001:db8::1', 'ipv6')

it('the address is the last one that no proxy of ours has, and what a stranger writes before it is not believed', () => {
  const of = (peer: string, forwarded?: string) => clientAddress(peer, forwarded, trusted)
  expect(of('81.2.69.142', '9.9.9.9')).toBe('81.2.69.142')
  expect(of('10.1.1.1', '9.9.9.9, 81.2.69.142')).toBe('81.2.69.142')
  expect(of('10.1.1.1', '9.9.9.9, 81.2.69.142, 10.2.2.2')).toBe('81.2.69.142')
  expect(of('::ffff:10.1.1.1', '::ffff:81.2.69.142')).toBe('81.2.69.142')
  expect(of('2001:db8::1', 'fe80::1%eth0')).toBe('fe80::1')
  expect(of('10.1.1.1')).toBe('10.1.1.1')
  expect(of('10.1.1.1', '81.2.69.142:8080')).toBe('81.2.69.142')
  expect(of('10.1.1.1', '[2001:db8::9]:443')).toBe('2001:db8::9')
  for (const odd of ['unknown', '_hidden', '999.1.1.1', '<script>']) expect(of('10.1.1.1', odd), odd).toBeUndefined()
})

it('a network is the front of an address, however it is written, and another one for the address beside it', () => {
  const groups = [
    ['81.2.69.142', '81.2.69.1', '::ffff:5102:458e', '0:0:0:0:0:ffff:81.2.69.9'],
    ['81.2.70.142'],
    ['2001:db8:7::1', '2001:db8:7:ffff:1:2:3:4', '2001:0DB8:0007::9.9.9.9'],
    ['2001:db8:8::1'],
    ['2001::', '2001:0:0:1::'],
    ['::1', '::', '0:0:0:1:2:3:4:5', '::1:2:3:4:5'],
    ['::1:2:3:4:5:6:7', '0:1:2:9:9:9:9:9'],
    [undefined],
  ]
  const networks = groups.map((addresses) => new Set(addresses.map(networkOf)))
  for (const [n, network] of networks.entries()) expect([...network], String(groups[n])).toHaveLength(1)
  expect(new Set(networks.flatMap((network) => [...network])).size).toBe(groups.length)
})

it('gives country and region from a database of the operator, and nothing without one', () => {
  const directory = mkdtempSync(join(tmpdir(), 'places-'))
  const path = join(directory, 'places.mmdb')
  writeFileSync(path, writePlaces({ '81.2.69.0/24': { country: 'GB', region: 'ENG' }, '89.160.20.0/24': { country: 'SE' } }))
  const request = (remoteAddress: string, forwarded?: string) =>
    ({
      socket: { remoteAddress },
      headers: forwarded === undefined ? {} : { 'x-forwarded-for': forwarded },
    }) as unknown as IncomingMessage
  const locate = openPlaces(path, trustedProxies(['127.0.0.1']))
  expect(locate(request('127.0.0.1', '81.2.69.142'))).toEqual({ country: 'GB', region: 'GB-ENG' })
  expect(locate(request('89.160.20.9', '81.2.69.142'))).toEqual({ country: 'SE', region: '' })
  expect(locate(request('127.0.0.1'))).toEqual({ country: '', region: '' })
  expect(openPlaces(undefined, trustedProxies([]))(request('81.2.69.142'))).toEqual({ country: '', region: '' })
  writeFileSync(path, 'no database')
  expect(() => openPlaces(path, trustedProxies([]))).toThrow(/geo\.database/)
  rmSync(directory, { recursive: true })
})
