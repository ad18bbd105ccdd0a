// config/ read once into one frozen value. Nothing runs on a broken configuration: all errors of all files come together.

import { resolve } from 'node:path'
import type { z } from 'zod'
import type { ConsentPolicy } from '../consent/signals.ts'
import type { AudienceId } from '../core/ids.ts'
import { nearest } from '../core/nearest.ts'
import { type PermissionSet, permissionSet } from '../core/permissions.ts'
import { listsOf } from '../rules/clauses.ts'
import type { Problem } from '../rules/rule.ts'
import type { Classify } from '../taxonomy/classify.ts'
import type { Taxonomy } from '../taxonomy/tree.ts'
import type { ConfigError, Document } from './document.ts'
import { ConfigurationError, readDocument, readFiles, shownPath } from './files.ts'
import { readItems } from './items.ts'
import { type LookalikeSettings, readLookalikes } from './lookalikes.ts'
import { type NodeAudience, nodeAudiences } from './nodes.ts'
import { type Partner, readPartners } from './partners.ts'
import { problemsOf } from './problems.ts'
import { destinationSchema, type SpoolSync, settingsSchema, sourceSchema } from './schema.ts'
import { type EventPlace, readSegments, type SegmentSettings, type Segments } from './segments.ts'
import { readTaxonomies } from './taxonomy.ts'

export type Source = {
  readonly id: string
  readonly hosts: readonly string[] | undefined
  /** Of imported and server events without consent of their own. */
  readonly permissions: PermissionSet
  /** So long without an event is told to the operator. */
  readonly silentAfterMs: number
  /** By which the visitors' signals are read there. */
  readonly consent: ConsentPolicy
}

export type Destination = {
  readonly id: string
  readonly connector: 'file'
  readonly path: string
  readonly format: 'csv' | 'jsonl'
  readonly audiences: readonly { readonly audience: AudienceId; readonly as: string }[]
  /** Smaller audiences are not sent: the larger of the destination's and the privacy setting. */
  readonly minimumSize: number
  /** The receiver in the IAB's vendor list: where visitors named the partners that may receive, it must be among them. */
  readonly vendorId: number | undefined
}

export type Settings = {
  readonly sources: ReadonlyMap<string, Source>
  readonly segments: ReadonlyMap<AudienceId, SegmentSettings>
  /** Nodes of the audience taxonomy that have segments; they are built where a destination receives them, or when they are asked for. */
  readonly nodes: ReadonlyMap<AudienceId, NodeAudience>
  readonly lookalikes: ReadonlyMap<AudienceId, LookalikeSettings>
  /** What is allowed and yet hardly meant. */
  readonly warnings: readonly ConfigError[]
  /** Event names that rules ask for. */
  readonly named: readonly EventPlace[]
  readonly destinations: readonly Destination[]
  readonly partners: ReadonlyMap<string, Partner>
  /** Syncs that one page view may start. */
  readonly syncsPerPage: number
  /** By which signals are read where a request names no source. */
  readonly consent: ConsentPolicy
  readonly retentionMs: number
  /** What building audiences may use in the engine. */
  readonly memoryBytes: number
  /** What a new rule may be expected to take; undefined: anything. */
  readonly budgetSeconds: number | undefined
  /** When acknowledged events reach the disk itself, and how much may wait there. */
  readonly spool: { readonly sync: SpoolSync; readonly maxBytes: number }
  /** Fewer visitors are not told of. */
  readonly minimumReport: number
  /** For the tag, which must know when an id of its own may be made. */
  readonly noSignal: 'allow' | 'deny'
  readonly vendorId: number | undefined
  readonly allowedOrigins: readonly string[]
  /** Origin at which browsers reach the collector; undefined: what they say it is. */
  readonly publicUrl: string | undefined
  readonly trustedProxies: readonly string[]
  /** Events a second; 0 is off. */
  readonly rateLimits: { readonly perAddress: number; readonly perVisitor: number }
  /** Absolute path of the operator's mmdb. */
  readonly geoDatabase: string | undefined
  readonly contentTaxonomy: Taxonomy
  readonly audienceTaxonomy: Taxonomy
  /** Undefined where no rule classifies. */
  readonly classify: Classify | undefined
}

function readGeneral(document: Document | undefined, errors: ConfigError[]): z.output<typeof settingsSchema> {
  const result = settingsSchema.safeParse(document?.value ?? {}, { reportInput: true })
  if (result.success) return result.data
  if (document) errors.push(...problemsOf(result.error).map((problem) => document.locate(problem)))
  return settingsSchema.parse({})
}

type Declared = Omit<Source, 'consent' | 'silentAfterMs'> & { readonly silentAfterMs: number | undefined }

function readSources(document: Document | undefined, errors: ConfigError[]): Map<string, Declared> {
  const sources = new Map<string, Declared>()
  if (!document) return sources
  for (const { value: source } of readItems(document, 'sources', sourceSchema, errors).items) {
    if (source) {
      const { id, hosts, permissions, silent_after: silentAfterMs } = source
      sources.set(id, { id, hosts, permissions: permissionSet(permissions), silentAfterMs })
    }
  }
  return sources
}

