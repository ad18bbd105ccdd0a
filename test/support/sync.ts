// Partners for tests of cookie sync, and what is in the match table.

import { expect } from 'vitest'
import { openStore } from '../../src/engine/store.ts'
import type { Project } from './scratch.ts'

/** Our number in the vendor list is 123 and the partners' 99: C1 of tc-strings allows both everything, C3 the partner only. */
export const SYNC_SETTINGS = `tcf: { vendor_id: 123 }
consent: { no_signal: allow }
collector: { allowed_origins: ["https://news.example"] }
sync: { per_page: 4 }
`
export const SYNC_PARTNERS = `partners:
  - { id: adnxs, vendor_id: 99, sync: { url: "https://ib.adnxs.example/getuid?{redirect}", uid_macro: $UID, refresh: 7d } }
  - id: framed
    vendor_id: 99
    sync: { type: iframe, url: "https://f.example/s?g={gdpr}&c={gdpr_consent}&u={us_privacy}&p={gpp}&s={gpp_sid}&r={redirect}", uid_macro: "[UID]" }
  - { id: stranger, vendor_id: 77, sync: { url: "https://stranger.example/?{redirect}" } }
  - { id: unlisted, sync: { url: "https://unlisted.example/?{redirect}" } }
  - { id: told, vendor_id: 99, sync: { url: "https://told.example/match?id={our_id}" } }
  - { id: exchange, vendor_id: 99, redirects: [https://pbs.example, "https://pbs.example:8443"] }
  - { id: rival, redirects: ["http://127.0.0.1:9"] }
`

export type StoredMatch = { readonly visitor: string; readonly partner: string; readonly id: string }

/** The match table's newest rows of some visitors, when there are as many as expected. */
export async function storedMatches(project: Project, visitors: readonly string[], count: number): Promise<StoredMatch[]> {
  const store = openStore({ directory: project.data })
  const read = () =>
    store.rows<StoredMatch>({
      owner: 'test.matches',
      sql: `SELECT toString(visitor) AS visitor, partner, argMax(partner_id, (ts, batch)) AS id FROM madeleine.matches
            WHERE toString(visitor) IN {visitors:Array(String)} GROUP BY visitor, partner ORDER BY partner, visitor`,
      values: { visitors },
    })
  try {
    await expect.poll(async () => (await read()).length, { timeout: 15_000 }).toBe(count)
    return await read()
  } finally {
    await store.close()
  }
}
