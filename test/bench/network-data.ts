// A publisher network's events, made by the engine itself: `visits` of three events each, spread over 90 days. Visitors come back by a power law (half of all events
// are of a quarter of the visitors; a few have thousands), pages and categories too. Every row is decided by hashes of its number: the same call, the same data.

import type { Store } from '../../src/engine/store.ts'

const DAY_MS = 86_400_000
const CHUNK = 3_000_000

/** Content ids (IAB 3.1): top levels and what lies under them, so that descent has something to do. */
const CATEGORIES = [
  '1',
  '2',
  '3',
  '6',
  '22',
  '42',
  '52',
  '53',
  '90',
  '117',
  '123',
  '132',
  '150',
  '186',
  '201',
  '210',
  '223',
  '239',
  '274',
  '324',
  '338',
  '379',
  '390',
  '391',
  '432',
  '440',
  '441',
  '453',
  '464',
  '470',
  '473',
  '483',
  '547',
  '552',
  '596',
  '602',
  '640',
  '653',
  '680',
  '682',
]
export const VOCABULARY = {
  sources: Array.from({ length: 12 }, (_, n) => `site-${n}`),
  categories: CATEGORIES,
  devices: ['desktop', 'mobile', 'tablet', 'tv', 'other'],
  countries: ['DE', 'FR', 'GB', 'IT', 'ES', 'NL', 'PL', 'SE'],
  keywords: Array.from({ length: 200 }, (_, n) => `topic-${n}`),
  sections: Array.from({ length: 40 }, (_, n) => `section-${n}`),
}

const list = (values: readonly string[]): string => `[${values.map((value) => `'${value}'`).join(', ')}]`
/** One of `values` by a power law over the hash of `of`. */
const pick = (values: readonly string[], of: string, power = 2): string =>
  `${list(values)}[1 + toUInt32(floor(${values.length} * pow(${unit(of)}, ${power})))]`
/** Evenly in [0, 1). */
const unit = (of: string): string => `(bitAnd(sipHash64(${of}), 0xFFFFFFFFFF) / 1099511627776.)`

export async function fillNetwork(
  store: Store,
  {
    events,
    visitors,
    endMs,
    onRows = () => {},
  }: { readonly events: number; readonly visitors: number; readonly endMs: number; readonly onRows?: (rows: number) => void },
): Promise<void> {
  for (let from = 0; from < events; from += CHUNK) {
    const rows = Math.min(CHUNK, events - from)
    await store.run({
      owner: 'bench.fill',
      sql: `INSERT INTO madeleine.events (ts, received, batch, visitor, event, source, permissions, origin, path, host, referrer_host, category, keyword, attr, device, browser, os, country, region, language, value, dwell_ms)
        WITH intDiv(number, 3) AS visit, number % 3 AS step,
          toUInt32(floor(${visitors} * pow(${unit("visit, 'v'")}, 2))) AS who,
          ${pick(VOCABULARY.sources, "visit, 's'")} AS site,
          ${pick(VOCABULARY.sections, "number, 'p'")} AS section,
          ${unit("number, 'e'")} AS kind,
          multiIf(kind < 0.85, 'page_view', kind < 0.93, 'click', kind < 0.98, 'add_to_cart', 'conversion') AS did,
          fromUnixTimestamp64Milli(toInt64({end:Int64} - ${unit("visit, 't'")} * ${89 * DAY_MS} - 3000000 + step * (20000 + ${unit("number, 'd'")} * 700000)), 'UTC') AS at
        SELECT at, at, {batch:UInt64}, reinterpretAsUUID(sipHash128(who, 'visitor')), did,
          site, 63, concat('https://', site, '.example'),
          concat('/', section, '/article-', toString(toUInt32(floor(3000 * pow(${unit("number, 'a'")}, 3))))),
          concat(site, '.example'), if(step = 0, ['', 'search.example', 'social.example', 'mail.example'][1 + sipHash64(visit, 'r') % 4], ''),
          arrayDistinct(arrayFilter(c -> c != '', [${pick(CATEGORIES, "number, 'c'", 1.5)}, if(${unit("number, 'm'")} < 0.4, ${pick(CATEGORIES, "number, 'n'", 1.5)}, '')])),
          if(${unit("number, 'k'")} < 0.5, [${pick(VOCABULARY.keywords, "number, 'l'")}], []),
          if(${unit("number, 'x'")} < 0.1, map('plan', ['free', 'basic', 'pro'][1 + sipHash64(who, 'plan') % 3]), CAST(map(), 'Map(String, String)')),
          ${pick(VOCABULARY.devices, "who, 'device'")}, ['Chrome', 'Safari', 'Firefox', 'Edge'][1 + sipHash64(who, 'b') % 4], ['Windows', 'macOS', 'iOS', 'Android'][1 + sipHash64(who, 'o') % 4],
          ${pick(VOCABULARY.countries, "who, 'country'")}, '', 'en',
          if(did = 'conversion', toDecimal64(round(5 + ${unit("number, 'w'")} * 200, 2), 6), NULL),
          if(did = 'page_view', toDecimal64(toUInt32(${unit("number, 'y'")} * 120000), 6), NULL)
        FROM numbers(${from}, ${rows})`,
      values: { end: endMs, batch: (BigInt(endMs) + BigInt(from / CHUNK)) << 22n },
      settings: { max_insert_block_size: 1_000_000 },
    })
    onRows(rows)
  }
}
