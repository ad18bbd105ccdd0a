import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { MadeleineError, messageOf, systemCode } from '../core/errors.ts'
import { type Collector, openCollector } from '../wire/collector.ts'
import { type Context, type Flags, readContext } from './context.ts'

/** A stop has 10 seconds (contract 5): so long to ship while requests are still answered, so long in all, and the rest to close. */
const DRAIN_WITHIN_MS = 5_000
const SHIP_WITHIN_MS = 8_000
const EXIT_WITHIN_MS = 9_500

export type Serving = { readonly port: number; readonly collector: Collector; stop(): Promise<void> }

/** Listens on all interfaces; port 0 takes a free one. */
export async function startServing({ environment, settings }: Context): Promise<Serving> {
  const collector = await openCollector(environment, settings)
  const server = createServer(collector.handle)
  server.keepAliveTimeout = 65_000 // longer than the usual load balancer's 60 s, so that it is the one to close
  try {
    server.listen(environment.port)
    await once(server, 'listening')
  } catch (error) {
    await collector.close(0)
    if (systemCode(error) === 'EACCES')
      throw new MadeleineError('usage', `port ${environment.port} needs rights this user has not`, { hint: 'set PORT' })
    throw systemCode(error) === 'EADDRINUSE'
      ? new MadeleineError('usage', `port ${environment.port} is in use`, { hint: 'set PORT' })
      : error
  }
  return {
    port: (server.address() as AddressInfo).port,
    collector,
    async stop() {
      const startedMs = performance.now()
      collector.stopping()
      // Whoever sends requests here needs a moment to see that it should not: what comes in meanwhile is taken, and shipped with the rest at the end.
      const shipped = collector.spool.ship().catch(() => {})
      await Promise.race([shipped, delay(DRAIN_WITHIN_MS, undefined, { ref: false })])
      const closed = once(server, 'close')
      server.close()
      const idle = setInterval(() => server.closeIdleConnections(), 20)
      // Requests under way are answered; connections that only wait are not waited for.
      const patience = setTimeout(() => server.closeAllConnections(), 1_000)
      await closed
      clearTimeout(patience)
      clearInterval(idle)
      await collector.close(SHIP_WITHIN_MS - (performance.now() - startedMs))
    },
  }
}

/** Stops once, on the first signal; ends the process in any case within 10 seconds. */
export async function untilStopped(serving: Serving): Promise<void> {
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve())
  })
  setTimeout(() => process.exit(0), EXIT_WITHIN_MS).unref()
  await serving.stop()
}

/** `serve`: the collector, until SIGTERM or SIGINT. */
export async function serve(flags: Flags): Promise<void> {
  const serving = await startServing(readContext(flags))
  process.stderr.write(`madeleine: collecting on http://localhost:${serving.port}\n`)
  try {
    await untilStopped(serving)
  } catch (error) {
    process.stderr.write(`madeleine: ${messageOf(error)}\n`)
    process.exitCode = 1
  }
}
