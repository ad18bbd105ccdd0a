import { expect, onTestFinished, test } from 'vitest'
import { isUnusedServer } from '../../src/demo/place.ts'
import { openScratchStore } from '../support/store.ts'

test('a server with our database is in use, one without it is not', async () => {
  const { store, url, directory, close } = await openScratchStore('server')
  onTestFinished(close)
  expect(await isUnusedServer(url ?? '', directory)).toBe(false)
  await store.run({ owner: 'test.drop', sql: 'DROP DATABASE madeleine' })
  expect(await isUnusedServer(url ?? '', directory)).toBe(true)
})
