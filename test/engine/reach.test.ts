// Whether the store answers, as those who ask it see it.

import { expect, it } from 'vitest'
import { watchReach } from '../../src/engine/reach.ts'
import { openStore } from '../../src/engine/store.ts'
import { scratchProject } from '../support/scratch.ts'
import { startClickHouse } from '../support/store.ts'

it('is down from the first question that nobody answers, up from the next answer, and a refusal is an answer', async () => {
  const project = scratchProject()
  let server = await startClickHouse(project.data)
  const { url } = server
  let nowMs = 1_000
  const { store, reach } = watchReach(openStore({ url, directory: project.data }), () => nowMs)
  const ask = (sql: string) =>
    store.rows({ owner: 'test.reach', sql }).then(
      () => 'rows',
      (error: { code: string }) => error.code,
    )
  try {
    expect(reach).toEqual({ lastSuccessMs: undefined, downSinceMs: undefined })
    expect(await ask('SELECT 1')).toBe('rows')
    expect(reach).toEqual({ lastSuccessMs: 1_000, downSinceMs: undefined })
    nowMs = 2_000
    expect(await ask('SELECT nonsense')).toBe('store_refused')
    expect(reach).toEqual({ lastSuccessMs: 2_000, downSinceMs: undefined })
    await server.stop()
    nowMs = 3_000
    expect(await ask('SELECT 1')).toBe('store_unreachable')
    nowMs = 4_000
    expect(await ask('SELECT 1')).toBe('store_unreachable')
    expect(reach).toEqual({ lastSuccessMs: 2_000, downSinceMs: 3_000 })
    server = await startClickHouse(project.data, Number(new URL(url).port))
    nowMs = 5_000
    expect(await ask('SELECT 1')).toBe('rows')
    expect(reach).toEqual({ lastSuccessMs: 5_000, downSinceMs: undefined })
  } finally {
    await store.close()
    await server.stop()
    project.remove()
  }
})
