// Money and times are decimals with at most 6 places, kept exact: ClickHouse holds them as Decimal(18, 6), memory as whole millionths.
// A double would make 0.1 + 0.2 differ from 0.3 in one evaluator and not in the other.

/** Whole part below 10^12: what Decimal(18, 6) holds. */
const SHAPE = /^([+-]?)(\d{1,12})(?:\.(\d{1,6})0*)?$/

/** Millionths, or undefined where the text is no decimal of at most 6 places and 12 whole digits. */
export function parseDecimal(text: string): bigint | undefined {
  const match = SHAPE.exec(text)
  if (!match) return undefined
  const millionths = BigInt(match[2] ?? '0') * 1_000_000n + BigInt((match[3] ?? '').padEnd(6, '0'))
  return match[1] === '-' ? -millionths : millionths
}

/** As parseDecimal, of a JavaScript number: its shortest text is what the sender wrote. */
export const decimalOfNumber = (n: number): bigint | undefined => (Number.isFinite(n) ? parseDecimal(String(n)) : undefined)

/** The text ClickHouse reads back as the same Decimal(18, 6). */
export function decimalText(millionths: bigint): string {
  const positive = millionths < 0n ? -millionths : millionths
  const fraction = String(positive % 1_000_000n)
    .padStart(6, '0')
    .replace(/0+$/, '')
  return `${millionths < 0n ? '-' : ''}${positive / 1_000_000n}${fraction === '' ? '' : `.${fraction}`}`
}
