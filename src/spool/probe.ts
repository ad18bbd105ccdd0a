// Whether the spool's directory takes bytes now: a small write, made and removed. A disk may fill up, be remounted read-only or hang while nobody sends anything.

import { open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { messageOf, systemCode } from '../core/errors.ts'

/** However often it is asked for. */
const EVERY_MS = 1_000
/** A disk that takes longer is as good as none. */
const PATIENCE_MS = 2_000
/** As much as a few beginnings of files: less might fit where no event does. */
const BYTES = Buffer.alloc(65_536, '\n')

async function tryWrite(path: string): Promise<string | undefined> {
  try {
    const file = await open(path, 'w', 0o600)
    try {
      await file.write(BYTES)
    } finally {
      await file.close()
    }
    return undefined
  } catch (error) {
    return systemCode(error) || messageOf(error)
  } finally {
    await rm(path, { force: true }).catch(() => {})
  }
}

/** Resolves with what is wrong (`ENOSPC`), or undefined where a write succeeds. `monotonicMs` never goes back. */
export function makeProbe(data: string, monotonicMs: () => number): () => Promise<string | undefined> {
  const path = join(data, 'spool', '.probe') // one of a kind: what a killed process leaves is written over
  let last: { readonly atMs: number; readonly problem: Promise<string | undefined> } | undefined
  let isWriting = false
  return () => {
    if (last && monotonicMs() - last.atMs < EVERY_MS) return last.problem
    // One that takes long is waited for by everybody, and says itself when it has taken too long.
    if (last && isWriting) return last.problem
    isWriting = true
    const written = tryWrite(path).finally(() => {
      isWriting = false
    })
    const patience = delay(PATIENCE_MS, 'does not answer', { ref: false })
    last = { atMs: monotonicMs(), problem: Promise.race([written, patience]) }
    return last.problem
  }
}
