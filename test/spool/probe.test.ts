import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { makeProbe } from '../../src/spool/probe.ts'
import { type Project, scratchProject } from '../support/scratch.ts'

let project: Project
beforeEach(() => {
  project = scratchProject()
  mkdirSync(join(project.data, 'spool'), { recursive: true })
})
afterEach(() => project.remove())

it('writes at most once a second, leaves nothing behind, and says what is wrong and when it is over', async () => {
  let ms = 0
  const probe = makeProbe(project.data, () => ms)
  const spool = join(project.data, 'spool')
  expect(await probe()).toBeUndefined()
  expect(readdirSync(spool)).toEqual([])
  rmSync(spool, { recursive: true })
  writeFileSync(spool, 'in its place')
  expect(await probe()).toBeUndefined() // the answer of this second
  ms += 1_000
  expect(await probe()).toBe('ENOTDIR')
  rmSync(spool)
  mkdirSync(spool)
  ms += 999
  expect(await probe()).toBe('ENOTDIR')
  ms += 1
  expect(await Promise.all([probe(), probe(), probe()])).toEqual([undefined, undefined, undefined])
  expect(existsSync(spool)).toBe(true)
})
