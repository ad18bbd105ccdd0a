// Takes a GPP string (IAB Tech Lab, Global Privacy Platform) apart: the header lists the sections, the sections follow in that order.

import { BitReader, isBase64Url, isSegmentedBase64Url } from './bits.ts'

/** Why a text is no GPP string. */
export const GPP_FAULTS = ['too_long', 'alphabet', 'header', 'sections'] as const
export type GppFault = (typeof GPP_FAULTS)[number]

export type GppReading =
  /** The sections by number, unread. */
  { readonly ok: true; readonly sections: ReadonlyMap<number, string> } | { readonly ok: false; readonly why: GppFault }

/** Twice the longest TC string: the other sections have 20 characters each. */
export const GPP_CHARS_MAX = 8_192
/** Twenty-seven are known. */
const SECTIONS_MAX = 64
const HEADER_TYPE = 3
const HEADER_VERSION = 1
/** Twelve digits reach 376; a longer number names no section. */
const FIBONACCI_DIGITS_MAX = 12

const fault = (why: GppFault): GppReading => ({ ok: false, why })

export function readGpp(text: string): GppReading {
  if (text.length > GPP_CHARS_MAX) return fault('too_long')
  const [header = '', ...texts] = text.split('~', SECTIONS_MAX + 2)
  if (!isBase64Url(header) || !texts.every(isSegmentedBase64Url)) return fault('alphabet')
  const ids = readHeader(header, texts.length)
  if (!ids) return fault('header')
  if (ids.length !== texts.length) return fault('sections')
  return { ok: true, sections: new Map(ids.map((id, index) => [id, texts[index] ?? ''])) }
}

/** The numbers of the sections, ascending; no more than one over `count` are gathered, whatever a range claims. */
function readHeader(header: string, count: number): readonly number[] | undefined {
  const bits = new BitReader(header)
  bits.enter(0, header.length)
  if (bits.take(6) !== HEADER_TYPE || bits.take(6) !== HEADER_VERSION) return undefined
  const items = bits.take(12)
  const ids: number[] = []
  let last = 0
  for (let item = 0; item < items; item++) {
    const isGroup = bits.take(1) === 1
    const first = last + takeFibonacci(bits)
    last = isGroup ? first + takeFibonacci(bits) : first
    if (bits.overrun) return undefined
    for (let id = first; id <= last; id++) if (ids.push(id) > count) return ids
  }
  return bits.overrun || !bits.restIsZero() ? undefined : ids
}

/** A sum of Fibonacci numbers, smallest digit first, ended by the second of two ones. A number without an end overruns. */
function takeFibonacci(bits: BitReader): number {
  let value = 0
  let before = false
  for (let digit = 0, worth = 1, next = 2; digit <= FIBONACCI_DIGITS_MAX; digit++) {
    const one = bits.take(1) === 1
    if (one && before) return value
    if (one) value += worth
    before = one
    ;[worth, next] = [next, worth + next]
  }
  bits.overrun = true
  return 0
}
