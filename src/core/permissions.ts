// What consent allows (contract 1): six permissions, kept with each event as one byte.

export const PERMISSIONS = ['store', 'profile', 'model', 'activate', 'measure', 'report'] as const
export type Permission = (typeof PERMISSIONS)[number]

/** A set of permissions: bit n stands for PERMISSIONS[n]. The numbers are stored, so the order above never changes. */
export type PermissionSet = number

export const bitOf = (permission: Permission): number => PERMISSIONS.indexOf(permission)
export const permissionSet = (list: readonly Permission[]): PermissionSet => list.reduce((set, p) => set | (1 << bitOf(p)), 0)
export const permits = (set: PermissionSet, permission: Permission): boolean => (set & (1 << bitOf(permission))) !== 0
export const ALL_PERMISSIONS: PermissionSet = permissionSet(PERMISSIONS)
