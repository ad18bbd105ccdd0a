// The collector as one handler of Node's http server: the pixel by itself, everything else through the router.

import type { IncomingMessage, ServerResponse } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import type { Hono } from 'hono'
import { messageOf } from '../core/errors.ts'
import { log } from '../core/log.ts'
import { type CollectorParts, keyCheck } from './answer.ts'
import { type Env, makeRoutes } from './app.ts'
import { isPixel, makePixel } from './pixel.ts'

/** `extend` adds routes of later stages. */
export function makeCollector(
  parts: CollectorParts,
  extend: (app: Hono<Env>) => void = () => {},
): (request: IncomingMessage, response: ServerResponse) => void {
  const hasKey = keyCheck(parts.apiKey)
  const pixel = makePixel(parts, hasKey)
  const app = makeRoutes(parts, hasKey)
  extend(app)
  const routes = getRequestListener(app.fetch)
  return (request, response) => {
    if (!isPixel(request)) return void routes(request, response)
    pixel(request, response).catch((error: unknown) => {
      log.error({ err: messageOf(error), stack: (error as Error).stack }, 'a pixel failed')
      if (!response.headersSent) response.writeHead(500)
      response.end()
    })
  }
}
