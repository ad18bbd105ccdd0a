// A list may end before its ids are due: `expires` of the import says when, for all of its rows.

import type { Migration } from './migration.ts'

export const listExpiry: Migration = {
  id: 10,
  name: 'list expiry',
  statements: [
    `ALTER TABLE madeleine.list_members ADD COLUMN IF NOT EXISTS expires DateTime64(3, 'UTC') DEFAULT at + INTERVAL 90 DAY`,
    `ALTER TABLE madeleine.list_imports ADD COLUMN IF NOT EXISTS expires DateTime64(3, 'UTC') DEFAULT at + INTERVAL 90 DAY`,
    'ALTER TABLE madeleine.list_members MODIFY TTL toDateTime(expires)',
  ],
}
