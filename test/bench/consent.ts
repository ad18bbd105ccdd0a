// What a consent string costs: our reader and verdict, uncached, beside the official decoder on the same strings in the same run.
//   node --import tsx test/bench/consent.ts

import { TCString } from '@iabtechlabtcf/core'
import { type ConsentPolicy, type ConsentSignals, decideConsent } from '../../src/consent/signals.ts'
import { readTcString } from '../../src/consent/tcf.ts'
import { judgeTcString } from '../../src/consent/tcf-verdict.ts'
import { disclosedSegment, publisherSegment, type Range, writeTc } from '../consent/tc-writer.ts'
import { D1, WIDE_RESTRICTIONS, WIDE_VENDORS } from '../consent/wide.ts'

const POLICY: ConsentPolicy = {
  vendorId: 123,
  publisherMode: false,
  purposeOneCountries: new Set(),
  receivers: [32, 52, 91],
  noSignal: 'deny',
}
const SILENCE: ConsentSignals = {
  gdpr: '1',
  gdprConsent: undefined,
  gpp: undefined,
  gppSid: undefined,
  usPrivacy: undefined,
  gpc: undefined,
  dnt: undefined,
  country: 'DE',
}

const purposes = [1, 2, 3, 4, 7, 9, 10]
const some = (count: number, of: number): number[] =>
  Array.from({ length: of }, (_, n) => n + 1).filter((n) => (n * 7) % of < count || n === 123)
const ranges = (count: number): Range[] =>
  Array.from({ length: count }, (_, n): Range => [100 + n * 21, 100 + n * 21 + (n % 3) * 4 + 3])
const few = { field: [32, 52, 91, 123] }

const ORDINARY: Readonly<Record<string, string>> = {
  short: 'CQSbk4AQSbk4ANwAAAENAwCgAAAAAAAAAAYgACPAAAAA.IDKQA4AAgAKAGQAygAAA',
  'ranges, disclosed vendors': writeTc({
    purposes,
    purposesLi: [2, 7],
    vendors: { ranges: ranges(31) },
    vendorsLi: { ranges: ranges(4) },
    segments: [disclosedSegment({ ranges: ranges(25) })],
  }),
  'bit fields of 900 vendors': writeTc({
    purposes,
    purposesLi: [2, 7],
    vendors: { field: some(700, 900), max: 900 },
    vendorsLi: { field: some(300, 900), max: 900 },
    segments: [disclosedSegment({ field: some(850, 900), max: 900 }), publisherSegment([1, 2])],
  }),
  '18 restriction records': writeTc({
    purposes,
    vendors: few,
    restrictions: purposes.flatMap((purpose) => [0, 1, 2].map((type) => ({ purpose, type, ranges: ranges(2) }))).slice(0, 18),
    segments: [disclosedSegment({ field: some(400, 900), max: 900 })],
  }),
}
const WIDE: Readonly<Record<string, string>> = { D1, 'wide restrictions': WIDE_RESTRICTIONS, 'wide vendors': WIDE_VENDORS }

let kept = 0
/** Median microseconds a call over `batches` batches. */
function medianUs(run: () => unknown, calls: number, batches: number): number {
  const times: number[] = []
  for (let batch = 0; batch < batches; batch++) {
    const start = process.hrtime.bigint()
    for (let call = 0; call < calls; call++) if (run()) kept++
    times.push(Number(process.hrtime.bigint() - start) / 1_000 / calls)
  }
  return times.sort((a, b) => a - b)[batches >> 1] ?? Number.NaN
}

/** A parameter is a new string with every request: nothing of it is hashed or flattened yet. */
const arrived = (text: string): string => Buffer.from(text).toString('latin1')

const column = (value: number) => value.toFixed(2).padStart(10)

console.log(
  `${'microseconds, median'.padEnd(34)}${['read', 'judge', 'cached', 'library', 'ratio'].map((name) => name.padStart(10)).join('')}`,
)
for (const [name, text] of [...Object.entries(ORDINARY), ...Object.entries(WIDE)]) {
  const isWide = name in WIDE
  for (let warm = 0; warm < 2_000; warm++) if (judgeTcString(text, POLICY)) kept++
  const read = medianUs(() => readTcString(text).ok, 1_000, 61)
  const judged = medianUs(() => judgeTcString(text, POLICY), 1_000, 61)
  // The whole decision with its cache, on strings as requests bring them; their making is taken off again.
  const making = medianUs(() => arrived(text), 1_000, 61)
  const cached = medianUs(() => decideConsent({ ...SILENCE, gdprConsent: arrived(text) }, POLICY), 1_000, 61) - making
  const library = isWide ? medianUs(() => TCString.decode(text), 1, 3) : medianUs(() => TCString.decode(text), 50, 41)
  const columns = [read, judged, cached, library, library / judged].map(column).join('')
  console.log(`${`${name} (${text.length} chars)`.padEnd(34)}${columns}`)
}
if (kept === 0) throw new Error('nothing was measured')
