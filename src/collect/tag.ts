// The tag as it is served: the bundle with what it must know of the configuration.

import type { Settings } from '../settings/load.ts'

const PLACE = '%MADELEINE_POLICY%'

/** `<vendor id or nothing>.<allow|deny>.<sources judged by the publisher's own segment>`: what the tag needs to know before it may make an id of its own. */
export function policyInTag(tag: string, { vendorId, noSignal, sources }: Settings): string {
  const publisherMode = [...sources.values()].filter(({ consent }) => consent.publisherMode).map(({ id }) => id)
  return tag.replace(PLACE, `${vendorId ?? ''}.${noSignal}.${publisherMode.join(',')}`)
}
