// What a demo says at its end: what came of it, where that lies, and what to try on it.

import { dirname, join } from 'node:path'
import type { Settings } from '../settings/load.ts'
import type { Place } from './place.ts'
import type { DemoResult } from './run.ts'

export type DemoReport = {
  readonly result: DemoResult
  readonly place: Place
  readonly settings: Pick<Settings, 'segments' | 'lookalikes'>
  /** Where the collector listens; undefined where it has stopped. */
  readonly port: number | undefined
  /** CLICKHOUSE_URL is set, but the events are in the embedded engine: commands must not follow it. */
  readonly hidesServer: boolean
}

export const demoJson = ({ result, place }: DemoReport): unknown => ({
  events_sent: result.eventsSent,
  events_stored: result.eventsStored,
  audiences: result.audiences.map(({ id, size }) => ({ id, size })),
  exports: result.destinations.map(({ id, added }) => ({ id, added })),
  visitors_sent: result.visitorsSent,
  visitors_stored: result.visitorsStored,
  bots_sent: result.botsSent,
  bots_refused: result.botsRefused,
  bots_with_cookie: result.botsWithCookie,
  ...place,
  problems: result.problems,
})

/** A row an audience: id, name, members, and how many of them went to each destination. */
export function demoTable({ result, settings }: DemoReport): { header: string[]; rows: (string | number)[][] } {
  const { audiences, destinations } = result
  return {
    header: ['audience', 'name', 'size', ...destinations.map(({ id }) => `to ${id}`)],
    rows: audiences.map(({ id, size }) => [
      id,
      (settings.segments.get(id) ?? settings.lookalikes.get(id))?.name ?? id,
      size,
      ...destinations.map((destination) => destination.audiences.find(({ audience }) => audience === id)?.added ?? ''),
    ]),
  }
}

const quoted = (text: string): string => (/^[\w./@:+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`)
const SAMPLE_AGENT = 'Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0'

function nextCommands({ place, port, hidesServer, result, settings }: DemoReport): string[] {
  const on = `--config ${quoted(place.config)} --data ${quoted(place.data)}`
  const madeleine = `${hidesServer ? 'CLICKHOUSE_URL= ' : ''}npx madeleine`
  const id = result.audiences[0]?.id
  const members = id === undefined ? [] : ['# who is in an audience', `${madeleine} members ${id} ${on}`]
  const [lookalike] = settings.lookalikes.keys()
  const report =
    lookalike === undefined
      ? []
      : ['# how well a lookalike finds those whom it has not seen', `${madeleine} report lookalike ${lookalike} ${on}`]
  const hit =
    port === undefined
      ? ['# collect more', `${madeleine} serve ${on}`]
      : [
          "# be a visitor yourself: mind the cookie, and try it without -A (curl's own agent is a robot)",
          `curl -sD - -o /dev/null -A '${SAMPLE_AGENT}' 'http://localhost:${port}/p.gif?source=autos&url=https://autos.example/electric/charging-at-home&category=22'`,
        ]
  return [
    ...members,
    ...report,
    '# change a rule, run the tests that stand beside it, build again',
    `\${EDITOR:-vi} ${quoted(join(place.config, 'segments'))}`,
    `${madeleine} test --config ${quoted(place.config)}`,
    `${madeleine} build ${on}`,
    '# send only what changed since',
    `${madeleine} export ${on}`,
    ...hit,
  ]
}

/** The lines below the table. */
export function demoText(report: DemoReport): string {
  const { result, place, port } = report
  const n = (value: number): string => value.toLocaleString('en-US')
  const folders = result.destinations.flatMap(({ audiences }) =>
    audiences.flatMap(({ file }) => (file === undefined ? [] : [file])),
  )
  const exports = [...new Set(folders.map((file) => dirname(dirname(file))))]
  return [
    `${n(result.eventsSent)} events sent by ${n(result.visitorsSent)} visitors, ${n(result.eventsStored)} stored; ${n(result.botsRefused)} of ${n(result.botsSent)} from bots refused`,
    ...result.problems.map((problem) => `FAILED: ${problem}`),
    '',
    `configuration  ${place.config}`,
    `data           ${place.data}`,
    ...exports.map((folder) => `exported       ${folder}`),
    ...(port === undefined ? [] : [`collector      http://localhost:${port} until Ctrl-C`]),
    '',
    port === undefined ? 'Try next:' : 'Try next, in a second terminal:',
    ...nextCommands(report).map((line) => `  ${line}`),
  ].join('\n')
}
