// A load of so many requests a second, whatever the server does: each is sent at its own moment and timed from that moment, so that a pause of the server
// counts for every request that it delayed. A process of its own, on plain sockets (Node's http client would take a core for itself); prints one JSON line.
//   node --import tsx steady-load.ts URL RATE SECONDS HEADERS_JSON

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

const [url = '', rate = '3000', seconds = '10', headers = '{}'] = process.argv.slice(2)
const { hostname, port, pathname, search } = new URL(url)
const CONNECTIONS = 64
const perMs = Number(rate) / 1_000
const total = Math.round(Number(rate) * Number(seconds))
const lines = Object.entries(JSON.parse(headers) as Record<string, string>).map(([name, value]) => `${name}: ${value}\r\n`)
const request = `GET ${pathname}${search} HTTP/1.1\r\nHost: ${hostname}:${port}\r\n${lines.join('')}\r\n`

/** One request at a time. */
type Connection = { readonly socket: Socket; dueMs: number; head: string }
const free: Connection[] = []
const waiting: number[] = []
const latencies: number[] = []
let failed = 0
let sent = 0

function ask(connection: Connection, dueMs: number): void {
  connection.dueMs = dueMs
  connection.socket.write(request)
}

function send(dueMs: number): void {
  const connection = free.pop()
  if (connection) ask(connection, dueMs)
  else waiting.push(dueMs)
}

/** Answers are small and come whole: the head, and the image, which ends with `;`. */
function hear(connection: Connection, chunk: Buffer): void {
  connection.head += chunk.toString('latin1')
  if (!connection.head.includes('\r\n\r\n') || !connection.head.endsWith(';')) return
  if (!connection.head.startsWith('HTTP/1.1 200 ')) failed++
  connection.head = ''
  latencies.push(performance.now() - connection.dueMs)
  const next = waiting.shift()
  if (next === undefined) free.push(connection)
  else ask(connection, next)
  if (latencies.length === total) finish()
}

function finish(): void {
  const sorted = Float64Array.from(latencies).sort()
  const at = (share: number) => Number((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).toFixed(2))
  const perSecond = Math.round((total * 1_000) / (performance.now() - start))
  console.log(JSON.stringify({ requests: total, perSecond, failed, p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1) }))
  process.exit(0)
}

for (let n = 0; n < CONNECTIONS; n++) {
  const socket = connect({ host: hostname, port: Number(port), noDelay: true })
  await once(socket, 'connect')
  const connection: Connection = { socket, dueMs: 0, head: '' }
  socket.on('data', (chunk: Buffer) => hear(connection, chunk))
  socket.on('close', () => {
    process.stderr.write('the server closed a connection\n')
    process.exit(1)
  })
  free.push(connection)
}

const start = performance.now()
const sending = setInterval(() => {
  const due = Math.min(total, Math.floor((performance.now() - start) * perMs))
  while (sent < due) send(start + sent++ / perMs)
  if (sent >= total) clearInterval(sending)
}, 1)
