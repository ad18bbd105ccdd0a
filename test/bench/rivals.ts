// The two servers beside which the collector is measured. Both answer an image on /p.gif and keep nothing they would have to answer for.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

export type Rival = { readonly origin: string; readonly pid: number; stop(): Promise<void> }

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return typeof address === 'object' && address !== null ? address.port : 0
}

async function untilAnswering(child: ChildProcess, port: number): Promise<Rival> {
  const origin = `http://127.0.0.1:${port}`
  const exited = once(child, 'exit')
  for (let tries = 0; ; tries++) {
    const answers = await fetch(`${origin}/p.gif`).then(
      (response) => response.ok,
      () => false,
    )
    if (answers) break
    if (child.exitCode !== null || tries > 100) throw new Error(`${child.spawnfile} does not answer on port ${port}`)
    await delay(50)
  }
  return {
    origin,
    pid: child.pid ?? 0,
    async stop() {
      child.kill()
      await exited
    },
  }
}

/** What a web server alone can do of a pixel: a visitor cookie, an image, a line in a log that is written in blocks. */
export async function startNginx(directory: string): Promise<Rival> {
  const port = await freePort()
  mkdirSync(directory)
  const configuration = `
    worker_processes 1; daemon off; pid nginx.pid; error_log error.log;
    events { worker_connections 4096; }
    http {
      access_log access.log combined buffer=64k;
      userid on; userid_name mid; userid_expires 90d;
      keepalive_requests 100000000;
      server { listen 127.0.0.1:${port} backlog=1024; location = /p.gif { empty_gif; } }
    }`
  const file = join(directory, 'nginx.conf')
  writeFileSync(file, configuration)
  return untilAnswering(spawn('nginx', ['-p', directory, '-e', 'error.log', '-c', file], { stdio: 'inherit' }), port)
}

const BARE = `
  const gif = Buffer.from('R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7', 'base64')
  const headers = { 'content-type': 'image/gif', 'content-length': gif.length }
  require('node:http').createServer((_, response) => response.writeHead(200, headers).end(gif)).listen(+process.argv[1], '127.0.0.1')`

/** The floor under every server that is written for Node. */
export async function startBareNode(): Promise<Rival> {
  const port = await freePort()
  return untilAnswering(spawn(process.execPath, ['-e', BARE, String(port)], { stdio: 'inherit' }), port)
}
