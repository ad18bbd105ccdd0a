// Published GPP strings with what each says, and texts that are none.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { GPP_CHARS_MAX, readGpp } from '../../src/consent/gpp.ts'
import { readTcString } from '../../src/consent/tcf.ts'
import { judgeUsPrivacy } from '../../src/consent/us-privacy.ts'
import { isUsSection, judgeUsSection } from '../../src/consent/us-sections.ts'
import { BitWriter } from './tc-writer.ts'

const sections = (text: string) => {
  const reading = readGpp(text)
  return reading.ok ? [...reading.sections] : reading.why
}

/** Every section's verdict by its number. */
function verdicts(text: string): Record<number, string> {
  const reading = readGpp(text)
  if (!reading.ok) throw new Error(reading.why)
  return Object.fromEntries(
    [...reading.sections].map(([id, section]) => {
      if (id === 6) return [id, judgeUsPrivacy(section)]
      if (isUsSection(id)) return [id, judgeUsSection(id, section)]
      return [id, readTcString(section).ok ? 'TC string' : 'unreadable']
    }),
  )
}

const TC = 'CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA'

describe('published strings', () => {
  it.each([
    ['a TC string', `DBABMA~${TC}`, { 2: 'TC string' }],
    ['the same header without its padding', `DBABM~${TC}`, { 2: 'TC string' }],
    ['a TC string and US Privacy', `DBACNYA~${TC}~1YNN`, { 2: 'TC string', 6: 'not_opted_out' }],
    ['the same header without its padding, two sections', `DBACNY~${TC}~1YNN`, { 2: 'TC string', 6: 'not_opted_out' }],
    ['a group of sections', `DBABjw~${TC}~1YNN`, { 5: 'TC string', 6: 'not_opted_out' }],
    ['California of version 49', 'DBABBgA~xlgWEYCZAA', { 8: 'unreadable' }],
    ['Virginia opted out of targeting', 'DBABh4A~BlgWEYCY.QA~BSFgmiU', { 8: 'not_opted_out', 9: 'opted_out' }],
    ['California opted out, GPC', 'DBABBg~BVWSSSVY.YA', { 8: 'known_child' }],
    ['California, nothing said', 'DBABBg~BAAAAABA.QA', { 8: 'not_applicable' }],
    ['national, version 2, opted out', 'DBABLA~CVVVkkkkkpFY.YA', { 7: 'known_child' }],
    ['national, version 1, a child', 'DBABLA~BAAAVVVVUQA.QA', { 7: 'known_child' }],
    ['national, version 2, nothing said', 'DBABLA~CAAAAAAAAABA.QA', { 7: 'not_applicable' }],
    ['national of version 3', 'DBABLA~DSJgmkoZJSA.YA', { 7: 'unreadable' }],
    ['two states, nothing said', 'DBACLMA~BAAAAAAAAAA.QA~BaAAAAA', { 7: 'not_applicable', 9: 'not_applicable' }],
    ['no sections', 'DBAA', {}],
  ])('%s', (_, text, expected) => {
    expect(verdicts(text)).toEqual(expected)
  })

  it('refuse in each of four sections', () => {
    const {
      7: national,
      9: virginia,
      11: utah,
      12: connecticut,
    } = verdicts('DBADLO8~BSJgmkoZJSA.YA~BSFgmiU~BWJYJllA~BSFgmSZQ.YA')
    for (const verdict of [national, virginia, utah, connecticut]) expect(['opted_out', 'known_child']).toContain(verdict)
  })

  it('refuse by US Privacy beside states', () => {
    const { 6: privacy, 11: utah, 12: connecticut } = verdicts('DBACTjw~1YYN~BSZZYgkA~BaRlkCSA.QA')
    expect(privacy).toBe('opted_out')
    for (const verdict of [utah, connecticut]) expect(['opted_out', 'known_child']).toContain(verdict)
  })
})

