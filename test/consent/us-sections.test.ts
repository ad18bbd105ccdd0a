// The table of bit offsets beside the official library: sections it writes, judged by us.

import { GppModel } from '@iabgpp/cmpapi'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readGpp } from '../../src/consent/gpp.ts'
import { judgeUsSection, US_SECTIONS } from '../../src/consent/us-sections.ts'
import { BitWriter } from './tc-writer.ts'

const OPT_OUTS = ['SaleOptOut', 'SharingOptOut', 'TargetedAdvertisingOptOut']
const CHILD = 'KnownChildSensitiveDataConsents'
const GPC_IN = 'GpcSegmentIncluded'

/** An empty section of the library's, and the names of its fields. */
function blank(id: number, version: number) {
  const model = new GppModel()
  model.setFieldValueBySectionId(id, 'SaleOptOut', 0)
  if (id === 7) {
    model.setFieldValueBySectionId(id, 'Version', version)
    // The library grows the older form's lists to the newer one's.
    if (version === 1) model.setFieldValueBySectionId(id, CHILD, [0, 0, 0])
  }
  const name = [...model.getSectionIds()].map(String)
  expect(name).toEqual([String(id)])
  const [fields] = Object.values(model.toObject()) as Record<string, unknown>[]
  return { model, fields: fields ?? {} }
}

const sectionOf = (model: GppModel, id: number): string => {
  const reading = readGpp(model.encode())
  if (!reading.ok) throw new Error(reading.why)
  return reading.sections.get(id) ?? ''
}

const isStructural = (name: string) => /Version|SegmentType|SegmentIncluded/.test(name)

describe.each(US_SECTIONS.map((section) => [section.id, section.version, section] as const))(
  'section %i, version %i',
  (id, version, section) => {
    const { fields } = blank(id, version)
    const optOuts = OPT_OUTS.filter((name) => name in fields)
    const hasGpc = 'Gpc' in fields
    /** A section with these fields changed, as the library writes it. */
    const write = (changes: Readonly<Record<string, unknown>>): string => {
      const { model } = blank(id, version)
      for (const [name, value] of Object.entries(changes)) model.setFieldValueBySectionId(id, name, value)
      return sectionOf(model, id)
    }

    it('has the opt-outs, the child fields and the second segment of the library', () => {
      expect(section.optOutsAt).toHaveLength(optOuts.length)
      const child = blank(id, version).fields[CHILD]
      expect(section.childFields).toBe(Array.isArray(child) ? child.length : child === undefined ? 0 : 1)
      expect(section.second === 'gpc').toBe(hasGpc)
      expect(sectionOf(blank(id, version).model, id).includes('.')).toBe(section.second !== undefined)
    })

    it('each opt-out alone is heard, and its denial is not one', () => {
      expect(optOuts.length).toBeGreaterThan(0)
      for (const name of optOuts) {
        expect(judgeUsSection(id, write({ [name]: 1 })), name).toBe('opted_out')
        expect(judgeUsSection(id, write({ [name]: 2 })), name).toBe('not_opted_out')
        expect(judgeUsSection(id, write({ [name]: 0 })), name).toBe('not_applicable')
      }
    })

    it('each child field alone is heard', () => {
      for (let field = 0; field < section.childFields; field++)
        for (const value of [1, 2]) {
          const list = Array.from({ length: section.childFields }, (_, n) => (n === field ? value : 0))
          const isList = Array.isArray(fields[CHILD])
          expect(judgeUsSection(id, write({ [CHILD]: isList ? list : value })), `field ${field}`).toBe('known_child')
        }
    })

    it('no other field matters', () => {
      const others = Object.entries(fields).filter(([name]) => !isStructural(name) && ![...OPT_OUTS, CHILD, 'Gpc'].includes(name))
      expect(others.length).toBeGreaterThan(0)
      fc.assert(
        fc.property(fc.array(fc.constantFrom(1, 2), { minLength: 40, maxLength: 40 }), (values) => {
          const changes = others.map(([name, value], n) => [
            name,
            Array.isArray(value) ? value.map((_, at) => values[(n + at) % 40]) : values[n % 40],
          ])
          expect(judgeUsSection(id, write(Object.fromEntries(changes)))).toBe('not_applicable')
        }),
        { numRuns: 5 },
      )
    })

    it('Global Privacy Control is heard where the section has it', () => {
      const [core = ''] = write({}).split('.')
      expect(judgeUsSection(id, core), 'without the segment').toBe('not_applicable')
      expect(judgeUsSection(id, `${core}.YA`)).toBe(hasGpc ? 'opted_out' : 'unreadable')
      if (!hasGpc) return
      expect(judgeUsSection(id, write({ [GPC_IN]: true, Gpc: true }))).toBe('opted_out')
      expect(judgeUsSection(id, write({ [GPC_IN]: true, Gpc: false }))).toBe('not_applicable')
      for (const segment of ['AA', 'gA', 'wA', 'QB', '', 'Q=', 'YA.YA'])
        expect(judgeUsSection(id, `${core}.${segment}`), `segment ${segment}`).toBe('unreadable')
    })

    it('what is too short, goes on, or is of another version is not read', () => {
      const [core = ''] = write({}).split('.')
      // Without the library's padding the core ends within its last character.
      const needed = Math.ceil(section.coreBits / 6)
      expect(judgeUsSection(id, core.slice(0, needed))).toBe('not_applicable')
      expect(judgeUsSection(id, core.slice(0, needed - 1))).toBe('unreadable')
      expect(judgeUsSection(id, `${core}AAAA`), 'padding').toBe('not_applicable')
      expect(judgeUsSection(id, `${core}AAAB`)).toBe('unreadable')
      expect(judgeUsSection(id, `D${core.slice(1)}`), 'version 3').toBe('unreadable')
      expect(judgeUsSection(id, `A${core.slice(1)}`), 'version 0').toBe('unreadable')
      expect(judgeUsSection(id, core.replace(/.$/, '='))).toBe('unreadable')
    })

    it('an opt-out of value 3 means nothing and so is not read', () => {
      for (const at of section.optOutsAt) {
        const bits = new BitWriter().put(version, 6)
        bits.bits = bits.bits.padEnd(section.coreBits, '0')
        expect(judgeUsSection(id, bits.text), 'positive control').toBe('not_applicable')
        bits.bits = `${bits.bits.slice(0, at)}11${bits.bits.slice(at + 2)}`
        expect(judgeUsSection(id, bits.text)).toBe('unreadable')
      }
    })
  },
)

it('the section header of the 2025 draft is not taken for a core', () => {
  // Section number, version, and whatever follows: the first characters are Y, Z, a and b.
  for (const id of [24, 25, 26, 27]) {
    const draft = new BitWriter().put(id, 6).put(1, 6).put(0, 24).text
    expect('YZab').toContain(draft[0])
    expect(judgeUsSection(id, draft)).toBe('unreadable')
  }
})

it('a section nobody has defined is not read', () => {
  expect(judgeUsSection(7, 'BAAAAAAAAAA')).toBe('not_applicable')
  for (const id of [0, 1, 3, 4, 5, 6, 28, 400]) expect(judgeUsSection(id, 'BAAAAAAAAAA')).toBe('unreadable')
})
