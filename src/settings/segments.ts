// Segment files: ids, rules, and the tests that stand beside them.

import type { z } from 'zod'
import { type AudienceId, parseVisitorId, type VisitorId } from '../core/ids.ts'
import { ALL_PERMISSIONS } from '../core/permissions.ts'
import { parseMoment } from '../core/time.ts'
import type { Event } from '../event/event.ts'
import { parseFields } from '../event/fields.ts'
import { Checker, isMapping } from '../rules/checker.ts'
import { parseRule, type RuleLimits } from '../rules/parse.ts'
import { resolveSegment, type Segment } from '../rules/resolve.ts'
import type { Problem, ProblemPath, ResolvedRule } from '../rules/rule.ts'
import { suggestion } from '../taxonomy/nearest.ts'
import type { ConfigError, Document } from './document.ts'
import { readItems } from './items.ts'
import { segmentSchema } from './schema.ts'
import { sensitiveIn } from './sensitive.ts'
import type { Taxonomies } from './taxonomy.ts'

export type SegmentTest = {
  readonly name: string
  /** Imported lists that hold the visitor. */
  readonly lists: readonly string[]
  readonly history: readonly Event[]
  readonly expect: readonly { readonly atMs: number; readonly is: 'in' | 'out' }[]
}

export type SegmentSettings = {
  readonly id: AudienceId
  readonly name: string
  /** A node of the audience taxonomy. */
  readonly taxonomy: string | undefined
  readonly file: string
  readonly rule: ResolvedRule
  readonly tests: readonly SegmentTest[]
}

const REPEAT_MAX = 10_000
const TEST_VISITOR = parseVisitorId('11111111-1111-4111-8111-111111111111') as VisitorId

type RawTest = z.output<typeof segmentSchema>['tests'][number]
type RawEvent = RawTest['events'][number]

function testEvents(check: Checker, raw: RawEvent, path: ProblemPath): Event[] {
  const { ts, repeat = 1, ...given } = raw
  const moment = parseMoment(ts)
  if (moment === undefined) check.value([...path, 'ts'], '`ts` is a moment with a zone, such as 2026-11-20T10:00:00Z')
  if (typeof repeat !== 'number' || !Number.isInteger(repeat) || repeat < 1 || repeat > REPEAT_MAX) {
    check.value([...path, 'repeat'], `\`repeat\` is a whole number from 1 to ${REPEAT_MAX}`)
    return []
  }
  const parsed = parseFields(given, { form: 'json', derived: false })
  if (!parsed.ok) {
    check.value([...path, parsed.problem.field], `\`${parsed.problem.field}\` ${parsed.problem.message}`)
    return []
  }
  for (const field of parsed.ignored)
    check.key(
      [...path, field],
      field === 'host' || field === 'path' ? `\`${field}\` comes from \`url\`` : `unknown field \`${field}\``,
    )
  const source = given['source'] ?? ''
  if (typeof source !== 'string') check.value([...path, 'source'], '`source` is text')
  if (moment === undefined) return []
  const event: Event = {
    ...parsed.fields,
    ts: moment,
    visitor: TEST_VISITOR,
    source: String(source),
    scope: 'global',
    receivers: [],
    permissions: ALL_PERMISSIONS,
  }
  return Array.from({ length: repeat }, () => event)
}

function segmentTest(check: Checker, raw: RawTest, path: ProblemPath): SegmentTest {
  const at = (value: string | undefined, where: ProblemPath): number => {
    const moment = parseMoment(value)
    if (moment === undefined) check.value(where, '`at` is a moment with a zone, such as 2026-11-21T12:00:00Z')
    return moment ?? 0
  }
  const expect =
    typeof raw.expect === 'string'
      ? [{ atMs: at(raw.at, [...path, 'at']), is: raw.expect }]
      : raw.expect.map((item, i) => ({ atMs: at(item.at, [...path, 'expect', i, 'at']), is: item.is }))
  return {
    name: raw.name,
    lists: raw.lists,
    history: raw.events.flatMap((event, i) => testEvents(check, event, [...path, 'events', i])),
    expect,
  }
}