describe('what is no GPP string', () => {
  it.each([
    ['nothing', '', 'header'],
    ['a dot', '.', 'alphabet'],
    ['an unexpanded macro', '$' + '{GPP_STRING_123}', 'alphabet'],
    ['the word undefined', 'undefined', 'header'],
    ['a TC string', TC, 'header'],
    ['version 2', `DCABMA~${TC}`, 'header'],
    ['a header that ends in its count', 'DBA', 'header'],
    ['a header that ends in a number', 'DBAB~x', 'header'],
    ['a header that claims 385 items', `DBGBM~${TC}`, 'header'],
    ['a number that never ends', `${new BitWriter().put(3, 6).put(1, 6).put(1, 12).put(0, 60).text}~x`, 'header'],
    ['ones after the header', `DBABMB~${TC}`, 'header'],
    ['fewer sections than listed', `DBACNYA~${TC}`, 'sections'],
    ['more sections than listed', `DBABMA~${TC}~1YNN`, 'sections'],
    ['a section where none is listed', 'DBAA~', 'sections'],
    ['two strings joined by a comma', `DBABMA~${TC},DBABMA~${TC}`, 'alphabet'],
    ['a character that no section has', `DBABMA~${TC} `, 'alphabet'],
    ['too long', `DBABMA~${'A'.repeat(GPP_CHARS_MAX)}`, 'too_long'],
  ])('%s', (_, text, expected) => {
    expect(sections(`DBABMA~${TC}`), 'positive control').toEqual([[2, TC]])
    expect(sections(text)).toEqual(expected)
  })

  it('a section too short to be read is still a section, and refuses', () => {
    expect(sections('DBABBgA~xlgWE')).toEqual([[8, 'xlgWE']])
    expect(verdicts('DBABBgA~xlgWE')).toEqual({ 8: 'unreadable' })
    expect(verdicts('DBABBgA~')).toEqual({ 8: 'unreadable' })
  })

  it('a range wider than the sections that follow is not walked', () => {
    // One group from section 1 to section 233.
    const header = new BitWriter().put(3, 6).put(1, 6).put(1, 12).put(1, 1).put(0b11, 2).put(0b000000000011, 12)
    expect(sections(`${header.text}~x`)).toBe('sections')
  })
})

it('sections are found whatever their numbers', () => {
  const fibonacci = (value: number): string => {
    const digits = [1, 2]
    while ((digits.at(-1) as number) < value) digits.push((digits.at(-1) as number) + (digits.at(-2) as number))
    let rest = value
    const written = digits.reverse().map((digit) => {
      if (digit > rest) return '0'
      rest -= digit
      return '1'
    })
    return `${written.join('').replace(/^0+/, '').split('').reverse().join('')}1`
  }
  const header = (ids: readonly number[], grouped: boolean) => {
    const items: string[] = []
    let last = 0
    for (let index = 0; index < ids.length; index++) {
      const first = ids[index] as number
      let end = index
      while (grouped && ids[end + 1] === (ids[end] as number) + 1) end++
      const isGroup = end > index
      items.push(
        isGroup ? `1${fibonacci(first - last)}${fibonacci((ids[end] as number) - first)}` : `0${fibonacci(first - last)}`,
      )
      last = ids[end] as number
      index = end
    }
    const bits = new BitWriter().put(3, 6).put(1, 6).put(items.length, 12)
    bits.bits += items.join('')
    return bits.text
  }
  fc.assert(
    fc.property(fc.uniqueArray(fc.integer({ min: 1, max: 300 }), { maxLength: 30 }), fc.boolean(), (unsorted, grouped) => {
      const ids = unsorted.sort((a, b) => a - b)
      const text = [header(ids, grouped), ...ids.map((id) => `s${id}`)].join('~')
      expect(sections(text)).toEqual(ids.map((id) => [id, `s${id}`]))
    }),
  )
})

describe('US Privacy', () => {
  it.each([
    ['1YNN', 'not_opted_out'],
    ['1NNN', 'not_opted_out'],
    ['1YN-', 'not_opted_out'],
    ['1YYN', 'opted_out'],
    ['1NYN', 'opted_out'],
    ['1-Y-', 'opted_out'],
    ['1YYY', 'opted_out'],
    ['1---', 'not_applicable'],
    ['1Y-N', 'not_applicable'],
    ['2YNN', 'malformed'],
    ['1yNN', 'malformed'],
    ['1YnN', 'malformed'],
    ['1YN', 'malformed'],
    ['1YNNN', 'malformed'],
    ['1YNN\n', 'malformed'],
    ['1YNN,1YNN', 'malformed'],
    ['$' + '{US_PRIVACY}', 'malformed'],
    ['', 'malformed'],
  ])('%j: %s', (text, expected) => {
    expect(judgeUsPrivacy(text)).toBe(expected)
  })
})
