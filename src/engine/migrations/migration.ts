/** One step of the schema. Its number and its statements never change once released; each statement may run twice. */
export type Migration = { readonly id: number; readonly name: string; readonly statements: readonly string[] }