/** A segment's place among the audiences of the taxonomy. */
function checkNode(check: Checker, id: string, path: ProblemPath, { audience, refusesAudience, whole }: Taxonomies): void {
  if (!audience.nodes.has(id)) {
    if (whole) check.value(path, `the audience taxonomy has no \`${id}\`${suggestion(audience, id)}`)
    return
  }
  const refusal = refusesAudience(id)
  if (refusal !== undefined) check.value(path, refusal)
}

type Draft = Segment & Omit<SegmentSettings, 'rule' | 'file'> & { readonly document: Document }
type Drafts = {
  readonly byId: Map<AudienceId, Draft>
  readonly ids: Set<string>
  readonly warnings: ConfigError[]
  readonly named: EventPlace[]
}

/** False where a segment of the file could not be read. */
function readFile(
  document: Document,
  limits: RuleLimits,
  taxonomies: Taxonomies,
  errors: ConfigError[],
  drafts: Drafts,
): boolean {
  const { items, readable } = readItems(document, 'segments', segmentSchema, errors, drafts.ids)
  let whole = readable
  for (const { path, raw, value } of items) {
    const check = new Checker()
    const when = isMapping(raw) ? raw['when'] : undefined
    if (isMapping(raw) && when === undefined) check.value(path, '`when` is missing')
    const rule = when === undefined ? undefined : parseRule(check, when, [...path, 'when'], limits)
    check.problems.push(...sensitiveIn(when, [...path, 'when'], taxonomies.refusesContent))
    if (value?.taxonomy !== undefined) checkNode(check, value.taxonomy, [...path, 'taxonomy'], taxonomies)
    const tests = value?.tests.map((test, n) => segmentTest(check, test, [...path, 'tests', n])) ?? []
    errors.push(...check.problems.map((problem) => document.locate(problem)))
    drafts.named.push(
      ...check.named.map(({ path: at, name }) => ({ name, ...document.locate({ path: at, at: 'value', message: '' }) })),
    )
    drafts.warnings.push(...check.warnings.map((problem) => document.locate(problem)))
    const id = value?.id as AudienceId | undefined
    if (value && rule && id) drafts.byId.set(id, { id, rule, name: value.name ?? id, taxonomy: value.taxonomy, document, tests })
    else whole = false
  }
  return whole
}

/** An event name that a rule asks for, and where. */
export type EventPlace = { readonly name: string; readonly file: string; readonly line: number; readonly column: number }

export type Segments = {
  readonly segments: Map<AudienceId, SegmentSettings>
  /** False: some segment could not be read, so a name that nobody defines may be its. */
  readonly whole: boolean
  /** What is allowed and yet hardly meant. */
  readonly warnings: readonly ConfigError[]
  readonly named: readonly EventPlace[]
}

export function readSegments(
  documents: readonly Document[],
  limits: RuleLimits,
  taxonomies: Taxonomies,
  errors: ConfigError[],
  /** Its segments take the place of those of the same ids. */
  draft?: Document,
): Segments {
  const drafts: Drafts = { byId: new Map(), ids: new Set(), warnings: [], named: [] }
  const read = (document: Document) => readFile(document, limits, taxonomies, errors, drafts)
  let whole = documents.map(read).every(Boolean)
  if (draft) {
    drafts.ids.clear()
    whole = read(draft) && whole
  }
  const segments = new Map<AudienceId, SegmentSettings>()
  for (const draft of drafts.byId.values()) {
    const problems: Problem[] = []
    const rule = resolveSegment(draft, drafts.byId, taxonomies.content.descendants, problems)
    if (whole) errors.push(...problems.map((problem) => draft.document.locate(problem)))
    if (rule) {
      const { id, name, taxonomy, document, tests } = draft
      segments.set(id, { id, name, taxonomy, file: document.file, rule, tests })
    }
  }
  return { segments, whole, warnings: drafts.warnings, named: drafts.named }
}
