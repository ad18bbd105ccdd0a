// Load on a collector of which every answer is kept: each request is a visitor of its own (no cookie is sent back), so an event that is lost is a visitor missing, one that is doubled
// a visitor with two.

import { readdirSync, readFileSync } from 'node:fs'
import { Agent, get } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { expect } from 'vitest'
import { openStore } from '../../src/engine/store.ts'
import { shipSpool } from '../../src/spool/spool.ts'
import type { Project } from './scratch.ts'
import { BROWSER_AGENT } from './serve.ts'

export const CLIENTS = 16

/** The same numbers for the same seed. */
export function makeRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff
    return state / 0x7fffffff
  }
}

/** One hit; the visitor's id if it was acknowledged with an image and a cookie. */
function hit(port: number, agent: Agent): Promise<string | undefined> {
  return new Promise((resolve) => {
    const url = `http://127.0.0.1:${port}/p.gif?source=site&url=https%3A%2F%2Fnews.example%2Fa`
    const request = get(
      url,
      { agent, headers: { 'user-agent': BROWSER_AGENT, 'sec-fetch-storage-access': 'active' } },
      (response) => {
        const cookie = response.headers['set-cookie']?.[0]
        response.on('end', () =>
          resolve(response.statusCode === 200 ? /^__Host-mid=([0-9a-f-]{36})\./.exec(cookie ?? '')?.[1] : undefined),
        )
        response.on('error', () => resolve(undefined))
        response.resume()
      },
    )
    request.on('error', () => resolve(undefined))
  })
}

export type Load = {
  sent(): number
  /** How many were sent. */
  stop(): Promise<number>
}

/** Load until it is stopped; `acknowledged` fills meanwhile. `pauseMs`: of each client after a hit. */
export function startLoad(port: () => number, acknowledged: Set<string>, pauseMs = 0): Load {
  const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS })
  let stopped = false
  let sent = 0
  const clients = Array.from({ length: CLIENTS }, async () => {
    while (!stopped) {
      sent++
      const visitor = await hit(port(), agent)
      if (visitor) acknowledged.add(visitor)
      else await delay(5)
      if (pauseMs > 0) await delay(pauseMs)
    }
  })
  return {
    sent: () => sent,
    async stop() {
      stopped = true
      await Promise.all(clients)
      agent.destroy()
      return sent
    },
  }
}

export type Count = { readonly stored: ReadonlySet<string>; readonly doubled: number }

/** Ships what is left and counts all of the last 60 days. */
export async function countStored(project: Project, url?: string): Promise<Count> {
  const store = openStore({ directory: project.data, url })
  try {
    await shipSpool(project.data, store, Date.now)
    const rows = await store.rows<{ visitor: string; n: number }>({
      owner: 'test.count',
      sql: 'SELECT toString(visitor) AS visitor, count() AS n FROM madeleine.events WHERE ts > now() - INTERVAL 60 DAY GROUP BY visitor',
    })
    return { stored: new Set(rows.map((row) => row.visitor)), doubled: rows.filter((row) => row.n > 1).length }
  } finally {
    await store.close()
  }
}

/** Prints the figures, and holds them to: nothing acknowledged is lost, nothing is doubled. */
export function report(what: string, sent: number, acknowledged: ReadonlySet<string>, { stored, doubled }: Count): void {
  const lost = [...acknowledged].filter((visitor) => !stored.has(visitor)).length
  process.stderr.write(
    `${what}: sent ${sent}, acknowledged ${acknowledged.size}, stored ${stored.size}, lost ${lost}, doubled ${doubled}\n`,
  )
  expect({ lost, doubled }).toEqual({ lost: 0, doubled: 0 })
  expect(acknowledged.size).toBeGreaterThan(1_000)
  // A request that was cut before its answer may rightly be stored; more than was sent may not.
  expect(stored.size).toBeLessThanOrEqual(sent)
}

/** The engine of a data directory: the process whose command line names it. */
export function enginePid(data: string): number | undefined {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  return pids.map(Number).find((pid) => {
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
      return command.includes('engine-process.js') && command.includes(data)
    } catch {
      return false
    }
  })
}

export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await delay(10)
}
