/** One step of the schema. Its number and its statements never change once released; each statement may run twice. */
export type Migration = { readonly id: number; readonly name: string; readonly statements: readonly string[] }

/** The four weeks of a moment, as the partitions of `events` and `transitions` are numbered: who asks in the same words has the parts' own counts, without reading. */
export const fourWeeks = (moment: string): string => `intDiv(toUInt16(toMonday(${moment})), 28)`
