// The shape of every configuration file but the rules inside segments (rules/parse.ts). Unknown keys are errors.

import { isIP } from 'node:net'
import { z } from 'zod'
import { DAY_MS, HOUR_MS, parseDuration, RETENTION_MAX_MS } from '../core/duration.ts'
import { PERMISSIONS } from '../core/permissions.ts'
import { FIELD_TYPES } from '../event/event.ts'
import { TAXONOMY_ID } from '../taxonomy/tree.ts'
import { parseOrigin } from './sync-template.ts'

export const text = z.string().min(1)
const host = z.string().regex(/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/, 'a host name in lower case, without scheme, port or path')
/** An id that YAML reads as a number where its quotes are forgotten. */
const quoted = z
  .string({ error: ({ input }) => (typeof input === 'number' ? `ids are text: write "${input}" in quotes` : undefined) })
  .min(1)
const audienceId = z.string().regex(/^[a-z0-9][a-z0-9-]{0,63}$/, 'an id is lower-case letters, digits and `-`, at most 64')
export const duration = z
  .string()
  .refine((value) => parseDuration(value) !== undefined, 'a duration is a whole number and m, h, d or w, such as 90d')
  .transform((value) => parseDuration(value) ?? 0)
const UNIT_BYTES = { MiB: 1024 ** 2, GiB: 1024 ** 3 } as const
const SIZE = /^([1-9]\d{0,5})(MiB|GiB)$/
const size = (leastMiB: number) =>
  z
    .string()
    .regex(SIZE, 'a size is a whole number and MiB or GiB, such as 2GiB')
    .transform((value) => {
      const [, number, unit] = SIZE.exec(value) ?? []
      return Number(number) * UNIT_BYTES[unit as keyof typeof UNIT_BYTES]
    })
    .refine((bytes) => bytes >= leastMiB * 1024 ** 2, `at least ${leastMiB}MiB`)

/** When acknowledged events reach the disk itself (spool/syncs.ts): before the answer, so long after it at the most, or whenever the kernel likes. */
export type SpoolSync = 'batch' | 'never' | { readonly everyMs: number }
const SYNC = /^(?:(batch|never)|([1-9]\d{0,4})(ms|s))$/
const SYNC_SHAPE = '`batch`, `never`, or a time from 10ms to 10s'
function parseSync(value: string): SpoolSync | undefined {
  const [, word, number, unit] = SYNC.exec(value) ?? []
  if (word !== undefined) return word as 'batch' | 'never'
  const everyMs = Number(number) * (unit === 's' ? 1_000 : 1)
  return everyMs >= 10 && everyMs <= 10_000 ? { everyMs } : undefined
}
const sync = z
  .string()
  .regex(SYNC, { error: SYNC_SHAPE, abort: true })
  .refine((value) => parseSync(value) !== undefined, SYNC_SHAPE)
  .transform((value) => parseSync(value) ?? 'batch')
const SPOOL_DEFAULT = { sync: { everyMs: 1_000 }, max_size: 20 * 1024 ** 3 } satisfies { sync: SpoolSync; max_size: number }
const eventsASecond = z.number().int('events a second, a whole number; 0 is off').min(0).max(1_000_000).default(0)

export const sourceId = /^[a-z0-9][a-z0-9_-]{0,63}$/

export const sourceSchema = z.strictObject({
  id: z.string().regex(sourceId, 'a source id is lower-case letters, digits, `-` and `_`, at most 64'),
  name: text.optional(),
  hosts: z.array(host).min(1).optional(),
  permissions: z.array(z.enum(PERMISSIONS)).default([...PERMISSIONS]),
  silent_after: duration.optional(),
})

/** Vendor ids are 16 bits in every string of the framework. */
export const vendorId = z.number().int().min(1).max(65_535)
const country = z.string().regex(/^[A-Z]{2}$/, 'a country is two capital letters (ISO 3166-1), such as DE')

function isNetwork(written: string): boolean {
  const [address = '', bits, ...rest] = written.split('/')
  const version = isIP(address)
  if (version === 0 || rest.length > 0) return false
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128))
}

const wholeFromOne = z.number().int().min(1)

