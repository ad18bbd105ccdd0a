// Turns what a page hands over into the fields of an event (contract 2.1 and 3). What JSON or the collector could not take is left out here, field by
// field: the collector refuses a request whole, so one odd value would take its neighbours with it.

export type Scalar = string | number | boolean
/** `null` and empty values stay until the event is written: they hide a default (`category: []` is "none for this event"). */
export type Fields = Record<string, Scalar | readonly Scalar[] | null>

export const toList = (text: string | null): string[] =>
  (text || '')
    .split(',')
    .map((item) => item.trim())
    .filter(Boolean)

const isScalar = (value: unknown): value is Scalar =>
  typeof value === 'string' || typeof value === 'boolean' || (typeof value === 'number' && Number.isFinite(value))

export function toFields(given: unknown, prefix = ''): Fields {
  const fields: Fields = {}
  if (typeof given !== 'object' || given === null || Array.isArray(given)) return fields
  for (const key of Object.keys(given)) {
    try {
      const value: unknown = (given as Record<string, unknown>)[key]
      const name = prefix + key
      if (name === 'attr') Object.assign(fields, toFields(value, 'attr.'))
      else if (Array.isArray(value)) fields[name] = value.filter(isScalar)
      else if (value === null || isScalar(value)) fields[name] = value
    } catch {
      // A getter or proxy of the page threw: this field is left out, the others are good.
    }
  }
  return fields
}

/** `source` and the name are not a page's to override, and `events` would turn one event into a batch of others. */
export function toEvent(event: string, fields: Fields): Fields {
  const written: Fields = { event }
  for (const [key, value] of Object.entries(fields)) {
    // '', [] and [''] are all empty as text.
    if (value !== null && String(value) && !/^(source|events?)$/.test(key)) written[key] = value
  }
  return written
}
