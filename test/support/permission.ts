// One event as everything allows it, and the same without one permission: wherever a permission matters, a test shows the first taken and the second refused.

import { ALL_PERMISSIONS, bitOf, type Permission, type PermissionSet, SIGNALLED_BIT } from '../../src/core/permissions.ts'

/** `allowed` and `refused` differ in nothing else. Both are the visitor's own word. */
export function withAndWithout(permission: Permission): { readonly allowed: PermissionSet; readonly refused: PermissionSet } {
  const allowed = ALL_PERMISSIONS | (1 << SIGNALLED_BIT)
  return { allowed, refused: allowed & ~(1 << bitOf(permission)) }
}
