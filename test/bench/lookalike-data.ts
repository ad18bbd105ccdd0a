// Real behaviour as tasks for rankers: visitors with their columns, a trait that was taken out of them, and a salted half of those who have it as the seed.

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import Bowser from 'bowser'
import { type Rows, rowsOf } from '../../src/lookalike/model/rows.ts'

export type Task = {
  readonly name: string
  readonly ids: readonly string[]
  readonly rows: Rows
  /** Events of each. */
  readonly activity: Uint32Array
  readonly trait: Uint8Array
  readonly seed: Uint8Array
}

export const hashOf = (text: string): number => createHash('sha256').update(text).digest().readUInt32BE(0)
const read = (name: string): string =>
  gunzipSync(readFileSync(new URL(`../../../shared/data/${name}`, import.meta.url))).toString('latin1')

type Visitor = { readonly id: string; readonly columns: readonly string[]; readonly activity: number; readonly trait: boolean }

function taskOf(name: string, salt: string, visitors: readonly Visitor[]): Task {
  const columns = new Map<string, number>()
  for (const column of [...new Set(visitors.flatMap((visitor) => visitor.columns))].sort()) columns.set(column, columns.size)
  const trait = Uint8Array.from(visitors, (visitor) => (visitor.trait ? 1 : 0))
  return {
    name,
    ids: visitors.map(({ id }) => id),
    rows: rowsOf(
      visitors.map((visitor) => [...new Set(visitor.columns)].map((column) => columns.get(column) as number)),
      columns.size,
    ),
    activity: Uint32Array.from(visitors, (visitor) => visitor.activity),
    trait,
    seed: Uint8Array.from(visitors, ({ id }, n) => (trait[n] === 1 && hashOf(`${salt}:${name}:${id}`) < 2 ** 31 ? 1 : 0)),
  }
}

/** The most visited areas in turn are the trait and are hidden; visitors with another area remain. */
export function* mswebTasks(salt: string, count = 20): Generator<Task> {
  const visitors = new Map<string, Set<string>>()
  let areas = new Set<string>()
  for (const line of read('msweb.data.gz').split('\n')) {
    const [kind, first = '', second = ''] = line.trim().split(',')
    if (kind === 'C') {
      areas = new Set()
      visitors.set(second, areas)
    } else if (kind === 'V') areas.add(first)
  }
  const visits = new Map<string, number>()
  for (const seen of visitors.values()) for (const area of seen) visits.set(area, (visits.get(area) ?? 0) + 1)
  const most = [...visits].sort((a, b) => b[1] - a[1]).slice(0, count)
  for (const [hidden] of most)
    yield taskOf(
      hidden,
      salt,
      [...visitors].flatMap(([id, seen]) => {
        const columns = [...seen].filter((area) => area !== hidden)
        return columns.length === 0 ? [] : [{ id, columns, activity: columns.length, trait: seen.has(hidden) }]
      }),
    )
}

/** Cells of a line of comma-separated values. */
const cellsOf = (line: string): string[] =>
  [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(
    ([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain ?? '',
  )

type Seen = { readonly atS: number; readonly kind: string; readonly page: string; readonly columns: readonly string[] }

function readDeskdrop(): Map<string, Seen[]> {
  const people = new Map<string, Seen[]>()
  const agents = new Map<string, string[]>()
  for (const line of read('deskdrop.csv.gz').trim().split('\n').slice(1)) {
    const [atS = '', kind = '', page = '', person = '', , agent = '', region = '', country = ''] = cellsOf(line)
    let software = agents.get(agent)
    if (!software) {
      const parsed = agent === '' ? undefined : Bowser.parse(agent)
      software = parsed ? [`device:${parsed.platform.type}`, `browser:${parsed.browser.name}`, `os:${parsed.os.name}`] : []
      agents.set(agent, software)
    }
    const at = new Date(Number(atS) * 1000)
    const columns = [
      `event:${kind}`,
      `page:${page}`,
      `hour:${at.getUTCHours()}`,
      `weekday:${at.getUTCDay()}`,
      ...software,
      ...(region ? [`region:${country}-${region}`] : []),
      ...(country ? [`country:${country}`] : []),
    ]
    const seen = people.get(person) ?? []
    seen.push({ atS: Number(atS), kind, page, columns })
    people.set(person, seen)
  }
  return people
}

const bucket = (count: number): number => Math.floor(Math.log2(count))

function visitorOf(id: string, events: readonly Seen[], trait: boolean, endS: number): Visitor {
  const days = new Set(events.map(({ atS }) => Math.floor(atS / 86_400))).size
  const pages = new Set(events.map(({ page }) => page)).size
  const lastS = Math.max(...events.map(({ atS }) => atS))
  const firstS = Math.min(...events.map(({ atS }) => atS))
  const columns = [
    ...events.flatMap((event) => event.columns),
    `events:${bucket(events.length)}`,
    `days:${bucket(days)}`,
    `pages:${bucket(pages)}`,
    `last:${bucket(1 + (endS - lastS) / 86_400)}`,
    `first:${bucket(1 + (endS - firstS) / 86_400)}`,
  ]
  return { id, columns, activity: events.length, trait }
}

/** Two traits: has liked or bookmarked something; has read one of the most read pages. Their events are hidden; people with another event remain. */
export function* deskdropTasks(salts: readonly string[], pagesCount = 10): Generator<Task> {
  const people = readDeskdrop()
  const endS = Math.max(...[...people.values()].flatMap((events) => events.map(({ atS }) => atS)))
  const readers = new Map<string, number>()
  for (const events of people.values())
    for (const page of new Set(events.map((event) => event.page))) readers.set(page, (readers.get(page) ?? 0) + 1)
  const popular = [...readers].sort((a, b) => b[1] - a[1]).slice(0, pagesCount)
  const traits: [string, (event: Seen) => boolean, readonly string[]][] = [
    ['liked', ({ kind }) => kind === 'LIKE' || kind === 'BOOKMARK', salts],
    ...popular.map(([id], n): [string, (event: Seen) => boolean, readonly string[]] => [
      `page${n}`,
      ({ page }) => page === id,
      salts.slice(0, 1),
    ]),
  ]
  for (const [name, isTrait, own] of traits) {
    const visitors = [...people].flatMap(([id, events]) => {
      const others = events.filter((event) => !isTrait(event))
      return others.length === 0 ? [] : [visitorOf(id, others, others.length < events.length, endS)]
    })
    for (const salt of own) yield taskOf(`${name}/${salt}`, salt, visitors)
  }
}

/** The same task with a seed of `count` drawn from it, or undefined where it has fewer; the others of it become unlabelled. */
export function smaller(task: Task, count: number, draw: number): Task | undefined {
  const members = [...task.seed.keys()].filter((n) => task.seed[n] === 1)
  if (members.length < count) return undefined
  const order = new Map(members.map((n) => [n, hashOf(`${draw}:${task.name}:${task.ids[n]}`)]))
  const seed = new Uint8Array(task.rows.size)
  for (const n of members.sort((a, b) => (order.get(a) as number) - (order.get(b) as number)).slice(0, count)) seed[n] = 1
  return { ...task, name: `${task.name}/${count}/${draw}`, seed }
}
