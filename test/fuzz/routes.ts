// Every route that the collector answers, from its own router: a route that is new is fuzzed without being named here.

import type { CollectorParts } from '../../src/collect/answer.ts'
import { makeRoutes } from '../../src/collect/app.ts'
import { PIXEL_ROUTE } from '../../src/collect/pixel.ts'
import type { SyncSettings } from '../../src/sync/request.ts'
import { addSyncRoutes } from '../../src/sync/routes.ts'

export type Route = { readonly method: string; readonly path: string }

export function publicRoutes(): Route[] {
  // Nothing is asked of the parts until a request comes.
  const parts = { tag: '', settings: {} } as unknown as CollectorParts
  const app = makeRoutes(parts, () => false)
  addSyncRoutes(app, parts, {} as unknown as SyncSettings)
  const { routes } = app
  const named = new Map(routes.map(({ method, path }) => [`${method} ${path}`, { method, path }]))
  return [{ method: 'GET', path: PIXEL_ROUTE }, ...named.values()]
}
