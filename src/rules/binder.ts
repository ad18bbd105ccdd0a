// Values of a statement: what comes from outside stands here under a name, never in the text.

import { decimalText } from '../core/decimal.ts'

type Type = 'String' | 'Int64' | 'UInt64' | 'Float64' | 'UUID' | 'Array(String)'
export type BoundValue = string | number | readonly string[]
export type Printed = { readonly sql: string; readonly values: Readonly<Record<string, BoundValue>> }

export class Binder {
  readonly values: Record<string, BoundValue> = {}
  readonly #names = new Map<string, string>()

  /** The same value has one name. */
  bind(type: Type, value: BoundValue): string {
    const key = JSON.stringify([type, value])
    const name = this.#names.get(key) ?? `v${this.#names.size}`
    this.#names.set(key, name)
    this.values[name] = value
    return `{${name}:${type}}`
  }
  moment(ms: number): string {
    return `fromUnixTimestamp64Milli(${this.bind('Int64', ms)}, 'UTC')`
  }
  decimal(millionths: bigint): string {
    return `toDecimal64(${this.bind('String', decimalText(millionths))}, 6)`
  }
}
