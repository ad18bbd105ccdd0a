// A small run of `npm run fuzz`, of one seed.

import { expect, it } from 'vitest'
import { fuzz, problemsOf } from './fuzz.ts'
import { publicRoutes } from './routes.ts'

it('4,000 mutated requests on every route: all answered, none a crash, every event accounted for and what was accepted stored', async () => {
  const figures = await fuzz({ requests: 4_000, seed: 1 })
  const { requestsPerSecond, sent, accepted, stored, uncertain, slowestMs, rssMiB } = figures
  process.stderr.write(`fuzz: ${JSON.stringify({ requestsPerSecond, sent, accepted, stored, uncertain, slowestMs, rssMiB })}\n`)
  expect(problemsOf(figures)).toEqual([])
  // It is no fuzzing where nothing gets through, or everything does.
  expect(accepted).toBeGreaterThan(500)
  for (const reason of [
    'invalid_field',
    'unknown_source',
    'host_not_allowed',
    'bot',
    'duplicate_order',
    'link_invalid',
    'body_too_large',
  ])
    expect(
      Object.keys(figures.dropped).filter((label) => label.startsWith(reason)),
      reason,
    ).not.toEqual([])
  for (const status of ['200', '204', '302', '400', '401', '404', '413', '431'])
    expect(figures.statuses[status], status).toBeGreaterThan(0)
}, 180_000)

it('knows every route from the router itself', () => {
  const routes = publicRoutes().map(({ method, path }) => `${method} ${path}`)
  for (const route of ['GET /p.gif', 'POST /e', 'POST /v1/events', 'GET /click', 'GET /metrics', 'GET /readyz', 'POST /optout'])
    expect(routes).toContain(route)
})
