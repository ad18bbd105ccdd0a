// `node dist/main.js serve` as a child process, on a free port of its own choice.

import { once } from 'node:events'
import { startCommand } from './cli.ts'
import type { Project } from './scratch.ts'

export const API_KEY = 'integration-test-key'
/** A person's browser to the bot check; Chromium's own headless agent is a robot. */
export const BROWSER_AGENT =
  'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36'

export type Serving = {
  readonly port: number
  /** `http://127.0.0.1:PORT`, without a slash at its end. */
  readonly origin: string
  readonly pid: number
  stderr(): string
  /** Sends the signal and resolves with the exit code (null where the signal ended it) when the process is gone. Harmless when it is gone already. */
  stop(signal?: NodeJS.Signals): Promise<number | null>
}

/** Resolves when /healthz answers; rejects with the exit code and standard error where `serve` ends before. */
export async function startServe(project: Project, env: Readonly<Record<string, string>> = {}): Promise<Serving> {
  const child = startCommand(project, ['serve'], { PORT: '0', MADELEINE_API_KEY: API_KEY, ...env })
  const exited = new Promise<number | null>((done, fail) => child.on('error', fail).on('close', done))
  let stderr = ''
  const port = await new Promise<number>((found, fail) => {
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      stderr += text
      const match = /collecting on http:\/\/localhost:(\d+)/.exec(stderr)
      if (match) found(Number(match[1]))
    })
    exited.then((code) => fail(new Error(`serve ended with exit code ${code} before it listened\n${stderr}`)), fail)
  })
  child.stdout?.resume()
  const origin = `http://127.0.0.1:${port}`
  const health = await fetch(`${origin}/healthz`)
  await health.text()
  if (!health.ok) throw new Error(`/healthz answers ${health.status}`)
  return {
    port,
    origin,
    pid: child.pid ?? 0,
    stderr: () => stderr,
    async stop(signal = 'SIGTERM') {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill(signal)
        await once(child, 'exit')
      }
      return exited
    },
  }
}

/** The value of one counter of /metrics; 0 where the series is not there. `series` is `name` or `name{label="value",...}` as it is printed. */
export async function metric({ origin }: Pick<Serving, 'origin'>, series: string): Promise<number> {
  const text = await (await fetch(`${origin}/metrics`)).text()
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${series} `))
  return Number(line?.slice(series.length + 1) ?? 0)
}

export type Answer = {
  readonly status: number
  readonly type: string
  readonly text: string
  /** The visitor id in the cookie that the answer sets. */
  readonly visitor: string | undefined
}

async function answerOf(response: Response): Promise<Answer> {
  const cookies = response.headers.getSetCookie().join('\n')
  const visitor = /^__Host-mid=([0-9a-f-]{36})\./m.exec(cookies)?.[1]
  return { status: response.status, type: response.headers.get('content-type') ?? '', text: await response.text(), visitor }
}

/** A hit on /p.gif as a browser without cookies sends it, and with access to third-party cookies; `headers` may say otherwise. */
export async function hitPixel(
  { origin }: Pick<Serving, 'origin'>,
  parameters: Readonly<Record<string, string>>,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const url = `${origin}/p.gif?${new URLSearchParams(parameters)}`
  return answerOf(
    await fetch(url, { headers: { 'user-agent': BROWSER_AGENT, 'sec-fetch-storage-access': 'active', ...headers } }),
  )
}

/** A POST of JSON to /e as a beacon, or to another route. A text goes as it is. */
export async function postEvents(
  { origin }: Pick<Serving, 'origin'>,
  body: unknown,
  { path = '/e', headers = {} }: { path?: string; headers?: Readonly<Record<string, string>> } = {},
): Promise<Answer> {
  const init = { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body) }
  return answerOf(await fetch(origin + path, { ...init, headers: { 'user-agent': BROWSER_AGENT, ...headers } }))
}
