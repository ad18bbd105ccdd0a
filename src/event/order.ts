// What makes two conversions one: the order they are about. Sources have their own numbers, and only conversions count once.

import type { Event } from './event.ts'

export type Order = { readonly source: string; readonly orderId: string; readonly tsMs: number }

export const isOrder = ({ event, order_id }: Pick<Event, 'event' | 'order_id'>): boolean =>
  order_id !== '' && event === 'conversion'

export const orderOf = ({ source, order_id: orderId, ts: tsMs }: Pick<Event, 'source' | 'order_id' | 'ts'>): Order => ({
  source,
  orderId,
  tsMs,
})
