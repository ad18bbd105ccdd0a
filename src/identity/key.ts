// The keys of this installation: the ring that signs cookies, the one under which opted-out ids are remembered, the one that makes partners' ids, and the one
// that signs links. From the environment, or made once and kept in the data directory, readable by its owner only.

import { randomBytes } from 'node:crypto'
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DAY_MS } from '../core/duration.ts'
import { systemCode } from '../core/errors.ts'
import { COOKIE_DAYS } from './cookie.ts'

/** A key signs for a month and verifies for as long as a cookie that it signed may live. */
const SIGNS_DAYS = 30

type DatedKey = { readonly day: number; readonly key: string }

const newKey = (): string => randomBytes(32).toString('base64url')

function readOrMake(data: string, name: string, make: () => string): string {
  mkdirSync(data, { recursive: true })
  const path = join(data, name)
  const fresh = `${path}.${process.pid}`
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error
  }
  writeFileSync(fresh, make(), { mode: 0o600 })
  try {
    linkSync(fresh, path) // the first of two processes wins, and both read the same key
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error
  } finally {
    rmSync(fresh)
  }
  return readFileSync(path, 'utf8')
}

const written = (keys: readonly DatedKey[]): string => keys.map(({ day, key }) => `${day} ${key}\n`).join('')

function parseKeys(text: string): DatedKey[] {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [, day, key] = /^(\d{1,6}) (\S+)$/.exec(line.trim()) ?? []
      // Before keys had days there was one, alone in the file.
      return day === undefined || key === undefined ? { day: 0, key: line.trim() } : { day: Number(day), key }
    })
}

/** The ring as it should be on a day, newest first. A key goes when the one after it has been in use for longer than a cookie lives. */
export function rotated(keys: readonly DatedKey[], today: number, make: () => string = newKey): DatedKey[] {
  const newest = keys[0]
  const ring = !newest || newest.day + SIGNS_DAYS <= today ? [{ day: today, key: make() }, ...keys] : [...keys]
  return ring.filter((_, n) => n === 0 || (ring[n - 1]?.day ?? 0) + COOKIE_DAYS + 1 > today)
}

/** Keys that verify, the one that signs first. Turns the ring in the data directory; only the owner of the directory may call it. */
export function cookieKeys(data: string, fromEnvironment: readonly string[] | undefined, nowMs: number): readonly string[] {
  if (fromEnvironment !== undefined) return fromEnvironment
  const today = Math.floor(nowMs / DAY_MS)
  const before = readOrMake(data, 'cookie.key', () => written([{ day: today, key: newKey() }]))
  const keys = rotated(parseKeys(before), today)
  const after = written(keys)
  if (after !== before) {
    const path = join(data, 'cookie.key')
    writeFileSync(`${path}.tmp`, after, { mode: 0o600 })
    renameSync(`${path}.tmp`, path)
  }
  return keys.map(({ key }) => key)
}

/** It does not turn: links stay in creatives and mails for as long as those are shown. */
export const linkKey = (data: string, fromEnvironment: string | undefined): string =>
  fromEnvironment ?? readOrMake(data, 'link.key', newKey)

/** It does not turn: an opt-out must be found again for 400 days. */
export const tombstoneKey = (data: string, fromEnvironment: string | undefined): string =>
  fromEnvironment ?? readOrMake(data, 'tombstone.key', newKey)

/** It does not turn: partners keep the ids that are made under it. */
export const syncKey = (data: string, fromEnvironment: string | undefined): string =>
  fromEnvironment ?? readOrMake(data, 'sync.key', newKey)
