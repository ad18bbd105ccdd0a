// The one event shape that every stage shares, and the table of its fields (contract 2.1): names are the same in a hit, in a rule and in a column.

import type { VisitorId } from '../core/ids.ts'
import type { PermissionSet } from '../core/permissions.ts'

export type FieldType = 'text' | 'number' | 'list'

export const FIELD_TYPES = {
  source: 'text',
  url: 'text',
  host: 'text',
  path: 'text',
  referrer_host: 'text',
  category: 'list',
  keyword: 'list',
  device: 'text',
  browser: 'text',
  os: 'text',
  country: 'text',
  region: 'text',
  language: 'text',
  campaign: 'text',
  creative: 'text',
  placement: 'text',
  order_id: 'text',
  currency: 'text',
  value: 'number',
  cost: 'number',
  dwell_ms: 'number',
} as const satisfies Record<string, FieldType>

export type FieldName = keyof typeof FIELD_TYPES
export type NumberField = 'value' | 'cost' | 'dwell_ms'
export type ListField = 'category' | 'keyword'
export type TextField = Exclude<FieldName, NumberField | ListField>

export const DEVICES = ['desktop', 'mobile', 'tablet', 'tv', 'other'] as const

/** Page address of an event: `url` is origin + path; all four are '' where there is none. */
export type Page = { readonly origin: string; readonly url: string; readonly host: string; readonly path: string }
export const NO_PAGE: Page = { origin: '', url: '', host: '', path: '' }

/** What an id stands for: one browser everywhere, one browser on one site (partitioned cookies), or one browser in a site's own storage. */
export const SCOPES = ['global', 'partition', 'first_party'] as const
export type Scope = (typeof SCOPES)[number]

/** A missing text is '', a missing number null, a missing list empty. Numbers are millionths (core/decimal.ts). */
export type Event = Page & {
  readonly ts: number
  readonly visitor: VisitorId
  readonly event: string
  readonly scope: Scope
  /** With the two bits that say how they came about (core/permissions.ts). */
  readonly permissions: PermissionSet
  /** Partners (their ids in the IAB's vendor list) that may receive, where the permissions are limited to some. */
  readonly receivers: readonly number[]
  readonly attr: Readonly<Record<string, string>>
} & { readonly [F in Exclude<TextField, 'url' | 'host' | 'path'>]: string } & { readonly [F in NumberField]: bigint | null } & {
  readonly [F in ListField]: readonly string[]
}

export const ATTR_PREFIX = 'attr.'

/** The name behind `attr.`, or undefined where the field is no well-formed attribute. */
export function attrName(field: string): string | undefined {
  if (!field.startsWith(ATTR_PREFIX)) return undefined
  const name = field.slice(ATTR_PREFIX.length)
  return /^[a-z][a-z0-9_]{0,63}$/.test(name) ? name : undefined
}

export const isFieldName = (field: string): field is FieldName => Object.hasOwn(FIELD_TYPES, field)
