// The event of a server or an import, which says itself who it is of.

import type { VisitorId } from '../core/ids.ts'
import type { Event } from '../event/event.ts'
import { completeEvent } from '../event/fields.ts'
import type { AcceptedEvent } from './decide.ts'

export const serverEvent = ({ fields, tsMs: ts, source, permissions, receivers }: AcceptedEvent, visitor: VisitorId): Event =>
  completeEvent(fields, { ts, visitor, scope: 'global', source, permissions, receivers })
