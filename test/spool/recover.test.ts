// What a crash leaves in a spool directory, and what becomes of it. What the files hold is looked at later: damage.test.ts.

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { expireAside, setAside } from '../../src/spool/aside.ts'
import { recoverSpool } from '../../src/spool/recover.ts'
import { splitRefused } from '../../src/spool/refusal.ts'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'spool-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const put = (name: string, text: string) => writeFileSync(join(directory, name), text)
const files = () =>
  readdirSync(directory)
    .filter((name) => name !== 'aside')
    .sort()
const recovered = () => recoverSpool(directory).map(({ file }) => file)
const text = (name: string) => readFileSync(join(directory, name), 'utf8')

it('what was set aside ends with retention', () => {
  setAside(directory, 'old', [{ reason: 'torn', line: 'x' }])
  setAside(directory, 'new', [{ reason: 'torn', line: 'y' }])
  const dayAgo = Date.now() / 1_000 - 86_400
  utimesSync(join(directory, 'aside', 'old.ndjson'), dayAgo, dayAgo)
  expireAside(directory, Date.now() - 3_600_000)
  expect(readdirSync(join(directory, 'aside'))).toEqual(['new.ndjson'])
})

describe('recovery of the spool', () => {
  it('closes a file that was being written', () => {
    put('20261116-7.open', '{"batch":"7"}\n')
    expect(recovered()).toEqual(['20261116-7.ready'])
    expect(text('20261116-7.ready')).toBe('{"batch":"7"}\n')
  })

  it('removes a file in which nothing was acknowledged, and keeps a closed one that has lost everything, to tell of it', () => {
    put('20261116-7.open', '')
    put('20261116-8.ready', '')
    expect(recovered()).toEqual(['20261116-8.ready'])
    expect(files()).toEqual(['20261116-8.ready'])
  })

  it('does a split again that was cut off before the refused file was gone', () => {
    put('20261116-7.ready', 'all\n')
    put('20261116-8.split-of-7', 'half\n')
    expect(recovered()).toEqual(['20261116-7.ready'])
    expect(files()).toEqual(['20261116-7.ready'])
  })

  it('finishes a split whose refused file is gone', () => {
    put('20261116-8.split-of-7', 'half\n')
    put('20261116-9.split-of-7', 'other half\n')
    expect(recovered()).toEqual(['20261116-8.ready', '20261116-9.ready'])
  })

  it('has no piece of a split that failed half-way come back when the split has succeeded later', () => {
    put('20261116-7.ready', 'refused')
    const rows = ['a', 'b', 'c', 'd'].map((text) => `{"batch":"7","event":"${text}"}`)
    const refused = { name: { partition: '20261116', batch: 7n, state: 'ready' }, rows, reason: 'refused' } as const
    let batch = 10n
    const diskFull = () => {
      if (batch >= 11n) throw new Error('no space left on device')
      return batch++
    }
    expect(() => splitRefused(directory, refused, diskFull)).toThrow('no space')
    splitRefused(directory, refused, () => 100n + batch++)
    const lines = recovered().flatMap((file) => text(file).trim().split('\n'))
    expect(lines.map((line) => /"event":"(.)"/.exec(line)?.[1]).sort()).toEqual(['a', 'b', 'c', 'd'])
  })

  it('gives the oldest batch first, by number and not by text, and leaves foreign files alone', () => {
    put('20261116-10.ready', 'a\n')
    put('20261116-9.ready', 'b\n')
    put('notes.txt', 'mine')
    expect(recovered()).toEqual(['20261116-9.ready', '20261116-10.ready'])
    expect(existsSync(join(directory, 'notes.txt'))).toBe(true)
  })
})
