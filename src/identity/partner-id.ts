// By which id a partner knows a visitor of ours: another one for each partner, so that two partners who compare what they hold find nothing in common, and
// none can be turned back into the cookie's id. Whoever has the key finds the same id again, so nothing is stored.

import { createHmac } from 'node:crypto'
import type { VisitorId } from '../core/ids.ts'
import type { PartnerKey } from './matches.ts'

export const idForPartner = (key: string, partner: PartnerKey, visitor: VisitorId): string =>
  createHmac('sha256', key).update(`partner\n${partner}\n${visitor}`).digest('base64url')
