// `npm run fuzz -- --requests 1000000 --seed 7`: prints the figures and what is wrong, and ends with 1 where anything is.

import { execFileSync } from 'node:child_process'
import { parseArgs } from 'node:util'
import { fuzz, problemsOf } from './fuzz.ts'

const { values } = parseArgs({
  options: { requests: { type: 'string', default: '50000' }, seed: { type: 'string', default: String(Date.now() % 100_000) } },
})
execFileSync(process.execPath, ['build.mjs'], { stdio: 'inherit' })
const [requests, seed] = [Number(values.requests), Number(values.seed)]
process.stderr.write(`fuzz: ${requests} requests, seed ${seed}\n`)
const figures = await fuzz({ requests, seed, onProgress: (done) => process.stderr.write(`\r${done}`) })
process.stderr.write('\n')
const { unanswered, wrong, errors, ...shown } = figures
process.stdout.write(
  `${JSON.stringify({ ...shown, unanswered: unanswered.length, wrong: wrong.length, errors: errors.length }, null, 2)}\n`,
)
const problems = problemsOf(figures)
for (const problem of problems) process.stdout.write(`${problem}\n`)
process.exitCode = problems.length === 0 ? 0 : 1
