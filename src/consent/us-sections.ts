// The sections of the US states in a GPP string, reduced to what decides here: has the visitor opted out of sale, sharing or targeted
// advertising, by hand or by Global Privacy Control, and is it known to be a child? What cannot be read is no answer, and no consent.

import { BitReader, bitAt, bitsAt, CHAR_BITS, isBase64Url } from './bits.ts'

export const US_VERDICTS = ['not_opted_out', 'opted_out', 'not_applicable', 'known_child', 'unreadable'] as const
export type UsVerdict = (typeof US_VERDICTS)[number]

type UsSection = {
  readonly id: number
  readonly version: number
  readonly coreBits: number
  /** Where the opt-outs stand, two bits each. */
  readonly optOutsAt: readonly number[]
  readonly childAt: number
  /** Two bits each too; 0 where the law has no such field. */
  readonly childFields: number
  /** What may follow the core: Global Privacy Control, or consents to sensitive data, which we never ask for. */
  readonly second: 'gpc' | 'sensitive' | undefined
}

const section = (
  [id, version, coreBits]: readonly [number, number, number],
  optOutsAt: readonly number[],
  [childAt, childFields]: readonly [number, number],
  second: UsSection['second'],
): UsSection => ({ id, version, coreBits, optOutsAt, childAt, childFields, second })

/** IAB Tech Lab, GPP section specifications. 24 to 27 in the form that libraries write, without the section header of the 2025 draft. */
export const US_SECTIONS: readonly UsSection[] = [
  section([7, 1, 60], [18, 20, 22], [48, 2], 'gpc'), // national
  section([7, 2, 70], [18, 20, 22], [56, 3], 'gpc'),
  section([8, 1, 46], [12, 14], [34, 2], 'gpc'), // California
  section([9, 1, 40], [12, 14], [32, 1], undefined), // Virginia
  section([10, 1, 38], [12, 14], [30, 1], 'gpc'), // Colorado
  section([11, 1, 42], [14, 16], [34, 1], undefined), // Utah
  section([12, 1, 44], [12, 14], [32, 3], 'gpc'), // Connecticut
  section([13, 1, 46], [12, 14], [32, 3], undefined), // Florida
  section([14, 1, 46], [12, 14], [32, 3], 'gpc'), // Montana
  section([15, 1, 52], [12, 14], [38, 3], 'gpc'), // Oregon
  section([16, 1, 42], [12, 14], [32, 1], 'gpc'), // Texas
  section([17, 1, 52], [12, 14], [34, 5], 'gpc'), // Delaware
  section([18, 1, 42], [14, 16], [34, 1], 'gpc'), // Iowa
  section([19, 1, 42], [12, 14], [32, 1], 'gpc'), // Nebraska
  section([20, 1, 46], [12, 14], [32, 3], 'gpc'), // New Hampshire
  section([21, 1, 54], [12, 14], [36, 5], 'gpc'), // New Jersey
  section([22, 1, 42], [12, 14], [32, 1], 'gpc'), // Tennessee
  section([23, 1, 42], [12, 14], [32, 1], 'gpc'), // Minnesota
  section([24, 1, 22], [16, 18], [20, 0], 'gpc'), // Maryland
  section([25, 1, 24], [16, 18], [20, 1], 'sensitive'), // Indiana
  section([26, 1, 24], [16, 18], [20, 1], 'sensitive'), // Kentucky
  section([27, 1, 24], [16, 18], [20, 1], 'sensitive'), // Rhode Island
]

const VERSION_BITS = 6
const OPTED_OUT = 1
const NOT_DEFINED = 3
const GPC_SEGMENT = { type: 1, bits: 3 } as const
const SENSITIVE_SEGMENT_BITS = 16

/** By section and version. */
const KNOWN = new Map(US_SECTIONS.map((known) => [known.id * 64 + known.version, known]))
const IDS: ReadonlySet<number> = new Set(US_SECTIONS.map(({ id }) => id))
export const isUsSection = (id: number): boolean => IDS.has(id)

export function judgeUsSection(id: number, text: string): UsVerdict {
  const [core = '', second, ...more] = text.split('.', 3)
  if (more.length > 0 || core === '' || !isBase64Url(core)) return 'unreadable'
  const known = KNOWN.get(id * 64 + bitsAt(core, 0, VERSION_BITS))
  if (!known || !isFilled(core, known.coreBits)) return 'unreadable'
  const gpc = second === undefined ? false : readSecond(second, known)
  if (gpc === undefined) return 'unreadable'

  const optOuts = known.optOutsAt.map((at) => bitsAt(core, at, 2))
  if (optOuts.includes(NOT_DEFINED)) return 'unreadable'
  if (bitsAt(core, known.childAt, 2 * known.childFields) !== 0) return 'known_child'
  if (gpc || optOuts.includes(OPTED_OUT)) return 'opted_out'
  // Nobody was asked: as good as no section, and no yes.
  return optOuts.every((value) => value === 0) ? 'not_applicable' : 'not_opted_out'
}

/** Holds so many bits, and after them only padding. Cut short, the missing fields would read as "not applicable". */
function isFilled(text: string, width: number): boolean {
  if (text.length * CHAR_BITS < width) return false
  const bits = new BitReader(text)
  bits.enter(0, text.length)
  bits.skip(width)
  return bits.restIsZero()
}

/** Whether Global Privacy Control is on; undefined where the segment is none that this section has. */
function readSecond(text: string, known: UsSection): boolean | undefined {
  if (known.second === undefined || !isBase64Url(text)) return undefined
  if (known.second === 'sensitive') return isFilled(text, SENSITIVE_SEGMENT_BITS) ? false : undefined
  if (!isFilled(text, GPC_SEGMENT.bits) || bitsAt(text, 0, 2) !== GPC_SEGMENT.type) return undefined
  return bitAt(text, 2)
}
