// The load: wrk, which needs little CPU beside the server it loads.

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

export type Load = {
  /** Answered requests, refusals included. */
  readonly requests: number
  readonly perSecond: number
  readonly p99: string
  readonly refused: number
}

export type LoadOptions = {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly seconds: number
  readonly connections: number
}

export async function load({ url, headers, seconds, connections }: LoadOptions): Promise<Load> {
  const headerArgs = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
  const args = ['-t1', `-c${connections}`, `-d${seconds}s`, '--latency', ...headerArgs, url]
  const { stdout } = await promisify(execFile)('wrk', args)
  const found = (pattern: RegExp): string | undefined => pattern.exec(stdout)?.[1]
  const requests = Number(found(/(\d+) requests in/))
  const perSecond = Number(found(/Requests\/sec:\s+([\d.]+)/))
  if (!(requests > 0 && perSecond > 0)) throw new Error(`wrk was not answered:\n${stdout}`)
  const errors = found(/Socket errors: (.*)/)
  if (errors) throw new Error(`connections failed: ${errors}`)
  return {
    requests,
    perSecond,
    p99: found(/^\s+99%\s+(\S+)/m) ?? '?',
    refused: Number(found(/Non-2xx or 3xx responses: (\d+)/) ?? 0),
  }
}
