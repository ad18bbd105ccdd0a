// How each of the short signals is read. The long ones, TC and GPP strings, have files of their own; weigh.ts puts them together.

/** `Sec-GPC` and `DNT`: Node joins repeated headers by commas, and one exact `1` is enough (w3c/gpc). */
export const isSwitchedOn = (header: string | undefined): boolean =>
  header === '1' || (header?.split(',').some((value) => value.trim() === '1') ?? false)

/**
 * EEA, United Kingdom, Switzerland; and the territories of the Union (Treaty on its Functioning, Articles 349 and 355) that address databases list as
 * countries of their own.
 */
export const GDPR_COUNTRIES: ReadonlySet<string> = new Set(
  'AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK IS LI NO GB CH AX GF GP MF MQ RE YT'.split(
    ' ',
  ),
)

/** A macro that an ad server or tag manager did not fill in: `${GDPR}`. */
const UNEXPANDED = /^\$\{[^{}]*\}$/

/** Undefined where nothing was said. Whatever is not a plain `0` counts as "applies": the stricter guess. */
export function readGdprFlag(text: string): 'applies' | 'does_not_apply' | undefined {
  if (text === '' || UNEXPANDED.test(text)) return undefined
  return text === '0' ? 'does_not_apply' : 'applies'
}

const SECTION_IDS = /^\d{1,3}(?:,\d{1,3}){0,31}$/
const NO_IDS: readonly number[] = []

/** The sections that apply, each once: none where `-1` says so, undefined where nothing was said. */
export function readSectionIds(text: string): readonly number[] | 'malformed' | undefined {
  if (text === '') return undefined
  if (text === '-1') return NO_IDS
  return SECTION_IDS.test(text) ? [...new Set(text.split(',').map(Number))] : 'malformed'
}
