// The same tasks, ranked by scikit-learn and XGBoost in one run of Python. Tasks go through a folder in /tmp, as files of plain numbers.

import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Task } from './lookalike-data.ts'

export const PYTHON_RANKERS = ['xgboost', 'sklearn_regression', 'sklearn_centroid'] as const
const SCRIPT = fileURLToPath(new URL('./lookalike.py', import.meta.url))

/** The first interpreter that has both libraries. */
function interpreter(): string {
  for (const python of ['python3', '/usr/bin/python3'])
    if (spawnSync(python, ['-c', 'import sklearn, xgboost']).status === 0) return python
  console.error('This bench compares with scikit-learn and XGBoost: apt-get install python3-sklearn python3-xgboost')
  process.exit(1)
}

export type PythonScores = {
  readonly scores: Map<string, Float64Array>[]
  readonly took: Record<string, number>
  readonly versions: Record<string, string>
}

/** Scores of everybody by ranker, for each task. */
export function pythonScores(tasks: readonly Task[]): PythonScores {
  const python = interpreter()
  const folder = mkdtempSync(join(tmpdir(), 'lookalike-'))
  try {
    writeFileSync(join(folder, 'tasks.json'), JSON.stringify(tasks.map(({ rows }, n) => ({ n, width: rows.width }))))
    for (const [n, { rows, seed }] of tasks.entries()) {
      writeFileSync(join(folder, `${n}.offsets`), rows.offsets)
      writeFileSync(join(folder, `${n}.features`), rows.features)
      writeFileSync(join(folder, `${n}.labels`), seed)
    }
    const run = spawnSync(python, [SCRIPT, folder], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
    if (run.status !== 0) throw new Error(`${python} lookalike.py ended with ${run.status}`)
    const { took_s, versions } = JSON.parse(run.stdout) as { took_s: Record<string, number>; versions: Record<string, string> }
    const scores = tasks.map((_, n) => new Map(PYTHON_RANKERS.map((name) => [name, floats(join(folder, `${n}.${name}`))])))
    return { scores, took: took_s, versions }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const floats = (path: string): Float64Array => {
  const bytes = readFileSync(path)
  return new Float64Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength))
}
