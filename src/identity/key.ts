// The key that signs cookies: from the environment, or made once and kept in the data directory, readable by its owner only.

import { randomBytes } from 'node:crypto'
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { systemCode } from '../core/errors.ts'

export function cookieKey(data: string, fromEnvironment: string | undefined): string {
  if (fromEnvironment !== undefined) return fromEnvironment
  mkdirSync(data, { recursive: true })
  const path = join(data, 'cookie.key')
  const fresh = `${path}.${process.pid}`
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error
  }
  writeFileSync(fresh, randomBytes(32).toString('base64url'), { mode: 0o600 })
  try {
    linkSync(fresh, path) // the first of two processes wins, and both read the same key
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error
  } finally {
    rmSync(fresh)
  }
  return readFileSync(path, 'utf8')
}
