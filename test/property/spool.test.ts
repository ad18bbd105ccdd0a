// The spool against a model: what it may hold and what the server must have, after every one of some thousand actions drawn at random. `SEED=...` repeats the actions (what
// runs in the background between them is the machine's).

import {
  appendFileSync,
  type BigIntStats,
  existsSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { afterAll, describe, expect, it } from 'vitest'
import { log } from '../../src/core/log.ts'
import type { SpoolSync } from '../../src/settings/schema.ts'
import type { Disk } from '../../src/spool/disk.ts'
import { openSpool, type Spool } from '../../src/spool/spool.ts'
import { anEvent, visitorNumber } from '../support/events.ts'
import { type Connection, type Fate, memoryServer } from '../support/memory-store.ts'

log.level = 'silent' // thousands of failures are what this is about
const SEED = Number(process.env['SEED'] ?? Date.now() % 1_000_000)
const ACTIONS = Number(process.env['ACTIONS'] ?? 1_200)
const START = Date.parse('2026-11-20T12:00:00Z')
const DAY_MS = 86_400_000
const WEEK_MS = 7 * DAY_MS

/** In memory where there is such a place: what is set aside is synced for good, which is not what this is about. */
const root = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'spool-model-'))
afterAll(() => {
  rmSync(root, { recursive: true, force: true })
  log.level = 'warn'
})

function makeRandom(seed: number) {
  let state = seed >>> 0
  const next = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
  const int = (least: number, most: number): number => least + Math.floor(next() * (most - least + 1))
  const one = <T>(of: readonly T[]): T => of[int(0, of.length - 1)] as T
  return { next, int, one, is: (share: number) => next() < share }
}

const ID = /([0-9a-f]{8})-0000-4000-8000-000000000000/g
const idsIn = (text: string): number[] => [...text.matchAll(ID)].map((match) => Number.parseInt(match[1] ?? '', 16))
const pathOf = (id: number): string => `/of-${id}`

/** How many kinds of thing happened: an action that never does its work would prove nothing. */
const happened: Record<string, number> = {}
const count = (what: string, n = 1): void => {
  happened[what] = (happened[what] ?? 0) + n
}

/** One process on one data directory, until it is closed or killed. */
type Life = { readonly data: string; readonly spool: Spool; readonly connection: Connection; isDead: boolean }

