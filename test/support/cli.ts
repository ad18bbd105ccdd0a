// The built command, run as a user runs it. `npm test` has built it (support/build.ts).

import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Project } from './scratch.ts'

export const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url))

/** A worker that ends early, because a test has hung, takes its children with it. */
const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** The environment of a command of this project and of nothing else: what the developer has set for himself must not reach a test. */
export function commandEnvironment(project: Project, more: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const own = /^(MADELEINE_.*|CLICKHOUSE_URL|REDIS_URL|PORT|NODE_OPTIONS|VITEST.*)$/
  const inherited = Object.entries(process.env).filter(([name]) => !own.test(name))
  return { ...Object.fromEntries(inherited), MADELEINE_CONFIG: project.config, MADELEINE_DATA: project.data, ...more }
}

/** Started and not waited for. */
export function startCommand(
  project: Project,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): ChildProcess {
  const child = spawn(process.execPath, [MAIN, ...args], {
    cwd: project.root,
    env: commandEnvironment(project, env),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running.add(child)
  child.once('exit', () => running.delete(child))
  return child
}

export type Ran = { readonly exitCode: number | null; readonly stdout: string; readonly stderr: string }

export async function runCommand(
  project: Project,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Ran> {
  const child = startCommand(project, args, env)
  let stdout = ''
  let stderr = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const exitCode = await new Promise<number | null>((done, fail) => child.on('error', fail).on('close', done))
  return { exitCode, stdout, stderr }
}

/** The document that `--json` puts on standard output, which must hold nothing else. Fails where the exit code is not `exitCode`. */
export async function runJson<T>(
  project: Project,
  args: readonly string[],
  { exitCode = 0, env = {} }: { exitCode?: number; env?: Readonly<Record<string, string>> } = {},
): Promise<T> {
  const ran = await runCommand(project, [...args, '--json'], env)
  if (ran.exitCode !== exitCode)
    throw new Error(`madeleine ${args.join(' ')}: exit code ${ran.exitCode} instead of ${exitCode}\n${ran.stderr}\n${ran.stdout}`)
  return JSON.parse(ran.stdout) as T
}

export type MembersAnswer = { as_of: string; audiences: { id: string; members: string[] }[] }

/** `members ID... --json` as sets by id. */
export async function membersOf(project: Project, ...ids: string[]): Promise<Record<string, Set<string>>> {
  const { audiences } = await runJson<MembersAnswer>(project, ['members', ...ids])
  return Object.fromEntries(audiences.map(({ id, members }) => [id, new Set(members)]))
}
