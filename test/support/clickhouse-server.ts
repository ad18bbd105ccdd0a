// Stands in for a ClickHouse server: the embedded engine behind its HTTP interface on the given or a free port, printed on the first line.

import { mkdirSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { Session } from 'chdb'
import { createFront, QUERY_MAX_BYTES } from '../../src/engine/front.ts'

const [directory = '', port = '0'] = process.argv.slice(2)
mkdirSync(directory, { recursive: true })
function open(): Session {
  const session = new Session(directory)
  session.query(`SET max_query_size = ${QUERY_MAX_BYTES}`) // a server takes it from the request
  return session
}
const server = createFront(Array.from({ length: 4 }, open))
server.listen(Number(port), '127.0.0.1', () =>
  process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`),
)