export const settingsSchema = z.strictObject({
  retention: duration.refine((ms) => ms <= RETENTION_MAX_MS, 'retention is at most 90d').default(RETENTION_MAX_MS),
  tcf: z
    .strictObject({
      vendor_id: vendorId.optional(),
      publisher_mode: z.array(text).default([]),
      purpose_one_countries: z.array(country).default([]),
    })
    .default({ publisher_mode: [], purpose_one_countries: [] }),
  geo: z.strictObject({ database: text }).optional(),
  consent: z.strictObject({ no_signal: z.enum(['allow', 'deny']).default('deny') }).default({ no_signal: 'deny' }),
  collector: z
    .strictObject({
      trusted_proxies: z.array(z.string().refine(isNetwork, 'an address, or a network such as 10.0.0.0/8')).default([]),
      allowed_origins: z
        .array(z.string().regex(/^https?:\/\/[^/]+$/, 'an origin is scheme and host, such as https://news.example'))
        .default([]),
      public_url: z
        .string()
        .refine(
          (written) => parseOrigin(written) === written,
          'the origin at which browsers reach the collector, such as https://collector.example',
        )
        .optional(),
      rate_limit: z
        .strictObject({ per_address: eventsASecond, per_visitor: eventsASecond })
        .default({ per_address: 0, per_visitor: 0 }),
      silent_after: duration.default(HOUR_MS),
    })
    .default({ trusted_proxies: [], allowed_origins: [], rate_limit: { per_address: 0, per_visitor: 0 }, silent_after: HOUR_MS }),
  sync: z.strictObject({ per_page: z.number().int().min(0).max(50).default(5) }).default({ per_page: 5 }),
  privacy: z
    .strictObject({ minimum_report: wholeFromOne.default(50), minimum_export: wholeFromOne.default(100) })
    .default({ minimum_report: 50, minimum_export: 100 }),
  segmenter: z
    .strictObject({ memory: size(256).default(2 * 1024 ** 3), budget_seconds: wholeFromOne.optional() })
    .default({ memory: 2 * 1024 ** 3 }),
  spool: z
    .strictObject({
      sync: sync.default(SPOOL_DEFAULT.sync),
      max_size: size(16).default(SPOOL_DEFAULT.max_size),
    })
    .default(SPOOL_DEFAULT),
  taxonomy: z.strictObject({ allow_sensitive: z.array(quoted).default([]) }).default({ allow_sensitive: [] }),
})

const nodeId = quoted.regex(
  TAXONOMY_ID,
  'a node id is letters, digits, `_`, `.` and `-`, at most 64, and begins with a letter or digit',
)

/** A node of the operator's own in config/taxonomy/. */
export const nodeSchema = z.strictObject({
  id: nodeId,
  parent: nodeId.optional(),
  name: text,
  sensitive: z.boolean().default(false),
})

const SOME = 'a text, or a list of texts, and not empty'
const some = z.string().min(1, SOME)
const oneOrMany = z.union([some, z.array(some).min(1, SOME)], SOME)

/** A classification rule in config/taxonomy/: which events get the category. */
export const classifySchema = z.strictObject({
  category: quoted,
  url: oneOrMany.optional(),
  keyword: oneOrMany.optional(),
  source: oneOrMany.optional(),
})

export const destinationSchema = z.strictObject({
  id: audienceId,
  name: text.optional(),
  vendor_id: vendorId.optional(),
  connector: z.enum(['file'], 'the connector of this version is `file`'),
  settings: z.strictObject({
    path: text,
    format: z.enum(['csv', 'jsonl'], 'the formats of this version are `csv` and `jsonl`').default('csv'),
  }),
  audiences: z
    .array(
      z.strictObject({
        audience: audienceId,
        as: z
          .string()
          .regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/, '`as` names a folder: letters, digits, `_`, `-` and `.`')
          .optional(),
      }),
    )
    .min(1),
  minimum_size: wholeFromOne.optional(),
})

const FIELD = [...Object.keys(FIELD_TYPES), 'event', 'hour', 'activity']
const SHARE = /^(\d{1,3}(?:\.\d{1,6})?)%$/
const share = z
  .string('a share is a percentage, such as 5%')
  .refine((value) => {
    const [, number] = SHARE.exec(value) ?? []
    return number !== undefined && Number(number) > 0 && Number(number) <= 100
  }, 'a share is a percentage above 0% and up to 100%, such as 5%')
  .transform((value) => Number(SHARE.exec(value)?.[1]) / 100)

export const lookalikeSchema = z
  .strictObject({
    id: audienceId,
    name: text.optional(),
    seed: audienceId,
    among: audienceId.optional(),
    reach: share.optional(),
    size: wholeFromOne.optional(),
    min_score: z.number().gt(0, 'a score lies between 0 and 1').lt(1, 'a score lies between 0 and 1').optional(),
    exclude: z
      .array(
        z
          .string()
          .refine(
            (name) => FIELD.includes(name) || /^attr\.[a-z][a-z0-9_]{0,63}$/.test(name),
            'the name of a field, `event`, `attr.<name>`, `hour` or `activity`',
          ),
      )
      .default([]),
    churn: share.default(0.2),
    retrain: duration.default(DAY_MS),
  })
  .refine(({ reach, size, min_score: least }) => [reach, size, least].filter((given) => given !== undefined).length === 1, {
    error: 'exactly one of `reach`, `size` and `min_score` says how many are chosen',
  })

/** Everything of a segment but `when` and the fields of its test events. */
export const segmentSchema = z.strictObject({
  id: audienceId,
  name: text.optional(),
  taxonomy: quoted.optional(),
  /** Read by rules/parse.ts, which also says where it is missing. */
  when: z.unknown().optional(),
  tests: z
    .array(
      z.strictObject({
        name: text,
        lists: z.array(audienceId).default([]),
        events: z.array(z.record(z.string(), z.unknown())),
        at: z.string().optional(),
        expect: z.union(
          [z.enum(['in', 'out']), z.array(z.strictObject({ at: z.string(), is: z.enum(['in', 'out']) })).min(1)],
          'expect is `in`, `out`, or a list of { at, is }',
        ),
      }),
    )
    .default([]),
})