function readDestinations(
  documents: readonly Document[],
  { segments, whole }: Segments,
  /** What may be received beside segments. */
  others: readonly AudienceId[],
  minimumExport: number,
  errors: ConfigError[],
): Destination[] {
  const known = new Set([...segments.keys(), ...others])
  const destinations: Destination[] = []
  const ids = new Set<string>()
  for (const document of documents) {
    for (const { path, value: destination } of readItems(document, 'destinations', destinationSchema, errors, ids).items) {
      if (!destination) continue
      const report = (problem: Problem) => errors.push(document.locate(problem))
      const folders = new Set<string>()
      const audiences = destination.audiences.map((entry, n) => {
        const as = entry.as ?? entry.audience
        const at = [...path, 'audiences', n]
        if (whole && !known.has(entry.audience as AudienceId)) {
          const meant = nearest(entry.audience, [...known])
          const hint = meant === undefined ? '' : `; did you mean \`${meant}\`?`
          report({ path: [...at, 'audience'], at: 'value', message: `unknown audience \`${entry.audience}\`${hint}` })
        }
        if (folders.has(as)) report({ path: at, at: 'value', message: `two audiences are sent as \`${as}\`` })
        folders.add(as)
        return { audience: entry.audience as AudienceId, as }
      })
      const { id, connector, settings, minimum_size = 1 } = destination
      const minimumSize = Math.max(minimum_size, minimumExport)
      destinations.push({
        id,
        connector,
        vendorId: destination.vendor_id,
        path: settings.path,
        format: settings.format,
        audiences,
        minimumSize,
      })
    }
  }
  return destinations
}

/** A name nobody declared would silently judge nobody by the publisher's segment. */
function unknownPublisherSources(
  document: Document | undefined,
  ids: readonly string[],
  sources: ReadonlyMap<string, Declared>,
): ConfigError[] {
  return ids.flatMap((id, n) =>
    document && !sources.has(id)
      ? [document.locate({ path: ['tcf', 'publisher_mode', n], at: 'value', message: `unknown source \`${id}\`` })]
      : [],
  )
}

/** Throws ConfigurationError with every error of every file. `draft`: a file of segments that need not lie in the directory; they take the place of those of the same ids. */
export function loadSettings(
  directory: string,
  environment: Readonly<Record<string, string | undefined>>,
  draft?: string,
): Settings {
  const { documents, tables, errors } = readFiles(directory, environment)
  const inFolder = (folder: string) =>
    [...documents].flatMap(([name, document]) => (name.startsWith(`${folder}/`) ? [document] : []))
  const general = readGeneral(documents.get('settings.yaml'), errors)
  const before = errors.length
  const sources = readSources(documents.get('sources.yaml'), errors)
  const allDeclared = errors.length === before && documents.get('sources.yaml')?.readable !== false
  const taxonomies = readTaxonomies(
    { documents: inFolder('taxonomy'), tables, general: documents.get('settings.yaml') },
    { allowSensitive: general.taxonomy.allow_sensitive, sources: allDeclared ? sources : undefined },
    errors,
  )
  const drafted =
    draft === undefined
      ? undefined
      : ([...documents.values()].find(({ file }) => file === shownPath(draft)) ?? readDocument(draft, environment, errors))
  const written = inFolder('segments').filter((document) => document !== drafted)
  const segments = readSegments(written, { retentionMs: general.retention }, taxonomies, errors, drafted)
  const nodes = nodeAudiences(segments.segments, taxonomies.audience)
  const lookalikes = readLookalikes(inFolder('lookalikes'), { ...segments, nodes }, errors)
  const ruled = [...segments.segments.values(), ...[...lookalikes.values()].map(({ seed }) => seed)]
  const lists = ruled.flatMap(({ rule }) => listsOf(rule))
  const others = [...nodes.keys(), ...lookalikes.keys(), ...lists]
  const destinations = readDestinations(inFolder('destinations'), segments, others, general.privacy.minimum_export, errors)
  const partners = readPartners(documents.get('partners.yaml'), errors)
  errors.push(...unknownPublisherSources(documents.get('settings.yaml'), general.tcf.publisher_mode, sources))
  if (errors.length > 0)
    throw new ConfigurationError(errors.sort((a, b) => a.file.localeCompare(b.file) || a.line - b.line || a.column - b.column))
  const policy = {
    vendorId: general.tcf.vendor_id,
    purposeOneCountries: new Set(general.tcf.purpose_one_countries),
    receivers: [...new Set(destinations.flatMap(({ vendorId }) => vendorId ?? []))],
    noSignal: general.consent.no_signal,
  }
  const publisherMode = new Set(general.tcf.publisher_mode)
  const judged = [...sources].map(([id, source]): [string, Source] => {
    const silentAfterMs = source.silentAfterMs ?? general.collector.silent_after
    return [id, { ...source, silentAfterMs, consent: { ...policy, publisherMode: publisherMode.has(id) } }]
  })
  return Object.freeze({
    sources: new Map(judged),
    segments: segments.segments,
    nodes,
    lookalikes,
    warnings: segments.warnings,
    named: segments.named,
    destinations,
    partners,
    syncsPerPage: general.sync.per_page,
    consent: { ...policy, publisherMode: false },
    retentionMs: general.retention,
    memoryBytes: general.segmenter.memory,
    budgetSeconds: general.segmenter.budget_seconds,
    spool: { sync: general.spool.sync, maxBytes: general.spool.max_size },
    minimumReport: general.privacy.minimum_report,
    noSignal: general.consent.no_signal,
    vendorId: general.tcf.vendor_id,
    allowedOrigins: general.collector.allowed_origins,
    publicUrl: general.collector.public_url,
    trustedProxies: general.collector.trusted_proxies,
    rateLimits: {
      perAddress: general.collector.rate_limit.per_address,
      perVisitor: general.collector.rate_limit.per_visitor,
    },
    geoDatabase: general.geo && resolve(directory, general.geo.database),
    contentTaxonomy: taxonomies.content,
    audienceTaxonomy: taxonomies.audience,
    classify: taxonomies.classify,
  })
}
