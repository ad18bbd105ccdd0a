// kill -9 of the collector and of the engine at random moments under load: every acknowledged event is stored exactly once.
// Each request is a visitor of its own (no cookie is sent back), so an event that is lost is a visitor missing, one that is doubled a visitor with two.

import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { runCommand } from '../support/cli.ts'
import { CLIENTS, countStored, enginePid, makeRandom, report, startLoad, until } from '../support/load.ts'
import { OPEN_CONFIG, type Project, scratchProject } from '../support/scratch.ts'
import { type Serving, startServe } from '../support/serve.ts'

const SEED = Number(process.env['SEED'] ?? 7)
describe.skipIf(process.platform !== 'linux')('kill -9 under load (finds processes in /proc: Linux only)', () => {
  let project: Project
  beforeEach(() => {
    project = scratchProject(OPEN_CONFIG)
  })
  afterEach(() => project.remove())

  it('20 kills of serve lose no acknowledged event and double none, and leave no engine behind', async () => {
    const random = makeRandom(SEED)
    const acknowledged = new Set<string>()
    let sent = 0
    for (let kill = 0; kill < 20; kill++) {
      const serving = await startServe(project)
      const load = startLoad(() => serving.port, acknowledged)
      await delay(50 + random() * 1_200)
      await serving.stop('SIGKILL')
      sent += await load.stop()
      await until(() => enginePid(project.data) === undefined)
    }
    report(`20 kills of serve (seed ${SEED})`, sent, acknowledged, await countStored(project))
  }, 180_000)

  it('a killed serve, and at once a new one and three commands that want its spool, lose nothing', async () => {
    const acknowledged = new Set<string>()
    let sent = 0
    project.write('config/segments/all.yaml', 'segments:\n  - { id: all, when: { event: page_view } }\n')
    for (let round = 0; round < 5; round++) {
      const first = await startServe(project)
      const load = startLoad(() => first.port, acknowledged)
      await delay(600)
      await first.stop('SIGKILL')
      sent += await load.stop()
      const commands = Array.from({ length: 3 }, () => runCommand(project, ['members', 'all']))
      const second = await startServe(project)
      const again = startLoad(() => second.port, acknowledged)
      const ran = await Promise.all(commands)
      expect(ran.map(({ exitCode, stderr }) => `${exitCode}${stderr}`)).toEqual(['0', '0', '0'])
      sent += await again.stop()
      expect(await second.stop('SIGTERM')).toBe(0)
    }
    report(`5 kills with a serve and three commands after each (seed ${SEED})`, sent, acknowledged, await countStored(project))
  }, 120_000)

  it('10 kills of the engine lose no acknowledged event, and the pixel answers all the time', async () => {
    const random = makeRandom(SEED + 1)
    const acknowledged = new Set<string>()
    const serving: Serving = await startServe(project)
    const load = startLoad(() => serving.port, acknowledged)
    for (let kill = 0; kill < 10; kill++) {
      await delay(50 + random() * 1_200)
      await until(() => enginePid(project.data) !== undefined)
      const pid = enginePid(project.data)
      if (pid !== undefined) process.kill(pid, 'SIGKILL')
      const before = acknowledged.size
      await until(() => acknowledged.size > before + CLIENTS)
    }
    const sent = await load.stop()
    expect(await serving.stop('SIGTERM')).toBe(0)
    report(`10 kills of the engine (seed ${SEED})`, sent, acknowledged, await countStored(project))
  }, 120_000)
})