async function runWorld(seed: number, sync: SpoolSync): Promise<void> {
  const random = makeRandom(seed)
  let weather: readonly Fate[] = ['stored']
  const isPoison = (row: Readonly<Record<string, unknown>>) => row['event'] === 'poison'
  const server = memoryServer(() => random.one(weather), isPoison, 5)
  let clock = START
  /** Of the machine: it only grows. */
  let elapsedMs = 1_000_000
  let diskFails = false
  let lives = 0
  let lastId = 0

  // The model: every id is an event of its own.
  const acknowledged = new Set<number>()
  const acknowledgedMs = new Map<number, number>()
  const refused = new Set<number>()
  const poisoned = new Set<number>()
  const signalled = new Set<number>()
  /** Their bytes were damaged: they may be set aside or gone, but neither be stored twice nor other than they were. */
  const hit = new Set<number>()
  /** Of files whose sync has failed. */
  const doubtful = new Set<number>()
  const pending = new Set<Promise<unknown>>()

  // The disk: what of which file a power cut would leave.
  const written = new Set<string>()
  const synced = new Map<string, number>()
  const entries = new Set<string>()
  /** A file is not only its inode, which the next file may get. */
  const identity = ({ ino, birthtimeNs }: BigIntStats): string => `${ino}:${birthtimeNs}`
  const identityOf = (path: string): string => identity(statSync(path, { bigint: true }))
  const filesOf = (data: string): string[] =>
    readdirSync(join(data, 'spool')).filter((name) => statSync(join(data, 'spool', name)).isFile())
  const noSpace = () => Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
  const diskOf = (data: string): Disk => ({
    write: ((fd: number, bytes: Buffer, offset: number, length: number) => {
      written.add(identity(fstatSync(fd, { bigint: true })))
      if (!diskFails) return writeSync(fd, bytes, offset, length)
      if (offset === 0 && length > 20) return writeSync(fd, bytes, 0, 20)
      throw noSpace()
    }) as typeof writeSync,
    async sync(fd) {
      const stats = fstatSync(fd, { bigint: true })
      for (let slow = random.is(0.3) ? random.int(10, 40) : 1; slow > 0; slow--) await turn()
      if (diskFails && random.is(0.5)) {
        // Acknowledged ahead of the disk, and nobody can say whether it has them: they leave the spool as soon as the store lets them.
        const name = filesOf(data).find((one) => identityOf(join(data, 'spool', one)) === identity(stats))
        if (name !== undefined) for (const id of idsIn(readFileSync(join(data, 'spool', name), 'latin1'))) doubtful.add(id)
        throw noSpace()
      }
      synced.set(identity(stats), Math.max(Number(stats.size), synced.get(identity(stats)) ?? 0))
    },
    async syncDirectory() {
      const there = new Set(filesOf(data).map((name) => identityOf(join(data, 'spool', name))))
      await turn()
      if (diskFails && random.is(0.2)) throw noSpace()
      for (const file of there) entries.add(file)
    },
  })

  async function live(data: string): Promise<Life> {
    const connection = server.connect()
    const spool = await openSpool({
      data,
      store: connection.store,
      now: () => clock,
      prepare: async () => {},
      sync,
      maxBytes: 2 ** 30,
      parts: { disk: diskOf(data), elapsed: () => elapsedMs, wait: () => turn() },
    })
    for (const name of filesOf(data)) if (!name.endsWith('.open')) written.delete(identityOf(join(data, 'spool', name))) // recovery syncs what it finds
    return { data, spool, connection, isDead: false }
  }
  const newData = (): string => {
    const data = join(root, `${seed}-${lives++}`)
    mkdirSync(join(data, 'spool'), { recursive: true })
    return data
  }
  let life = await live(newData())

  function append(): void {
    const of = life
    const ids = Array.from({ length: random.is(0.1) ? 40 : random.int(1, 4) }, () => ++lastId)
    const isPoisonous = random.is(0.05)
    const events = ids.map((id) =>
      anEvent({
        ts: START - random.int(0, 2) * WEEK_MS,
        visitor: visitorNumber(id),
        path: pathOf(id),
        event: isPoisonous && random.is(0.3) ? 'poison' : 'page_view',
      }),
    )
    const signals = random.is(0.2)
      ? [{ tsMs: START, visitor: visitorNumber(++lastId), source: 'news', permissions: 0, receivers: [] }]
      : []
    const signalIds = signals.length > 0 ? [lastId] : []
    const answered = of.spool.append(events, { signals }).then(
      () => {
        if (of.isDead) return
        for (const id of ids) acknowledged.add(id)
        for (const id of signalIds) signalled.add(id)
        for (const id of [...ids, ...signalIds]) acknowledgedMs.set(id, elapsedMs)
        events.forEach((event, i) => {
          if (event.event === 'poison') poisoned.add(ids[i] ?? 0)
        })
        count('acknowledged', ids.length)
      },
      () => {
        if (of.isDead) return
        for (const id of [...ids, ...signalIds]) refused.add(id)
        count('refused', ids.length)
      },
    )
    pending.add(answered)
    void answered.finally(() => pending.delete(answered))
  }

  /** Files as another process would find them. `cut`: after a power cut, as far as the disk was asked. */
  function copySpool(from: string, cut: boolean): string {
    const data = newData()
    const copy = (directory: string): void => {
      mkdirSync(join(data, directory), { recursive: true })
      for (const entry of readdirSync(join(from, directory), { withFileTypes: true })) {
        const path = join(directory, entry.name)
        if (entry.isDirectory()) copy(path)
        if (!entry.isFile()) continue
        try {
          const file = identityOf(join(from, path))
          let bytes = readFileSync(join(from, path))
          if (cut && written.has(file)) {
            if (!entries.has(file) && random.is(0.5)) continue
            const kept = synced.get(file) ?? 0
            const length = random.int(kept, bytes.length)
            if (random.is(0.5)) bytes = bytes.subarray(0, length)
            else bytes.fill(0, length)
          }
          writeFileSync(join(data, path), bytes)
        } catch (error) {
          if ((error as { code?: string }).code !== 'ENOENT') throw error // shipped and removed meanwhile
        }
      }
    }
    copy('spool')
    return data
  }

  /** The end of a line that was never answered. */
  function tear(data: string): void {
    for (const name of filesOf(data)) {
      if (!name.endsWith('.open') || random.is(0.5)) continue
      const line = `{"batch":"${name.split('-')[1]?.split('.')[0]}","ts":${START},"visitor":"`
      appendFileSync(join(data, 'spool', name), line.slice(0, random.int(1, line.length)))
      count('torn')
    }
  }

  /** Some bytes of one file. Files are small here: a tenth of them at the most. */
  function damage(data: string): void {
    const files = filesOf(data).filter((name) => name.endsWith('.open') || name.endsWith('.ready'))
    if (files.length === 0) return
    const name = random.one(files)
    const path = join(data, 'spool', name)
    const bytes = readFileSync(path)
    if (bytes.length === 0) return
    const start = random.int(0, bytes.length - 1)
    const end = Math.min(bytes.length, start + random.int(1, 200))
    const kind = random.one(['flipped', 'zeroed', 'truncated', 'doubled', 'copied'] as const)
    // Whole lines that are touched, and the one after where a newline may be.
    const from = bytes.lastIndexOf(0x0a, Math.max(0, start - 1)) + 1
    const next = bytes.indexOf(0x0a, end)
    const to = next < 0 ? bytes.length : next + 1
    const after = bytes.indexOf(0x0a, to)
    const touched = bytes.toString('latin1', from, kind === 'truncated' || after < 0 ? bytes.length : after + 1)
    if (kind === 'flipped') for (let at = start; at < end; at += 37) bytes[at] = (bytes[at] ?? 0) ^ (1 << random.int(0, 7))
    if (kind === 'zeroed') bytes.fill(0, start, end)
    if (kind === 'doubled') appendFileSync(path, bytes.subarray(from, to))
    else if (kind === 'copied') {
      const [partition, rest = ''] = name.split('-')
      const other = random.is(0.5) ? `${partition}-1${rest.slice(1)}` : `20251222-${rest}`
      writeFileSync(join(data, 'spool', other), bytes)
    } else {
      for (const id of idsIn(touched)) hit.add(id)
      writeFileSync(path, kind === 'truncated' ? bytes.subarray(0, start) : bytes)
    }
    count(kind)
  }

  /** What a power cut took: nothing that waited for the disk, and else no more than the interval's worth of time. */
  function forgetCut(data: string): void {
    const left = held(join(data, 'spool'))
    const asides = readdirSync(join(data, 'spool')).includes('aside') ? held(join(data, 'spool', 'aside')) : new Set()
    checkStored()
    const isThere = (id: number) => stored.has(id) || toldSignals.has(id) || left.has(id) || asides.has(id) || hit.has(id)
    const lost = [...acknowledged, ...signalled].filter((id) => !isThere(id))
    if (lost.length === 0) return
    if (typeof sync !== 'object') throw new Error(`a power cut took event ${lost[0]}`)
    const times = lost.flatMap((id) => (doubtful.has(id) ? [] : [acknowledgedMs.get(id) ?? 0]))
    const lostMs = Math.max(...times) - Math.min(...times)
    if (lostMs > sync.everyMs) throw new Error(`a power cut took ${lostMs} ms of events`)
    for (const id of lost) hit.add(id)
    count('lost by a power cut within the interval', lost.length)
  }

  async function kill(): Promise<void> {
    const old = life
    old.isDead = true
    old.connection.cut()
    const isPowerCut = sync !== 'never' && random.is(0.5)
    const data = copySpool(old.data, isPowerCut)
    if (isPowerCut) forgetCut(data)
    else tear(data)
    if (random.is(0.4)) damage(data)
    diskFails = false
    await old.spool.close(0)
    rmSync(old.data, { recursive: true, force: true })
    life = await live(data)
    count(isPowerCut ? 'power cuts' : 'kills')
  }

  async function restart(): Promise<void> {
    if (random.is(0.5)) clock += random.one([-1, 1]) * random.int(1, 100) * 3_600_000
    await life.spool.close(random.int(0, 5))
    await Promise.all(pending)
    life = await live(life.data)
    count('restarts')
  }

  const actions: readonly (readonly [number, () => void | Promise<void>])[] = [
    [40, append],
    [15, () => turn()],
    [
      12,
      () => {
        elapsedMs += random.int(1, 20)
      },
    ],
    [6, () => void Promise.all(pending)],
    [
      8,
      () =>
        life.spool.ship().then(
          () => count('shipped'),
          () => count('not shipped'),
        ),
    ],
    [6, () => void life.spool.ship().catch(() => {})],
    [
      8,
      () => {
        weather = random.one<readonly Fate[]>([
          ['stored'],
          ['stored'],
          ['away'],
          ['stored', 'no_answer', 'killed_between', 'away', 'refused'],
        ])
      },
    ],
    [
      5,
      () => {
        clock += random.one([-1, 1]) * random.one([1_000, 3_600_000, 40 * DAY_MS])
        count('clock steps')
      },
    ],
    [
      4,
      () => {
        diskFails = !diskFails
        if (diskFails) count('disk failures')
      },
    ],
    [3, restart],
    [5, kill],
  ]
  const total = actions.reduce((sum, [weight]) => sum + weight, 0)
  function draw(): () => void | Promise<void> {
    let left = random.next() * total
    for (const [weight, action] of actions) {
      left -= weight
      if (left < 0) return action
    }
    return append
  }

  // What must hold at any moment.
  let seen = 0
  const stored = new Set<number>()
  const toldSignals = new Set<number>()
  function checkStored(): void {
    for (; seen < server.stored.length; seen++) {
      const { into = '', row = {} as Readonly<Record<string, unknown>> } = server.stored[seen] ?? {}
      const [id = 0] = idsIn(String(row['visitor']))
      if (into.includes('consent_signals')) toldSignals.add(id)
      else {
        if (stored.has(id)) throw new Error(`event ${id} is stored twice`)
        if (row['path'] !== pathOf(id)) throw new Error(`event ${id} is stored as ${String(row['path'])}`)
        stored.add(id)
      }
      if (refused.has(id)) throw new Error(`event ${id} was refused and is stored`)
    }
  }
  function held(directory: string): Set<number> {
    const ids = new Set<number>()
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      if (!entry.isFile()) continue
      try {
        for (const id of idsIn(readFileSync(join(directory, entry.name), 'latin1'))) ids.add(id)
      } catch (error) {
        if ((error as { code?: string }).code !== 'ENOENT') throw error
      }
    }
    return ids
  }
  const asideOf = (): Set<number> => {
    const aside = join(life.data, 'spool', 'aside')
    return readdirSync(join(life.data, 'spool')).includes('aside') ? held(aside) : new Set()
  }
  /** Ids whose lines were copied or doubled are told of in `aside/` as well as stored. */
  function checkHeld(): void {
    const inSpool = held(join(life.data, 'spool'))
    const aside = asideOf()
    checkStored()
    for (const id of [...acknowledged, ...signalled]) {
      const isStored = stored.has(id) || toldSignals.has(id)
      if (!isStored && !inSpool.has(id) && !aside.has(id) && !hit.has(id))
        throw new Error(`event ${id} was acknowledged and is gone`)
    }
    for (const id of refused) if (inSpool.has(id)) throw new Error(`event ${id} was refused and is in the spool`)
  }

  for (let n = 0; n < ACTIONS; n++) {
    await draw()()
    count('actions')
    checkStored()
    if (n % 10 === 0 && pending.size === 0) checkHeld()
  }

  // The end of all trouble: everything is where it belongs.
  diskFails = false
  await Promise.all(pending)
  weather = ['stored']
  await life.spool.close(0)
  life = await live(life.data)
  await life.spool.ship()
  checkHeld()
  const { counts } = life.spool
  expect({ bytes: counts.bytesWaiting, files: counts.filesWaiting, age: counts.oldestSeconds }).toEqual({
    bytes: 0,
    files: 0,
    age: 0,
  })
  expect(held(join(life.data, 'spool'))).toEqual(new Set())
  const aside = asideOf()
  for (const id of acknowledged) {
    if (hit.has(id)) continue
    expect(poisoned.has(id) ? aside.has(id) : stored.has(id) || aside.has(id), `event ${id}`).toBe(true)
    if (poisoned.has(id)) expect(stored.has(id), `event ${id}`).toBe(false)
  }
  for (const id of signalled) if (!hit.has(id)) expect(toldSignals.has(id) || aside.has(id), `signal ${id}`).toBe(true)
  count('stored', stored.size)
  count('hit by damage or cut off', hit.size)
  count('of these not stored', [...hit].filter((id) => acknowledged.has(id) && !stored.has(id)).length)
  count('not hit, refused by the store, aside', poisoned.size)
  await life.spool.close(0)
}

describe('the spool against a model', () => {
  it.each<SpoolSync>(['never', 'batch', { everyMs: 20 }])(
    'loses nothing acknowledged, stores nothing twice, keeps nothing refused; synced %j',
    async (sync) => {
      const seed = SEED + (sync === 'never' ? 0 : sync === 'batch' ? 1 : 2)
      try {
        await runWorld(seed, sync)
      } catch (error) {
        process.stderr.write(`SEED=${SEED} (${JSON.stringify(sync)})\n`)
        throw error
      }
    },
    120_000,
  )

  it('had every kind of trouble in it', () => {
    process.stderr.write(`the spool against a model, SEED=${SEED}: ${JSON.stringify(happened)}\n`)
    for (const what of [
      'acknowledged',
      'refused',
      'stored',
      'kills',
      'power cuts',
      'restarts',
      'torn',
      'flipped',
      'zeroed',
      'truncated',
      'doubled',
      'copied',
      'clock steps',
      'disk failures',
    ])
      expect(happened[what], what).toBeGreaterThan(0)
  })
})
