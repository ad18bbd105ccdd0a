// JSON Schemas of the configuration files, for editors: completion and red lines while typing. What only the whole configuration can tell (unknown segments,
// cycles, retention, sensitive nodes) `check` says.

import { z } from 'zod'
import { type JsonSchema, RULE_DEFINITIONS } from '../rules/json-schema.ts'
import { partnerSchema } from './partners.ts'
import {
  classifySchema,
  destinationSchema,
  lookalikeSchema,
  nodeSchema,
  segmentSchema,
  settingsSchema,
  sourceSchema,
} from './schema.ts'

const DRAFT = 'https://json-schema.org/draft/2020-12/schema'

function schemaOf(schema: z.ZodType): JsonSchema {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' })
  return rest
}

const listOf = (items: JsonSchema): JsonSchema => ({ type: 'array', items })
const fileOf = (title: string, properties: JsonSchema, more: JsonSchema = {}): JsonSchema => ({
  $schema: DRAFT,
  title: `Madeleine: ${title}`,
  type: ['object', 'null'], // an empty file says nothing
  properties,
  additionalProperties: false,
  ...more,
})

function segment(): JsonSchema {
  const schema = schemaOf(segmentSchema) as { properties: JsonSchema; required: readonly string[] }
  return {
    ...schema,
    properties: { ...schema.properties, when: { $ref: '#/$defs/rule' } },
    required: [...schema.required, 'when'],
  }
}

/** By the name of the file to write. */
export function jsonSchemas(): Readonly<Record<string, JsonSchema>> {
  const settings = schemaOf(settingsSchema)
  return {
    'sources.json': fileOf('config/sources.yaml', { sources: listOf(schemaOf(sourceSchema)) }),
    'segments.json': fileOf('config/segments/*.yaml', { segments: listOf(segment()) }, { $defs: RULE_DEFINITIONS }),
    'lookalikes.json': fileOf('config/lookalikes/*.yaml', { lookalikes: listOf(schemaOf(lookalikeSchema)) }),
    'destinations.json': fileOf('config/destinations/*.yaml', { destinations: listOf(schemaOf(destinationSchema)) }),
    'partners.json': fileOf('config/partners.yaml', { partners: listOf(schemaOf(partnerSchema)) }),
    'taxonomy.json': fileOf('config/taxonomy/*.yaml', {
      content: listOf(schemaOf(nodeSchema)),
      audience: listOf(schemaOf(nodeSchema)),
      classify: listOf(schemaOf(classifySchema)),
    }),
    'settings.json': { $schema: DRAFT, title: 'Madeleine: config/settings.yaml', ...settings, type: ['object', 'null'] },
  }
}
