// Writes TC strings bit by bit, right ones and wrong ones: the official encoder refuses to write what the tests need to refuse.

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

export class BitWriter {
  bits = ''

  put(value: number, width: number): this {
    this.bits += value.toString(2).padStart(width, '0')
    return this
  }

  /** Numbered bits, the first of them 1. */
  putSet(members: readonly number[], width: number): this {
    for (let n = 1; n <= width; n++) this.bits += members.includes(n) ? '1' : '0'
    return this
  }

  get text(): string {
    return (this.bits.match(/.{1,6}/g) ?? []).map((six) => ALPHABET[Number.parseInt(six.padEnd(6, '0'), 2)]).join('')
  }
}

export type Range = readonly [first: number, last: number]
export type Vendors =
  | { readonly field: readonly number[]; readonly max?: number }
  | { readonly ranges: readonly Range[]; readonly max?: number }
export type Restriction = { readonly purpose: number; readonly type: number; readonly ranges: readonly Range[] }

export type TcFields = {
  readonly version?: number
  readonly created?: string
  readonly policy?: number
  readonly serviceSpecific?: boolean
  readonly purposes?: readonly number[]
  readonly purposesLi?: readonly number[]
  readonly purposeOneTreatment?: boolean
  readonly country?: string
  readonly vendors?: Vendors
  readonly vendorsLi?: Vendors
  readonly restrictions?: readonly Restriction[]
  /** Written after the core in this order. */
  readonly segments?: readonly string[]
}

function putEntries(bits: BitWriter, ranges: readonly Range[]): void {
  bits.put(ranges.length, 12)
  for (const [first, last] of ranges) {
    bits.put(first === last ? 0 : 1, 1).put(first, 16)
    if (first !== last) bits.put(last, 16)
  }
}

export function putVendors(bits: BitWriter, vendors: Vendors): BitWriter {
  if ('field' in vendors) {
    const max = vendors.max ?? Math.max(0, ...vendors.field)
    return bits.put(max, 16).put(0, 1).putSet(vendors.field, max)
  }
  bits.put(vendors.max ?? Math.max(0, ...vendors.ranges.flat()), 16).put(1, 1)
  putEntries(bits, vendors.ranges)
  return bits
}

const letters = (bits: BitWriter, text: string) => {
  for (const letter of text) bits.put(letter.charCodeAt(0) - 65, 6)
}

export const disclosedSegment = (vendors: Vendors): string => putVendors(new BitWriter().put(1, 3), vendors).text
export const allowedSegment = (vendors: Vendors): string => putVendors(new BitWriter().put(2, 3), vendors).text
const all = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1)
/** With so many purposes of the publisher's own, all of them given. */
export const publisherSegment = (consents: readonly number[], custom = 0): string =>
  new BitWriter()
    .put(3, 3)
    .putSet(consents, 24)
    .putSet([], 24)
    .put(custom, 6)
    .putSet(all(custom), custom)
    .putSet(all(custom), custom).text

const NONE: Vendors = { field: [] }
/** Created after the day from which vendors must be disclosed, and disclosing them. */
export const TODAY = '2026-06-01T00:00:00Z'
export const BEFORE_DISCLOSURE = '2026-02-27T00:00:00Z'

export function coreBits(fields: TcFields): BitWriter {
  const bits = new BitWriter()
  const created = Date.parse(fields.created ?? TODAY) / 100
  bits
    .put(fields.version ?? 2, 6)
    .put(created, 36)
    .put(created, 36)
    .put(300, 12)
    .put(1, 12)
    .put(1, 6)
  letters(bits, 'EN')
  bits
    .put(150, 12)
    .put(fields.policy ?? 5, 6)
    .put(fields.serviceSpecific === false ? 0 : 1, 1)
    .put(0, 1)
    .put(0, 12)
  bits
    .putSet(fields.purposes ?? [], 24)
    .putSet(fields.purposesLi ?? [], 24)
    .put(fields.purposeOneTreatment ? 1 : 0, 1)
  letters(bits, fields.country ?? 'DE')
  putVendors(bits, fields.vendors ?? NONE)
  putVendors(bits, fields.vendorsLi ?? NONE)
  const restrictions = fields.restrictions ?? []
  bits.put(restrictions.length, 12)
  for (const { purpose, type, ranges } of restrictions) {
    bits.put(purpose, 6).put(type, 2)
    putEntries(bits, ranges)
  }
  return bits
}

export const writeTc = (fields: TcFields): string => [coreBits(fields).text, ...(fields.segments ?? [])].join('.')
