// Rate limits over HTTP: what is over the limit is dropped and counted, one by one, and the answer stays what it was.
// Numbers are exact although the clock is real: a limit of one a second over many events lets at most one more through a second.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { OPEN_CONFIG, type Project, scratchProject } from '../support/scratch.ts'
import { API_KEY, hitPixel, metric, postEvents, type Serving, startServe } from '../support/serve.ts'

const ACCEPTED = 'madeleine_events_accepted_total{source="site"}'
const LIMITED = 'madeleine_events_dropped_total{reason="rate_limited",field=""}'
const PAGE = 'https://a.example/page'

async function counted(server: Serving, work: () => Promise<void>) {
  const before = [await metric(server, ACCEPTED), await metric(server, LIMITED)]
  const startedMs = performance.now()
  await work()
  const seconds = Math.ceil((performance.now() - startedMs) / 1_000)
  const [accepted = 0, limited = 0] = [await metric(server, ACCEPTED), await metric(server, LIMITED)]
  return { accepted: accepted - (before[0] ?? 0), limited: limited - (before[1] ?? 0), seconds }
}

describe('With limits of 20 events a second for a network and 5 for a visitor', () => {
  let project: Project
  let server: Serving
  beforeAll(async () => {
    project = scratchProject({
      ...OPEN_CONFIG,
      'config/settings.yaml': `consent: { no_signal: allow }
collector: { trusted_proxies: [127.0.0.0/8, "::1"], rate_limit: { per_address: 20, per_visitor: 5 } }
`,
    })
    server = await startServe(project)
  })
  afterAll(async () => {
    await server?.stop()
    project?.remove()
  })
  const from = (address: string) => ({ 'x-forwarded-for': address })

  it('events of one body are counted one by one: the first five are kept, all are answered 204, accepted and dropped are what was sent', async () => {
    const events = Array.from({ length: 40 }, () => ({ url: PAGE }))
    const { accepted, limited } = await counted(server, async () => {
      expect((await postEvents(server, { source: 'site', events }, { headers: from('81.2.69.1') })).status).toBe(204)
    })
    expect({ accepted, limited }).toEqual({ accepted: 5, limited: 35 })
  })

  it('two addresses of one /24 share what their network may send, another /24 has its own', async () => {
    const burst = (address: string) => async () => {
      // Each hit is a visitor of its own: only the network is limited.
      for (const hit of await Promise.all(
        Array.from({ length: 60 }, () => hitPixel(server, { source: 'site', url: PAGE }, from(address))),
      ))
        expect(hit.status).toBe(200)
    }
    const both = await counted(server, async () => {
      await burst('89.160.20.1')()
      await burst('89.160.20.254')()
    })
    expect(both.accepted + both.limited).toBe(120)
    expect(both.accepted).toBeGreaterThanOrEqual(20)
    expect(both.accepted).toBeLessThanOrEqual(20 + 20 * both.seconds)
    const other = await counted(server, burst('89.160.21.1'))
    expect(other.accepted + other.limited).toBe(60)
    expect(other.accepted).toBeGreaterThanOrEqual(20)
  })

  it('a request that carries the key passes, whatever it sends', async () => {
    const events = Array.from({ length: 100 }, () => ({ url: PAGE }))
    const headers = { ...from('2.2.2.2'), authorization: `Bearer ${API_KEY}` }
    const { accepted, limited } = await counted(server, async () => {
      for (let n = 0; n < 3; n++) expect((await postEvents(server, { source: 'site', events }, { headers })).status).toBe(204)
    })
    expect({ accepted, limited }).toEqual({ accepted: 300, limited: 0 })
  })

  it('an address behind a stranger that calls itself a proxy is the stranger’s', async () => {
    // Trusted here is only loopback, which we come from: the last address that is not ours counts, the ones before it were written by whoever sent them.
    const send = (forwarded: string) =>
      counted(server, async () => {
        await Promise.all(
          Array.from({ length: 60 }, (_, n) => hitPixel(server, { source: 'site', url: PAGE }, from(`${n}.9.9.9, ${forwarded}`))),
        )
      })
    const { accepted, limited, seconds } = await send('3.3.3.3')
    expect(accepted + limited).toBe(60)
    expect(accepted).toBeLessThanOrEqual(20 + 20 * seconds)
  })
})

it('Without limits nothing is dropped: 500 events of one visitor', async () => {
  const project = scratchProject(OPEN_CONFIG)
  const server = await startServe(project)
  try {
    const events = Array.from({ length: 100 }, () => ({ url: PAGE }))
    const { accepted, limited } = await counted(server, async () => {
      for (let n = 0; n < 5; n++) expect((await postEvents(server, { source: 'site', events })).status).toBe(204)
    })
    expect({ accepted, limited }).toEqual({ accepted: 500, limited: 0 })
  } finally {
    await server.stop()
    project.remove()
  }
})
