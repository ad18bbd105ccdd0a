// What consent allows (contract 1): six permissions, kept with each event as one byte. The two bits that are left say how the six came about.

export const PERMISSIONS = ['store', 'profile', 'model', 'activate', 'measure', 'report'] as const
export type Permission = (typeof PERMISSIONS)[number]

/** A set of permissions: bit n stands for PERMISSIONS[n]. The numbers are stored, so the order above never changes. */
export type PermissionSet = number

export const bitOf = (permission: Permission): number => PERMISSIONS.indexOf(permission)
export const permissionSet = (list: readonly Permission[]): PermissionSet => list.reduce((set, p) => set | (1 << bitOf(p)), 0)
export const permits = (set: PermissionSet, permission: Permission): boolean => (set & (1 << bitOf(permission))) !== 0
export const ALL_PERMISSIONS: PermissionSet = permissionSet(PERMISSIONS)

/** The visitor's own signal decided (not a source's default): the newest of them governs all of the visitor's events at the source. */
export const SIGNALLED_BIT = 7
/** Partners are limited to the `receivers` that stand beside (a TC string was read); without this bit any partner may receive what `activate` allows. */
export const LIMITED_BIT = 6
export const isSignalled = (set: PermissionSet): boolean => (set & (1 << SIGNALLED_BIT)) !== 0
