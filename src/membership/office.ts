// Who refreshes memberships: one process a data directory. A running server does it for everybody; without one, a command for as long as it builds.

import { setTimeout as delay } from 'node:timers/promises'
import { MadeleineError } from '../core/errors.ts'
import { askOwner, type Claim, claimDirectory, type Role } from '../spool/claim.ts'
import type { BuildResult } from './build.ts'

export type BuildRequest = {
  readonly ids: readonly string[]
  readonly full: boolean
  /** Absolute path of the configuration that the command has read. */
  readonly config: string
}

const AGAIN_MS = 100

/** Undefined where another process holds the office. */
export async function claimSegmenter(data: string, role: Role): Promise<Claim | undefined> {
  try {
    return await claimDirectory(data, role, () => Promise.reject(new Error('ask the collector')), 'segmenter')
  } catch (error) {
    if (error instanceof MadeleineError && error.code === 'locked') return undefined
    throw error
  }
}

/** Waits until the office is free. Rejects when `signal` says to stop waiting. */
export async function waitForSegmenter(data: string, signal: AbortSignal): Promise<Claim> {
  for (;;) {
    const claim = await claimSegmenter(data, 'serve')
    if (claim) return claim
    await delay(AGAIN_MS, undefined, { signal })
  }
}

/** Where a server runs: a tick of its, and its end. False where there is none. */
export async function refreshThroughServer(data: string): Promise<boolean> {
  const owner = await askOwner(data)
  if (owner?.body !== 'serve') return false
  const done = await askOwner(data, { method: 'POST', path: '/refresh' })
  if (done && done.status !== 200)
    throw new MadeleineError('store_unreachable', `the running server cannot refresh memberships: ${done.body}`, { retry: true })
  return done !== undefined
}

/** By the running server, or here where there is none; one after the other, whoever else builds. */
export async function buildOnce(data: string, request: BuildRequest, here: () => Promise<BuildResult>): Promise<BuildResult> {
  for (;;) {
    const owner = await askOwner(data)
    if (owner?.body === 'serve') {
      const built = await askOwner(data, { method: 'POST', path: '/build', body: JSON.stringify(request) })
      if (built?.status === 200) return JSON.parse(built.body) as BuildResult
      if (built) throw new MadeleineError('store_refused', `the running server could not build: ${built.body}`)
      continue // it stopped between the two questions
    }
    const claim = await claimSegmenter(data, 'command')
    if (claim) {
      try {
        return await here()
      } finally {
        await claim.release()
      }
    }
    await delay(AGAIN_MS)
  }
}
