// config/partners.yaml: what is read, and every mistake at its place.

import { afterEach, describe, expect, it } from 'vitest'
import { DAY_MS } from '../../src/core/duration.ts'
import { ConfigurationError } from '../../src/settings/files.ts'
import { loadSettings } from '../../src/settings/load.ts'
import { fillSyncTemplate, parseOrigin, parseSyncTemplate } from '../../src/settings/sync-template.ts'
import { type Project, scratchProject } from '../support/scratch.ts'

const projects: Project[] = []
afterEach(() => {
  for (const project of projects.splice(0)) project.remove()
})
function load(partners: string, settings = '') {
  const project = scratchProject({ 'config/partners.yaml': partners, 'config/settings.yaml': settings })
  projects.push(project)
  return loadSettings(project.config, {})
}
function errors(partners: string, settings = ''): string[] {
  try {
    load(partners, settings)
    return []
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error
    return error.errors.map(({ line, column, message }) => `${line}:${column} ${message}`)
  }
}
/** One partner, with its sync address at 2:26. */
const partner = (url: string, more = '') => `partners:\n  - { id: p, sync: { url: "${url}"${more} } }\n`

describe('partners', () => {
  it('have defaults, and macros that look like variables are written with two dollars', () => {
    const settings = load(`partners:
  - { id: adnxs, vendor_id: 32, sync: { url: "https://ib.adnxs.example/getuid?{redirect}" } }
  - id: openx
    sync: { url: "http://127.0.0.1:8099/s?r={redirect}&g={gdpr}", uid_macro: "$\${UID}", type: iframe, refresh: 12h }
    redirects: [https://pbs.openx.example, "https://pbs.openx.example:8443", "http://localhost:1234"]
`)
    expect([...settings.partners.values()]).toEqual([
      {
        id: 'adnxs',
        vendorId: 32,
        redirects: [],
        sync: {
          template: { origin: 'https://ib.adnxs.example', parts: ['https://ib.adnxs.example/getuid?', { macro: 'redirect' }] },
          type: 'redirect',
          uidMacro: '',
          refreshMs: 7 * DAY_MS,
        },
      },
      expect.objectContaining({
        id: 'openx',
        redirects: ['https://pbs.openx.example', 'https://pbs.openx.example:8443', 'http://localhost:1234'],
        sync: expect.objectContaining({ uidMacro: `\${UID}`, type: 'iframe', refreshMs: DAY_MS / 2 }),
      }),
    ])
    expect(settings).toMatchObject({ syncsPerPage: 5, publicUrl: undefined })
    expect(load('', 'sync: { per_page: 2 }\ncollector: { public_url: "https://c.example" }\n')).toMatchObject({
      syncsPerPage: 2,
      publicUrl: 'https://c.example',
      partners: new Map(),
    })
  })

  const host = '2:27 `url`: must be an https address'
  it.each([
    [partner('https://p.example/{redirect}{redirct}'), '2:27 `url`: unknown macro `{redirct}`; did you mean `{redirect}`?'],
    [partner('https://p.example/{redirect}{user}'), '2:27 `url`: unknown macro `{user}`; the macros are gdpr, gdpr_consent'],
    [partner('https://p.example/{redirect}}'), '2:27 `url`: a brace that belongs to no macro'],
    [partner('https://p.example/{{redirect}}'), '2:27 `url`: a brace that belongs to no macro'],
    [partner('https://p.example/?{gdpr}'), '2:27 `url`: holds neither `{redirect}` nor `{our_id}`'],
    [partner('https://p.example/a b?{redirect}'), '2:27 `url`: holds a space'],
    [partner('https://p.example/ü?{redirect}'), '2:27 `url`:'],
    [partner('http://p.example/?{redirect}'), host],
    [partner('//p.example/?{redirect}'), host],
    [partner('ftp://p.example/?{redirect}'), host],
    [partner('https://{our_id}.example/?{redirect}'), host],
    [partner('https://p.example{redirect}'), host],
    [partner('https://p.example:{gdpr}/?{redirect}'), host],
    [partner('https://{gdpr}@p.example/?{redirect}'), host],
    [partner('https://me@p.example/?{redirect}'), host],
    [partner('https://p.example\\\\@evil.example/?{redirect}'), '2:27 `url`: holds a space, a backslash'],
    [partner('{redirect}'), host],
    [partner('https://p.example/{redirect}', ', uid_macro: "a&b"'), '`uid_macro`: what the partner replaces'],
    [partner('https://p.example/{redirect}', ', refresh: 15d'), '`refresh`: refresh is at most 14d'],
    [partner('https://p.example/{redirect}', ', type: script'), '`type`'],
    ['partners:\n  - { id: AdNxs }\n', '2:11 `id`: a partner id is lower-case'],
    ['partners:\n  - { id: a, vendor_id: 0 }\n', '2:25 `vendor_id`'],
    ['partners:\n  - { id: a, sync: { type: iframe } }\n', '`url` is missing'],
    ['partners:\n  - { id: a, colour: red }\n', '2:14 unknown key `colour`'],
    ['partners:\n  - { id: a }\n  - { id: a }\n', '3:11 `a` is defined twice'],
    ['partners:\n  - { id: a, redirects: [https://p.example/] }\n', 'an origin is https'],
    ['partners:\n  - { id: a, redirects: ["http://p.example"] }\n', 'an origin is https'],
    ['partners:\n  - { id: a, redirects: ["https://*.p.example/x"] }\n', 'an origin is https'],
    [
      'partners:\n  - { id: a, redirects: [https://p.example] }\n  - { id: b, redirects: [https://p.example] }\n',
      '3:26 `https://p.example` is registered for `a` already',
    ],
  ])('refuse %s', (text, expected) => {
    const found = errors(text)
    expect(found).toHaveLength(1)
    expect(found[0]).toContain(expected)
  })

  it('without a public address of https, and with a share of more than 50, are refused in the settings', () => {
    expect(errors('', 'collector: { public_url: "http://c.example" }\n')).toEqual([expect.stringContaining('1:26 `public_url`')])
    expect(errors('', 'sync: { per_page: 51 }\n')).toEqual([expect.stringContaining('1:19 `per_page`')])
  })
})

