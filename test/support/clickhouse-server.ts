// Stands in for a ClickHouse server: the embedded engine behind its HTTP interface on the given or a free port, printed on the first line.

import { mkdirSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { Session } from 'chdb'
import { createFront } from '../../src/engine/front.ts'

const [directory = '', port = '0'] = process.argv.slice(2)
mkdirSync(directory, { recursive: true })
const server = createFront(Array.from({ length: 4 }, () => new Session(directory)))
server.listen(Number(port), '127.0.0.1', () =>
  process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`),
)
