// Declared sources for tests that decide about events: open to everyone unless said otherwise.

import type { ConsentPolicy } from '../../src/consent/signals.ts'
import { ALL_PERMISSIONS } from '../../src/core/permissions.ts'
import type { Source } from '../../src/settings/load.ts'

/** Our own number in the IAB's vendor list, as the test vectors have it. */
export const VENDOR = 123

export const openPolicy: ConsentPolicy = {
  vendorId: VENDOR,
  publisherMode: false,
  purposeOneCountries: new Set(),
  receivers: [],
  noSignal: 'allow',
}

export function sourcesOf(
  declared: readonly (Pick<Source, 'id'> & Partial<Source>)[],
  policy: Partial<ConsentPolicy> = {},
): Map<string, Source> {
  const consent = { ...openPolicy, ...policy }
  return new Map(
    declared.map((source) => [
      source.id,
      { hosts: undefined, permissions: ALL_PERMISSIONS, silentAfterMs: 3_600_000, consent, ...source },
    ]),
  )
}
