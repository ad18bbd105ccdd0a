// The files of config/, found and parsed, and what stands there and is none of them. What they say is for load.ts to read.

import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { MadeleineError } from '../core/errors.ts'
import { type ConfigError, type Document, parseConfigFile } from './document.ts'
import { TAXONOMY_TABLES, type TableFile, type TaxonomyFiles } from './taxonomy.ts'

export class ConfigurationError extends MadeleineError {
  readonly errors: readonly ConfigError[]
  constructor(errors: readonly ConfigError[]) {
    super('configuration', errors.map(({ file, line, column, message }) => `${file}:${line}:${column}: ${message}`).join('\n'))
    this.errors = errors
  }
}

const FOLDERS = ['segments', 'lookalikes', 'destinations', 'taxonomy'] as const
const FILES = ['sources.yaml', 'settings.yaml', 'partners.yaml'] as const
/** Editors leave files with a leading dot beside the ones they edit. */
const isYaml = (name: string): boolean => /^[^.].*\.ya?ml$/.test(name)

/** Somebody's table under a name that would be passed over in silence. */
const isTable = (name: string): boolean => /^[^.].*\.(tsv|csv|txt|xlsx?|ods)$/i.test(name)

/** Undefined where the bytes are no text. Excel's "Unicode text" is UTF-16. */
function decodeText(bytes: Buffer): string | undefined {
  try {
    return new TextDecoder(bytes[0] === 0xff && bytes[1] === 0xfe ? 'utf-16le' : 'utf-8', { fatal: true }).decode(bytes)
  } catch {
    return undefined
  }
}

/** As short as it can be clicked: from here if it lies below, else in full. */
export function shownPath(path: string): string {
  const fromHere = relative(process.cwd(), path)
  return fromHere.startsWith('..') ? resolve(path) : fromHere
}

/** Undefined, and an error more, where there is no such file. */
export function readDocument(
  path: string,
  environment: Readonly<Record<string, string | undefined>>,
  errors: ConfigError[],
): Document | undefined {
  if (!statSync(path, { throwIfNoEntry: false })?.isFile()) {
    errors.push({ file: shownPath(path), line: 1, column: 1, message: 'is no file' })
    return undefined
  }
  const document = parseConfigFile(shownPath(path), readFileSync(path, 'utf8'), environment)
  errors.push(...document.errors)
  return document
}

/** Every file that is there, as it stands; what is no file of ours is an error already. */
export type Files = {
  readonly documents: ReadonlyMap<string, Document>
  readonly tables: TaxonomyFiles['tables']
  readonly errors: ConfigError[]
}

export function readFiles(directory: string, environment: Readonly<Record<string, string | undefined>>): Files {
  if (!existsSync(directory) || !statSync(directory).isDirectory())
    throw new ConfigurationError([{ file: directory, line: 1, column: 1, message: 'no such configuration directory' }])
  const errors: ConfigError[] = []
  const documents = new Map<string, Document>()
  const shown = (name: string) => shownPath(join(directory, name))
  const read = (name: string) => {
    const document = readDocument(join(directory, name), environment, errors)
    if (document) documents.set(name, document)
  }
  const listed = (folder: string, isWanted = isYaml) =>
    existsSync(join(directory, folder)) ? readdirSync(join(directory, folder)).sort().filter(isWanted) : []
  for (const name of readdirSync(directory).sort()) {
    if ((FILES as readonly string[]).includes(name)) read(name)
    else if (isYaml(name))
      errors.push({
        file: shown(name),
        line: 1,
        column: 1,
        message: `unknown file; this version knows ${FILES.join(', ')} and the folders ${FOLDERS.join(', ')}`,
      })
  }
  for (const folder of FOLDERS) for (const name of listed(folder)) read(join(folder, name))
  const tables = new Map<(typeof TAXONOMY_TABLES)[number], TableFile>()
  for (const name of listed('taxonomy', isTable)) {
    const file = shown(join('taxonomy', name))
    const known = TAXONOMY_TABLES.find((table) => table === name)
    if (known) tables.set(known, { file, text: decodeText(readFileSync(join(directory, 'taxonomy', name))) })
    else errors.push({ file, line: 1, column: 1, message: `unknown file; a taxonomy is called ${TAXONOMY_TABLES.join(' or ')}` })
  }
  return { documents, tables, errors }
}
