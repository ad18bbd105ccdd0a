// One owner a directory, whatever a killed one left behind and however many want it at once.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { askOwner, claimDirectory } from '../../src/spool/claim.ts'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'claim-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

/** A process that claims the directory, says whether it got it, and holds it until it is killed. */
const CLAIMANT = `
import { claimDirectory } from './src/spool/claim.ts'
claimDirectory(process.argv[2], 'command', async () => '').then(() => console.log('owner'), (error) => console.log(error.code))
setInterval(() => {}, 1000)
`
async function claimant() {
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', CLAIMANT, 'x', directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [answer] = (await once(child.stdout, 'data')) as [Buffer]
  return {
    answer: answer.toString().trim(),
    async kill() {
      child.kill('SIGKILL')
      await once(child, 'exit')
    },
  }
}

describe('the claim on a data directory', () => {
  it('is given to one of many that want it at once, also where a killed owner left its socket', async () => {
    const dead = await claimant()
    expect(dead.answer).toBe('owner')
    await dead.kill()
    expect(existsSync(join(directory, 'madeleine.sock'))).toBe(true)
    const many = await Promise.all(Array.from({ length: 5 }, claimant))
    try {
      expect(many.map(({ answer }) => answer).sort()).toEqual(['locked', 'locked', 'locked', 'locked', 'owner'])
      expect(await askOwner(directory)).toMatchObject({ body: 'command' })
    } finally {
      await Promise.all(many.map(({ kill }) => kill()))
    }
  })

  it('is given although a killed one left the lock of its take-over, and the clock was set back since', async () => {
    const dead = await claimant()
    await dead.kill()
    mkdirSync(join(directory, 'madeleine.sock.takeover'))
    const inDays = Date.now() / 1_000 + 5 * 86_400
    utimesSync(join(directory, 'madeleine.sock.takeover'), inDays, inDays)
    const claim = await claimDirectory(directory, 'serve', async () => '')
    expect(await askOwner(directory)).toMatchObject({ body: 'serve' })
    await claim.release()
    expect(readdirSync(directory)).toEqual([])
  })

  it('within one process goes to one of many, over and over', async () => {
    for (let round = 0; round < 20; round++) {
      const wanted = await Promise.allSettled(Array.from({ length: 4 }, () => claimDirectory(directory, 'serve', async () => '')))
      const owners = wanted.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
      expect(owners).toHaveLength(1)
      await owners[0]?.release()
    }
    expect(readdirSync(directory)).toEqual([])
  })

  it.each(['before', 'within'])('whose owner ends %s its answer has none', async (when) => {
    const server = createServer((socket) => {
      if (when === 'within') socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nser')
      socket.end()
    })
    server.listen(join(directory, 'madeleine.sock'))
    await once(server, 'listening')
    expect(await askOwner(directory)).toBeUndefined()
    server.close()
  })

  it('released late does not take the next owner away', async () => {
    const first = await claimDirectory(directory, 'serve', async () => '')
    rmSync(join(directory, 'madeleine.sock'))
    const second = await claimDirectory(directory, 'serve', async () => '')
    await first.release()
    expect(await askOwner(directory)).toMatchObject({ body: 'serve' })
    await second.release()
  })

  it.skipIf(process.platform !== 'linux')(
    'works on a path that is too long for a socket (Linux only: through the directory itself)',
    async () => {
      const long = join(directory, 'd'.repeat(120))
      mkdirSync(long)
      const claim = await claimDirectory(long, 'serve', async () => '')
      await expect(claimDirectory(long, 'serve', async () => '')).rejects.toMatchObject({ code: 'locked' })
      expect(readdirSync(long)).toEqual(['madeleine.sock'])
      await claim.release()
    },
  )
})
