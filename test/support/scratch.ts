// A project of its own for one test: a configuration and a data directory under the temporary directory, gone after the test.

import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

export type Project = {
  readonly root: string
  readonly config: string
  readonly data: string
  /** Writes a file of the project, `config/segments/a.yaml` or any other, and gives its absolute path. */
  write(path: string, content: string | Buffer): string
  remove(): void
}

/** One source `site`, and hits without a consent signal are kept. */
export const OPEN_CONFIG = {
  'config/sources.yaml': 'sources:\n  - id: site\n',
  'config/settings.yaml': 'consent: { no_signal: allow }\n',
} as const

/** `files` maps paths inside the project to their text. Use `{ ...OPEN_CONFIG, ... }` for a collector that accepts. */
export function scratchProject(files: Readonly<Record<string, string>> = OPEN_CONFIG): Project {
  // A short name: sockets lie in the data directory, and a socket's path holds 108 bytes.
  const root = mkdtempSync(join(tmpdir(), 'mad-'))
  const project: Project = {
    root,
    config: join(root, 'config'),
    data: join(root, 'data'),
    write(path, content) {
      const file = join(root, path)
      mkdirSync(dirname(file), { recursive: true })
      writeFileSync(file, content)
      return file
    },
    remove: () => rmSync(root, { recursive: true, force: true, maxRetries: 5 }),
  }
  mkdirSync(project.config)
  for (const [path, text] of Object.entries(files)) project.write(path, text)
  return project
}

/** While `work` runs nothing can be made in the directory: it lies under another name, and a file stands in its place. What is open stays open. */
export async function refuseWrites(directory: string, work: () => Promise<void>): Promise<void> {
  renameSync(directory, `${directory}.aside`)
  writeFileSync(directory, '')
  try {
    await work()
  } finally {
    rmSync(directory)
    renameSync(`${directory}.aside`, directory)
  }
}
