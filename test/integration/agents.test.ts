// Real user agents at the real collector: browsers are given a cookie, declared robots are not, and an empty agent is a robot's.

import { existsSync, readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { scratchProject } from '../support/scratch.ts'
import { startServe } from '../support/serve.ts'

const DATA = new URL('../../../shared/data/', import.meta.url)
const read = (name: string) => readFileSync(new URL(name, DATA), 'utf8').split('\n').filter(Boolean)
const AT_ONCE = 16

it.skipIf(!existsSync(new URL('bots.txt', DATA)))(
  'under 1 % of robots get a cookie, over 99.5 % of browsers do (skipped where ../shared/data is missing)',
  async () => {
    const project = scratchProject()
    const server = await startServe(project)
    const share = async (agents: readonly string[]): Promise<number> => {
      let given = 0
      const waiting = agents.values()
      const work = async () => {
        for (const agent of waiting) {
          const headers = { 'user-agent': agent, 'sec-fetch-storage-access': 'active' }
          const answer = await fetch(`${server.origin}/p.gif?source=site`, { headers })
          await answer.arrayBuffer()
          if (answer.headers.getSetCookie().length > 0) given++
        }
      }
      await Promise.all(Array.from({ length: AT_ONCE }, work))
      return given / agents.length
    }
    const [bots, browsers, silent] = [await share(read('bots.txt')), await share(read('browsers.txt')), await share(['', ' '])]
    process.stderr.write(
      `robots with a cookie ${(bots * 100).toFixed(2)} %, browsers with a cookie ${(browsers * 100).toFixed(2)} %\n`,
    )
    await server.stop()
    project.remove()
    expect(bots).toBeLessThan(0.01)
    expect(browsers).toBeGreaterThan(0.995)
    expect(silent).toBe(0)
  },
)
