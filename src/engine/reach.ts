// Whether the store answers, as seen by everybody who asks it: no question is asked for this alone. A store that refuses a statement has answered.

import { MadeleineError } from '../core/errors.ts'
import type { Store } from './store.ts'

export type Reach = {
  /** Undefined before the first answer. */
  readonly lastSuccessMs: number | undefined
  /** Since when it does not answer; undefined where it does. */
  readonly downSinceMs: number | undefined
}

export function watchReach(store: Store, now: () => number): { readonly store: Store; readonly reach: Reach } {
  const reach: { lastSuccessMs: number | undefined; downSinceMs: number | undefined } = {
    lastSuccessMs: undefined,
    downSinceMs: undefined,
  }
  async function watched<T>(asked: Promise<T>): Promise<T> {
    try {
      return answered(await asked)
    } catch (error) {
      if (error instanceof MadeleineError && error.code === 'store_unreachable') reach.downSinceMs ??= now()
      else answered(undefined)
      throw error
    }
  }
  function answered<T>(value: T): T {
    reach.lastSuccessMs = now()
    reach.downSinceMs = undefined
    return value
  }
  return {
    reach,
    store: {
      rows: (statement) => watched(store.rows(statement)),
      run: (statement) => watched(store.run(statement)),
      insertLines: (insert) => watched(store.insertLines(insert)),
      ping: () => watched(store.ping()),
      read: store.read,
      close: () => store.close(),
    },
  }
}
