import { randomBytes } from 'node:crypto'
import { isUnusedServer, makePlace, requireSampleSources } from '../demo/place.ts'
import { demoJson, demoTable, demoText } from '../demo/report.ts'
import { runDemo } from '../demo/run.ts'
import { readEnvironment } from '../settings/environment.ts'
import { loadSettings } from '../settings/load.ts'
import { build as buildMembers } from '../wire/build.ts'
import { now } from '../wire/store.ts'
import type { Flags } from './context.ts'
import { type Outcome, table } from './output.ts'
import { startProgress } from './progress.ts'
import { startServing, untilStopped } from './serve.ts'

const say = (line: string): void => {
  if (process.stderr.isTTY) process.stderr.write(`${line}\n`)
}

/** `demo [--once]`: the whole job on sample traffic, in a directory of its own. Exit code 4 where an event got lost or a delivery failed. */
export async function demo(flags: Flags & { readonly once?: boolean }, finish: (outcome: Outcome) => void): Promise<void> {
  const place = makePlace(flags)
  const settings = loadSettings(place.config, process.env)
  requireSampleSources(settings)
  const { clickhouseUrl: server, ...rest } = readEnvironment(process.env, place)
  const hidesServer = server !== undefined && !(await isUnusedServer(server, place.data))
  if (hidesServer) process.stderr.write('madeleine: CLICKHOUSE_URL is in use already; the demo keeps to the embedded engine\n')
  const apiKey = randomBytes(24).toString('base64url')
  const environment = { ...rest, config: place.config, port: 0, apiKey, clickhouseUrl: hidesServer ? undefined : server }
  say('starting the collector')
  const serving = await startServing({ environment, settings })
  const { store, spool } = serving.collector
  const build = (ids: readonly string[]) => buildMembers(environment, settings, { ids, full: false }, () => {})
  const parts = { port: serving.port, apiKey, store, spool, settings, data: place.data, build, now }
  let stopped = false
  try {
    const result = await runDemo(parts, { onStep: say, onSending: (events) => startProgress('sending', events, 'events') })
    if (flags.once) {
      stopped = true
      await serving.stop()
    }
    const report = { result, place, settings, hidesServer, port: flags.once ? undefined : serving.port }
    const { header, rows } = demoTable(report)
    finish({
      json: demoJson(report),
      text: `${table(header, rows)}\n\n${demoText(report)}`,
      failed: result.problems.length > 0,
    })
    if (stopped) return
    stopped = true
    await untilStopped(serving)
  } finally {
    if (!stopped) await serving.stop()
  }
}