describe('a sync address', () => {
  it('is filled with everything encoded', () => {
    const parsed = parseSyncTemplate(
      'https://p.example/{gpp_sid}/s?r={redirect}&id={our_id}&{gdpr}{gdpr_consent}{us_privacy}{gpp}',
    )
    if (!parsed.ok) throw new Error(parsed.message)
    const values = {
      gdpr: '1',
      gdpr_consent: 'A.B',
      us_privacy: '1YNN',
      gpp: 'D~C',
      gpp_sid: '2,6',
      our_id: 'a-_/?#',
      redirect: 'https://c.example/?a=1&b=$UID',
    }
    expect(fillSyncTemplate(parsed.template, values)).toBe(
      'https://p.example/2%2C6/s?r=https%3A%2F%2Fc.example%2F%3Fa%3D1%26b%3D%24UID&id=a-_%2F%3F%23&1A.B1YNND~C',
    )
    const hostile = fillSyncTemplate(parsed.template, { ...values, gpp_sid: '//@evil.example/\\' })
    expect(new URL(hostile).origin).toBe('https://p.example')
  })

  it.each([
    ['https://p.example/a', 'https://p.example'],
    ['https://P.example:443', 'https://p.example'],
    ['http://a.localhost:80/', 'http://a.localhost'],
    ['http://[::1]:9/', 'http://[::1]:9'],
    ['http://127.1/', 'http://127.0.0.1'],
    ['http://p.example/', undefined],
    ['http://localhost.evil.example/', undefined],
    ['http://127.evil.example/', undefined],
    ['https:p.example', undefined],
    ['javascript:alert(1)//https://p.example', undefined],
  ])('of %s has the origin %s', (text, expected) => {
    expect(parseOrigin(text)).toBe(expected)
  })
})
