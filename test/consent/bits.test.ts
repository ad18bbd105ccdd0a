import { expect, it } from 'vitest'
import { BitReader, bitAt, bitsAt, isBase64Url, isSegmentedBase64Url } from '../../src/consent/bits.ts'

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const asBits = (text: string) => [...text].map((char) => ALPHABET.indexOf(char).toString(2).padStart(6, '0')).join('')

it('a run of bits is the same wherever it begins and ends', () => {
  const text = 'CQlH_MAQ-9zv'
  const bits = asBits(text)
  for (let at = 0; at < bits.length; at++) {
    expect(bitAt(text, at), `bit ${at}`).toBe(bits[at] === '1')
    for (let width = 1; width <= 24 && at + width <= bits.length; width++)
      expect(bitsAt(text, at, width), `${width} bits at ${at}`).toBe(Number.parseInt(bits.slice(at, at + width), 2))
  }
})

it('the alphabet is the 64 characters of base64url and no other of the 65,536, but for the dot between segments', () => {
  const characters = Array.from({ length: 65_536 }, (_, code) => String.fromCharCode(code))
  expect(characters.filter(isBase64Url).sort()).toEqual([...ALPHABET].sort())
  expect(characters.filter(isSegmentedBase64Url).sort()).toEqual([...ALPHABET, '.'].sort())
  expect(isBase64Url(ALPHABET)).toBe(true)
  expect(isBase64Url(`${ALPHABET}\n`)).toBe(false)
})

it('beyond the end a reader gives 0 and says so', () => {
  const bits = new BitReader('__')
  bits.enter(0, 2)
  expect(bits.take(10)).toBe(1_023)
  expect(bits.overrun).toBe(false)
  expect(bits.take(3)).toBe(0)
  expect(bits.overrun).toBe(true)
  const other = new BitReader('__')
  other.enter(0, 1)
  other.skip(6)
  expect(other.overrun, 'exactly to the end').toBe(false)
  other.skip(1)
  expect(other.overrun, 'into the next segment').toBe(true)
})

it('zeros after the end are padding, a one is not', () => {
  const rest = (text: string, skip: number) => {
    const bits = new BitReader(text)
    bits.enter(0, text.length)
    bits.skip(skip)
    return bits.restIsZero()
  }
  expect(rest('_gAAA', 11)).toBe(true)
  expect(rest('_gAAA', 7)).toBe(true)
  expect(rest('_gAAA', 6)).toBe(false)
  expect(rest('_gAAB', 11)).toBe(false)
})
