// A load of so many requests a second, whatever the server does: each is sent at its own moment and timed from that moment, so that a pause of the server
// counts for every request that it delayed. A process of its own; prints one JSON line.
//   node --import tsx steady-load.ts URL RATE SECONDS HEADERS_JSON

import { Agent, get } from 'node:http'

const [url = '', rate = '3000', seconds = '10', headers = '{}'] = process.argv.slice(2)
const perMs = Number(rate) / 1_000
const total = Math.round(Number(rate) * Number(seconds))
const agent = new Agent({ keepAlive: true, maxSockets: 256 })
const options = { agent, headers: JSON.parse(headers) as Record<string, string> }

const latencies: number[] = []
let failed = 0
let sent = 0
const start = performance.now()

function send(dueMs: number): void {
  get(url, options, (response) => {
    if (response.statusCode !== 200) failed++
    response.resume().on('end', () => {
      latencies.push(performance.now() - dueMs)
      finish()
    })
  }).on('error', () => {
    failed++
    latencies.push(performance.now() - dueMs)
    finish()
  })
}

function finish(): void {
  if (latencies.length < total) return
  const sorted = Float64Array.from(latencies).sort()
  const at = (share: number) => Number((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).toFixed(2))
  const perSecond = Math.round((total * 1_000) / (performance.now() - start))
  console.log(JSON.stringify({ requests: total, perSecond, failed, p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1) }))
  agent.destroy()
}

const sending = setInterval(() => {
  const due = Math.min(total, Math.floor((performance.now() - start) * perMs))
  while (sent < due) send(start + sent++ / perMs)
  if (sent >= total) clearInterval(sending)
}, 1)
