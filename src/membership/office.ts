// Who refreshes memberships: one a data directory. A running server does it for everybody; without one, a command for as long as it builds.

import { setTimeout as delay } from 'node:timers/promises'
import { MadeleineError } from '../core/errors.ts'
import {
  type Answer,
  askOwner,
  type Claim,
  claimDirectory,
  errorOf,
  type OnCommand,
  type Question,
  type Role,
} from '../spool/claim.ts'
import type { BuildResult } from './build.ts'

export type BuildRequest = {
  readonly ids: readonly string[]
  readonly full: boolean
  /** Absolute path of the configuration that the command has read. */
  readonly config: string
}

const AGAIN_MS = 100
/** Another server is gone, or leads, within this. */
const OTHERS_MAX_MS = 20_000

/** Undefined where another process holds the office. */
async function claimSegmenter(data: string, role: Role, onCommand: OnCommand): Promise<Claim | undefined> {
  try {
    return await claimDirectory(data, role, onCommand, 'segmenter')
  } catch (error) {
    if (error instanceof MadeleineError && error.code === 'locked') return undefined
    throw error
  }
}

/** Waits until the office is free; answers commands from then on. Rejects when `signal` says to stop waiting. */
export async function waitForSegmenter(data: string, onCommand: OnCommand, signal: AbortSignal): Promise<Claim> {
  for (;;) {
    const claim = await claimSegmenter(data, 'serve', onCommand)
    if (claim) return claim
    await delay(AGAIN_MS, undefined, { signal })
  }
}

/** Undefined where no server refreshes memberships. */
async function askServer(data: string, question: Question): Promise<Answer | undefined> {
  const owner = await askOwner(data, undefined, 'segmenter')
  return owner?.body === 'serve' ? askOwner(data, question, 'segmenter') : undefined
}

/** Where a server runs: a tick of its, and its end. False where there is none. */
export async function refreshThroughServer(data: string): Promise<boolean> {
  const done = await askServer(data, { method: 'POST', path: '/refresh' })
  if (done && done.status !== 200) throw errorOf(done)
  return done !== undefined
}

/** By the running server, or here where there is none; one after the other, whoever else builds. */
export async function buildOnce(data: string, request: BuildRequest, here: () => Promise<BuildResult>): Promise<BuildResult> {
  const untilMs = Date.now() + OTHERS_MAX_MS
  for (;;) {
    const built = await askServer(data, { method: 'POST', path: '/build', body: JSON.stringify(request) })
    if (built?.status === 200) return JSON.parse(built.body) as BuildResult
    if (built) {
      const error = errorOf(built)
      if (!(error.code === 'locked' && error.retry && Date.now() < untilMs)) throw error
    }
    const claim = await claimSegmenter(data, 'command', () =>
      Promise.reject(new MadeleineError('locked', 'another command builds', { retry: true })),
    )
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
