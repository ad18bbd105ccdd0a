// The configured partners as requests name them: by key, in any case, or by the origin to which a browser is to go back.

import { type PartnerKey, parsePartnerKey } from '../identity/matches.ts'
import type { Partner } from '../settings/partners.ts'

export type KnownPartner = Partner & { readonly key: PartnerKey }

export type Partners = {
  readonly all: readonly KnownPartner[]
  byName(name: unknown): KnownPartner | undefined
  byOrigin(origin: string): KnownPartner | undefined
}

export function makePartners(settings: ReadonlyMap<string, Partner>): Partners {
  const all = [...settings.values()].flatMap((partner): KnownPartner[] => {
    const key = parsePartnerKey(partner.id)
    return key ? [{ ...partner, key }] : []
  })
  const byKey = new Map<string | undefined, KnownPartner>(all.map((partner) => [partner.key, partner]))
  const origins = new Map(all.flatMap((partner) => partner.redirects.map((origin) => [origin, partner] as const)))
  return { all, byName: (name) => byKey.get(parsePartnerKey(name)), byOrigin: (origin) => origins.get(origin) }
}
